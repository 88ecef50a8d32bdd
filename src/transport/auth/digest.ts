import { createHash, randomBytes } from 'node:crypto';
import type { WireHeaders } from '../../protocol/packets.js';
import { authSetupError } from './auth-error.js';
import { type Challenge, parseChallenges } from './challenges.js';
import {
  type Credentials,
  type CredentialsSource,
  plainUserName,
  secretOf,
} from './credentials.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  NOTHING,
  REFUSED,
  STRENGTH,
} from './scheme.js';

type Algorithm = 'MD5' | 'MD5-sess' | 'SHA-256' | 'SHA-256-sess';

const HASHES: Readonly<Record<Algorithm, { readonly hash: string; readonly strength: number }>> = {
  'SHA-256': { hash: 'sha256', strength: STRENGTH.digestSha256 },
  'SHA-256-sess': { hash: 'sha256', strength: STRENGTH.digestSha256 },
  MD5: { hash: 'md5', strength: STRENGTH.digestMd5 },
  'MD5-sess': { hash: 'md5', strength: STRENGTH.digestMd5 },
};

const ALGORITHMS = Object.keys(HASHES) as Algorithm[];

/** A Digest challenge that can be answered. Texts hold one byte a character. */
export interface DigestChallenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** As the server spelled it; undefined when it named none, which means MD5. */
  readonly algorithmText: string | undefined;
  readonly algorithm: Algorithm;
  /** False: RFC 2069, without a count and a client nonce. */
  readonly hasQop: boolean;
  readonly isStale: boolean;
  /** Whether names and passwords are said to be UTF-8 (RFC 7616 §4). */
  readonly isUtf8: boolean;
}

/**
 * The best of the Digest offers that can be answered.
 *
 * @param allowLegacy whether an offer without qop is as good as another.
 */
export function bestDigestChallenge(
  offers: readonly Challenge[],
  allowLegacy: boolean,
): DigestChallenge | undefined {
  const strength = (challenge: DigestChallenge) => strengthOf(challenge, allowLegacy);
  return offers
    .map(readDigestChallenge)
    .filter((challenge) => challenge !== undefined)
    .reduce<DigestChallenge | undefined>(
      (best, one) => (best === undefined || strength(one) > strength(best) ? one : best),
      undefined,
    );
}

function strengthOf({ algorithm, hasQop }: DigestChallenge, allowLegacy: boolean): number {
  return hasQop || allowLegacy ? HASHES[algorithm].strength : STRENGTH.legacyDigest;
}

function readDigestChallenge({ scheme, params }: Challenge): DigestChallenge | undefined {
  if (scheme !== 'digest') return undefined;
  const realm = params.get('realm');
  const nonce = params.get('nonce');
  const algorithmText = params.get('algorithm');
  const wanted = (algorithmText ?? 'MD5').toLowerCase();
  const algorithm = ALGORITHMS.find((name) => name.toLowerCase() === wanted);
  if (realm === undefined || nonce === undefined || algorithm === undefined) return undefined;
  const qops =
    params
      .get('qop')
      ?.toLowerCase()
      .split(/[ \t,]+/)
      .filter(Boolean) ?? [];
  // auth-int would need the hash of a fragment before its first byte is sent.
  if (qops.length > 0 && !qops.includes('auth')) return undefined;
  return {
    realm,
    nonce,
    opaque: params.get('opaque'),
    algorithmText,
    algorithm,
    hasQop: qops.length > 0,
    isStale: params.get('stale')?.toLowerCase() === 'true',
    isUtf8: params.get('charset')?.toLowerCase() === 'utf-8',
  };
}

export interface DigestInput {
  readonly challenge: DigestChallenge;
  readonly credentials: Credentials;
  /** As on the wire: it is part of what is hashed (A2). */
  readonly method: string;
  readonly target: string;
  /** How often the nonce was used, this time included. */
  readonly nonceCount: number;
  readonly clientNonce: string;
}

