import { createHmac, randomBytes } from 'node:crypto';
import { sharedByCopies } from '../../across-copies.js';
import { Mutex } from '../../common/mutex.js';
import { refusedBefore } from './auth-error.js';
import type { Peer } from './scheme.js';

export type Verdict = 'accepted' | 'refused';

/** Domains count failures within some 30 minutes, and two of them lock no account. */
export const VERDICT_MS = 15 * 60 * 1000;

const MAX_PEERS = 256;

const MAX_SECRETS = 256;

interface Entry {
  readonly verdict: Verdict;
  readonly sinceMs: number;
}

/**
 * What servers and proxies have said about secrets.
 *
 * All jobs of a process share it, because an account is locked by the number of refused attempts,
 * whichever job and scheme they come from. It contains keyed hashes, never secrets.
 */
export class Verdicts {
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  /** Oldest first, as are the entries of each peer. */
  readonly #peers = new Map<string, Map<string, Entry>>();
  readonly #turns = new Map<string, { readonly mutex: Mutex; users: number }>();

  /** @param now in milliseconds of a clock that includes the time that the machine sleeps. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  of({ title }: Peer, secret: string): Verdict | undefined {
    const entry = this.#peers.get(title)?.get(this.#hash(secret));
    return entry && this.#isCurrent(entry) ? entry.verdict : undefined;
  }

  /** Whether the peer has refused any secret. */
  hasRefusals({ title }: Peer): boolean {
    const entries = [...(this.#peers.get(title)?.values() ?? [])];
    return entries.some((entry) => entry.verdict === 'refused' && this.#isCurrent(entry));
  }

  set({ title }: Peer, secret: string, verdict: Verdict): void {
    const entries = this.#peers.get(title) ?? new Map<string, Entry>();
    put(entries, this.#hash(secret), { verdict, sinceMs: this.#now() }, MAX_SECRETS);
    put(this.#peers, title, entries, MAX_PEERS);
  }

  /** Waits until no other request shows the secret to the peer for the first time. */
  async turn({ title }: Peer, secret: string, signal: AbortSignal | undefined) {
    const key = `${title} ${this.#hash(secret)}`;
    const turn = this.#turns.get(key) ?? { mutex: new Mutex(), users: 0 };
    this.#turns.set(key, turn);
    turn.users++;
    const leave = () => {
      if (--turn.users === 0) this.#turns.delete(key);
    };
    try {
      const release = await turn.mutex.acquire(signal);
      return () => {
        release();
        leave();
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** An entry of the future comes from a clock that was set back: its age is unknown. */
  #isCurrent({ sinceMs }: Entry): boolean {
    const ageMs = this.#now() - sinceMs;
    return ageMs >= 0 && ageMs < VERDICT_MS;
  }

  #hash(secret: string): string {
    return createHmac('sha256', this.#key).update(secret).digest('base64');
  }
}

/** Makes an entry the newest one, in place of the oldest one when there are too many. */
function put<T>(map: Map<string, T>, key: string, value: T, maxSize: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > maxSize && oldest !== undefined) map.delete(oldest);
}

/** Those of all jobs of the process. */
export const processVerdicts = sharedByCopies('verdicts', () => new Verdicts());

/** One request's permission to show secrets to a peer. */
export class Trial {
  readonly #peer: Peer;
  readonly #verdicts: Verdicts;
  #secret: string | undefined;
  #release: (() => void) | undefined;

  constructor(peer: Peer, verdicts: Verdicts) {
    this.#peer = peer;
    this.#verdicts = verdicts;
  }

  /**
   * Waits while another request shows the same secret, if the peer has said nothing about it.
   *
   * @throws BITS_ERR_AUTH when the peer has refused the secret; BITS_ERR_ABORTED
   */
  async begin(secret: string, signal: AbortSignal | undefined): Promise<void> {
    if (this.#secret !== secret) this.end();
    if (this.#release === undefined && this.#verdict(secret) === undefined) {
      this.#release = await this.#verdicts.turn(this.#peer, secret, signal);
      this.#secret = secret;
    }
    const verdict = this.#verdict(secret);
    if (verdict !== undefined) this.end();
    if (verdict === 'refused') throw refusedBefore(this.#peer);
  }

  end(): void {
    this.#release?.();
    this.#release = undefined;
    this.#secret = undefined;
  }

  #verdict(secret: string): Verdict | undefined {
    return this.#verdicts.of(this.#peer, secret);
  }
}
