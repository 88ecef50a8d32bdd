/** One scheme that a server or proxy offers (RFC 9110 §11.3). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** What NTLM and Negotiate carry, in base64. */
  readonly token68?: string;
  /** Names in lower case; of a repeated one the first counts. One character is one byte. */
  readonly params: ReadonlyMap<string, string>;
}

/** A longer header is not an offer that a client could answer. */
const MAX_HEADER_LENGTH = 64 * 1024;

const MAX_CHALLENGES = 16;

const MAX_PARAMS = 32;

const MAX_SCHEME_LENGTH = 32;

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const TOKEN68 = /[-._~+/0-9A-Za-z]+=*(?=[ \t]*(?:,|$))/y;
const SPACE = /[ \t]*/y;
const SEPARATORS = /[ \t,]*/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const UNQUOTED = /[^ \t,]*/y;
const UP_TO_COMMA = /[^,]*/y;

class Reader {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  /** The name of a parameter and its `=`, or nothing. */
  takeName(): string | undefined {
    const start = this.#at;
    const name = this.take(TOKEN);
    if (name !== undefined && this.take(EQUALS) !== undefined) return name.toLowerCase();
    this.#at = start;
    return undefined;
  }

  takeValue(): string {
    if (this.#text[this.#at] !== '"') return this.take(UNQUOTED) ?? '';
    let value = '';
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at];
      if (character === '"') {
        this.#at++;
        break;
      }
      if (character === '\\') this.#at++;
      value += this.#text[this.#at] ?? '';
    }
    return value;
  }
}

/**
 * Reads `WWW-Authenticate` or `Proxy-Authenticate`, several of them joined by `, ` included.
 *
 * It takes linear time and skips only what it cannot read; a header without a readable offer gives an
 * empty list.
 */
export function parseChallenges(header: string | undefined): readonly Challenge[] {
  if (header === undefined || header.length > MAX_HEADER_LENGTH) return [];
  const reader = new Reader(header);
  const challenges: Challenge[] = [];
  let params: Map<string, string> | undefined;
  while (!reader.atEnd) {
    reader.take(SEPARATORS);
    const name = reader.takeName();
    if (name !== undefined) {
      const value = reader.takeValue();
      if (params && params.size < MAX_PARAMS && !params.has(name)) params.set(name, value);
      continue;
    }
    const scheme = reader.take(TOKEN);
    if (scheme === undefined || scheme.length > MAX_SCHEME_LENGTH) {
      reader.take(UP_TO_COMMA);
      params = undefined;
      continue;
    }
    if (challenges.length === MAX_CHALLENGES) break;
    params = new Map();
    const spaced = reader.take(SPACE) !== '';
    const token68 = spaced ? reader.take(TOKEN68) : undefined;
    challenges.push({
      scheme: scheme.toLowerCase(),
      params,
      ...(token68 !== undefined && { token68 }),
    });
  }
  return challenges;
}

/** The first offer of a scheme. */
export function offerOf(offers: readonly Challenge[], scheme: string): Challenge | undefined {
  return offers.find((offer) => offer.scheme === scheme);
}