/** Computes the `Authorization` value (RFC 7616 §3.4, RFC 2069 §2.1.2). */
export function digestAuthorization(input: DigestInput): string {
  const { challenge, credentials, method, target, clientNonce } = input;
  const { realm, nonce, opaque, algorithm, algorithmText, hasQop } = challenge;
  const { hash } = HASHES[algorithm];
  const hex = (...parts: string[]) =>
    createHash(hash).update(parts.join(':'), 'latin1').digest('hex');

  const name = plainUserName(credentials);
  const isSession = algorithm.endsWith('-sess');
  const secret = hex(utf8HeaderText(name), realm, utf8HeaderText(credentials.password));
  const a1 = isSession ? hex(secret, nonce, clientNonce) : secret;
  const a2 = hex(method, target);
  const count = input.nonceCount.toString(16).padStart(8, '0');
  const response = hasQop ? hex(a1, nonce, count, clientNonce, 'auth', a2) : hex(a1, nonce, a2);

  const fields = [
    userNameField(name, challenge.isUtf8),
    `realm=${quoted(realm)}`,
    `nonce=${quoted(nonce)}`,
    `uri=${quoted(target)}`,
    `response="${response}"`,
  ];
  if (algorithmText !== undefined) fields.push(`algorithm=${algorithm}`);
  if (hasQop) fields.push('qop=auth', `nc=${count}`);
  if (hasQop || isSession) fields.push(`cnonce=${quoted(clientNonce)}`);
  if (opaque !== undefined) fields.push(`opaque=${quoted(opaque)}`);
  return `Digest ${fields.join(', ')}`;
}

/** Servers that announce UTF-8 know `username*` (RFC 7616 §3.4); others get the bytes as they are. */
function userNameField(name: string, isUtf8: boolean): string {
  const isAscii = /^[\x20-\x7e]*$/.test(name);
  if (isAscii || !isUtf8) return `username=${quoted(utf8HeaderText(name))}`;
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `username*=UTF-8''${encoded}`;
}

/** Text as the bytes of a header, in UTF-8: one character of the result is one byte on the wire. */
function utf8HeaderText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Text between quotes (RFC 9110 §5.6.4). */
function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * `Digest` with MD5 and SHA-256, their `-sess` variants, and `qop=auth`.
 *
 * @param allowLegacy whether an offer without qop is answered, too (RFC 2069).
 */
export function digestScheme(credentials: CredentialsSource, allowLegacy = false): AuthScheme {
  return {
    name: 'digest',
    title: 'Digest',
    connectionBound: false,
    eager: false,
    strength: (offers) => {
      const challenge = bestDigestChallenge(offers, allowLegacy);
      return challenge && strengthOf(challenge, allowLegacy);
    },
    begin: () => new DigestState(credentials, allowLegacy),
  };
}

class DigestState implements AuthState {
  readonly #credentials: CredentialsSource;
  readonly #allowLegacy: boolean;
  #challenge: DigestChallenge | undefined;
  #nonceCount = 0;
  /** For the whole use of a nonce, as the -sess variants need it. */
  #clientNonce = '';
  #isJudged = false;
  #staleAnswers = 0;

  constructor(credentials: CredentialsSource, allowLegacy: boolean) {
    this.#credentials = credentials;
    this.#allowLegacy = allowLegacy;
  }

  async authorize(
    request: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    const challenge =
      offers === undefined ? this.#challenge : bestDigestChallenge(offers, this.#allowLegacy);
    if (offers !== undefined && this.#isJudged && !this.#isOnlyStale(challenge)) return REFUSED;
    if (challenge === undefined) return NOTHING;
    if (!challenge.hasQop && !this.#allowLegacy) {
      return { type: 'unusable', reason: legacy(request.peer.title) };
    }
    const credentials = await this.#credentials.get(request.signal);
    if (offers !== undefined) {
      this.#isJudged = true;
      this.#use(challenge);
    }
    const value = digestAuthorization({
      challenge,
      credentials,
      method: request.method,
      target: request.target,
      nonceCount: ++this.#nonceCount,
      clientNonce: this.#clientNonce,
    });
    return { type: 'send', value, secret: secretOf(credentials) };
  }

  accepted(headers: WireHeaders): void {
    this.#isJudged = false;
    this.#staleAnswers = 0;
    const info = headers['authentication-info'] ?? headers['proxy-authentication-info'];
    // The header's fields read like those of a challenge (RFC 7616 §3.5).
    const next = parseChallenges(info && `Digest ${info}`)[0]?.params.get('nextnonce');
    if (next && this.#challenge) this.#use({ ...this.#challenge, nonce: next });
  }

  #use(challenge: DigestChallenge): void {
    this.#challenge = challenge;
    this.#nonceCount = 0;
    this.#clientNonce = randomBytes(16).toString('hex');
  }

  /** A stale nonce means that the password was right; a server that repeats it is not believed. */
  #isOnlyStale(challenge: DigestChallenge | undefined): boolean {
    const isNew = challenge?.isStale === true && challenge.nonce !== this.#challenge?.nonce;
    return isNew && ++this.#staleAnswers <= 2;
  }
}

function legacy(title: string) {
  return authSetupError(
    `${title} offers Digest authentication without qop (RFC 2069), which protects the password poorly: enable qop=auth there, or set auth.allowLegacyDigest`,
  );
}
