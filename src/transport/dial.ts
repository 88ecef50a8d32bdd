import { lookup } from 'node:dns/promises';
import net, { isIP, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { throwIfAborted, unlessAborted } from '../common/abort.js';
import { Deferred } from '../common/deferred.js';

/** The next address is tried after this time, while the attempts before it continue (RFC 8305 §5). */
const NEXT_ADDRESS_MS = 250;

/**
 * After this time without a connection, the name is looked up and tried again, while the attempts
 * before continue: the system repeats a lost packet less and less often, and so would notice late
 * that the network is back.
 */
const NEXT_ROUND_MS = 5_000;

/** A name server may name any number. */
const MAX_ADDRESSES = 16;

/** An idle connection is probed from this time on, so that firewalls remember it. */
const KEEP_ALIVE_DELAY_MS = 5_000;

/** What a dial is made with; a test brings its own. */
export interface DialParts {
  readonly lookUp: (hostname: string) => Promise<readonly string[]>;
  /** Starts to connect. */
  readonly connect: (address: string, port: number) => Socket;
  /** @throws when the signal aborts */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

const SYSTEM: DialParts = {
  lookUp: async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
  connect: (host, port) =>
    net.connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    }),
  wait: (ms, signal) => wait(ms, undefined, { signal }),
};

/**
 * Connects by TCP to the first address of a host that answers (RFC 8305, "Happy Eyeballs").
 *
 * It has no time limit of its own: an address that does not answer is waited for until the signal
 * aborts.
 * @param hostname a name or an address; IPv6 with or without brackets
 * @throws the error of the lookup or of an attempt, once all attempts have failed; BITS_ERR_ABORTED
 */
export async function dial(
  hostname: string,
  port: number,
  signal: AbortSignal,
  parts: DialParts = SYSTEM,
): Promise<Socket> {
  throwIfAborted(signal);
  const race = new Race(port, parts);
  let winner: Socket | undefined;
  try {
    const attempts = race.run(withoutBrackets(hostname));
    winner = await unlessAborted(Promise.race([race.winner, attempts]), signal);
    return winner;
  } finally {
    race.end(winner);
  }
}

/** A host as sockets and certificates have it: in URLs, an IPv6 address stands in brackets. */
export function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

/** The attempts of one dial. */
class Race {
  readonly #port: number;
  readonly #parts: DialParts;
  readonly #winner = new Deferred<Socket>();
  readonly #over = new AbortController();
  readonly #sockets = new Set<Socket>();
  readonly #failures: NodeJS.ErrnoException[] = [];

  constructor(port: number, parts: DialParts) {
    this.#port = port;
    this.#parts = parts;
  }

  get winner(): Promise<Socket> {
    return this.#winner.promise;
  }

  /** Starts one attempt after the other; rejects once all have failed. */
  async run(host: string): Promise<never> {
    const attempts: Promise<void>[] = [];
    let addresses = await this.#addressesOf(host);
    for (;;) {
      for (const address of addresses) {
        const attempt = this.#attempt(address);
        attempts.push(attempt);
        await Promise.race([attempt, this.#wait(NEXT_ADDRESS_MS)]);
      }
      await Promise.race([Promise.all(attempts), this.#wait(NEXT_ROUND_MS)]);
      if (this.#failures.length === attempts.length) throw failureOf(this.#failures);
      addresses = await this.#addressesOf(host).catch(() => addresses);
    }
  }

  /** Ends every attempt but the one that is kept. */
  end(kept: Socket | undefined): void {
    this.#over.abort();
    for (const socket of this.#sockets) if (socket !== kept) socket.destroy();
  }

  /** Resolves when the attempt has failed. */
  #attempt(address: string): Promise<void> {
    const socket = this.#parts.connect(address, this.#port);
    this.#sockets.add(socket);
    return new Promise((resolve) => {
      socket.once('connect', () => this.#winner.resolve(socket));
      socket.once('error', (error) => {
        this.#failures.push(error);
        resolve();
      });
    });
  }

  async #addressesOf(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    return inTurn(await this.#parts.lookUp(host)).slice(0, MAX_ADDRESSES);
  }

  /** Rejects when the race is over. */
  #wait(ms: number): Promise<void> {
    return this.#parts.wait(ms, this.#over.signal);
  }
}

/** The families in turn, beginning with the one that the system prefers (RFC 8305 §4). */
function inTurn(addresses: readonly string[]): string[] {
  const [first] = addresses;
  const preferred = addresses.filter((one) => isIP(one) === isIP(first ?? ''));
  const others = addresses.filter((one) => !preferred.includes(one));
  const pairs = preferred.map((one, i) => [one, others[i]]);
  return [...pairs.flat(), ...others.slice(preferred.length)].filter((one) => one !== undefined);
}

/** For want of IPv6 one attempt fails on many machines, which says nothing about the server. */
const NO_ROUTE = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);

function failureOf(failures: readonly NodeJS.ErrnoException[]): Error {
  const telling = failures.find(({ code = '' }) => !NO_ROUTE.has(code)) ?? failures[0];
  return telling ?? new Error('The name has no address');
}
