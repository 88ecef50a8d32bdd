import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BitsStoreError } from '../errors.js';
import { Claim, isOlderThan, readClaim, removeClaim, type SeenClaim } from './claim.js';
import { ensureDirectory } from './file-io.js';
import {
  type Fate,
  fateOf,
  identifyThisProcess,
  type ProcessIdentity,
} from './process-identity.js';
import type { JobLock, LockOwner, LockResult } from './store.js';
import { codeOf, fileSystemError } from './store-error.js';

export interface LockTiming {
  /** How often a claim gives a sign of life. */
  readonly beatMs: number;
  /** How long a claim whose process cannot be asked for may stay silent. */
  readonly silenceMs: number;
  readonly pollMs: number;
}

export const LOCK_TIMING: LockTiming = { beatMs: 1000, silenceMs: 10_000, pollMs: 20 };

const NONCE = /^[0-9a-f-]{36}$/;

/** Whoever only looks waits for so many signs of life at most. */
const LOOK_BEATS = 3;

/** What is left of a process killed between two system calls. */
const DRAFT_AGE_MS = 3_600_000;

/**
 * Claims a job among processes that share a directory.
 *
 * Everybody stakes a claim under a name of his own and then looks at the others' claims. Of two
 * contenders the later one always sees the earlier one's claim, since a claim stays until its
 * owner withdraws it or is dead; so it is enough that each gives way to every live claim that it
 * sees, but for claims that are undecided and rank behind its own: for those it waits until they
 * have given way or won. Nothing is ever taken over or renamed, so breaking a dead owner's lock is
 * no race: its claim is simply ignored, and removed under a name that is never used again.
 *
 * @param self is a parameter so that a process can be looked at from another machine's side.
 * @throws BITS_ERR_STORE when claims cannot be written or read
 */
export async function acquireLock(
  directory: string,
  id: string,
  timing: LockTiming = LOCK_TIMING,
  self?: ProcessIdentity,
): Promise<LockResult> {
  try {
    await ensureDirectory(directory);
    const identity = self ?? (await identifyThisProcess());
    const claim = await Claim.stake(directory, id, identity);
    return await new Contest(directory, id, timing, identity, claim).decide();
  } catch (error) {
    throw fileSystemError('lock a job in', directory, error);
  }
}

/**
 * Looks who claims a job, without a claim of its own, so that nobody is kept from it.
 *
 * A claim whose process cannot be asked for counts when it gives a sign of life.
 * @throws BITS_ERR_STORE when claims cannot be read
 */
export async function findHolder(
  directory: string,
  id: string,
  timing: LockTiming = LOCK_TIMING,
  self?: ProcessIdentity,
): Promise<LockOwner | undefined> {
  try {
    const names = await readdir(directory).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    const claims = noncesOf(names, id).map((nonce) => join(directory, `${id}.${nonce}`));
    if (claims.length === 0) return undefined;
    const identity = self ?? (await identifyThisProcess());
    const owners = await Promise.all(claims.map((path) => liveOwner(path, timing, identity)));
    return owners.find((owner) => owner !== undefined);
  } catch (error) {
    throw fileSystemError('look for the locks in', directory, error);
  }
}

async function liveOwner(
  path: string,
  { beatMs, pollMs }: LockTiming,
  self: ProcessIdentity,
): Promise<LockOwner | undefined> {
  const startedMs = performance.now();
  let first: SeenClaim | undefined;
  for (;;) {
    const seen = await readClaim(path);
    if (seen === undefined) return undefined;
    first ??= seen;
    const fate = await fateOfClaim(seen, first, self);
    if (fate === 'alive') return ownerOf(seen);
    if (fate === 'dead' || performance.now() - startedMs > LOOK_BEATS * beatMs) return undefined;
    await delay(pollMs);
  }
}

/** Removes what dead processes left, also of jobs that nobody will ever lock again. */
export async function sweepLocks(directory: string): Promise<void> {
  const self = await identifyThisProcess();
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const path = join(directory, name);
    if (name.endsWith('.new')) await removeOldDraft(path);
    else if (NONCE.test(name.slice(37))) {
      const claim = await readClaim(path).catch(() => undefined);
      if (claim?.owner === undefined || (await fateOf(claim.owner, self)) !== 'dead') continue;
      await removeClaim(path).catch(() => {});
    }
  }
}

async function removeOldDraft(path: string): Promise<void> {
  if (await isOlderThan(path, DRAFT_AGE_MS)) await unlink(path).catch(() => {});
}

function noncesOf(names: readonly string[], id: string): string[] {
  const prefix = `${id}.`;
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((nonce) => NONCE.test(nonce));
}

async function fateOfClaim(
  seen: SeenClaim,
  first: SeenClaim,
  self: ProcessIdentity,
): Promise<Fate> {
  const fate = seen.owner === undefined ? 'unknown' : await fateOf(seen.owner, self);
  return fate === 'unknown' && seen.heading !== first.heading ? 'alive' : fate;
}

function ownerOf({ owner }: SeenClaim): LockOwner {
  return { pid: owner?.pid ?? 0, hostName: owner?.hostName ?? '' };
}

class Contest {
  readonly #directory: string;
  readonly #id: string;
  readonly #timing: LockTiming;
  readonly #self: ProcessIdentity;
  readonly #claim: Claim;
  readonly #lost = new AbortController();
  readonly #heart: NodeJS.Timeout;

  constructor(
    directory: string,
    id: string,
    timing: LockTiming,
    self: ProcessIdentity,
    claim: Claim,
  ) {
    this.#directory = directory;
    this.#id = id;
    this.#timing = timing;
    this.#self = self;
    this.#claim = claim;
    this.#heart = setInterval(() => void this.#beat(), timing.beatMs).unref();
  }

  async decide(): Promise<LockResult> {
    try {
      const rivals = await this.#rivals();
      const holders = await Promise.all(rivals.map((nonce) => this.#yieldTo(nonce)));
      const holder = holders.find((owner) => owner !== undefined);
      if (holder !== undefined) {
        await this.#withdraw();
        return { holder };
      }
      await this.#claim.hold();
      return { lock: this.#toLock() };
    } catch (error) {
      await this.#withdraw().catch(() => {});
      throw error;
    }
  }

  #toLock(): JobLock {
    let released: Promise<void> | undefined;
    return {
      owner: { pid: this.#self.pid, hostName: this.#self.hostName },
      lost: this.#lost.signal,
      release: () => {
        released ??= this.#withdraw().catch((error: unknown) => {
          throw fileSystemError('unlock a job in', this.#directory, error);
        });
        return released;
      },
    };
  }

  async #rivals(): Promise<string[]> {
    const nonces = noncesOf(await readdir(this.#directory), this.#id);
    return nonces.filter((nonce) => nonce !== this.#claim.nonce);
  }

  /** Waits for a rival's fate where needed; returns its owner when it is to be given way to. */
  async #yieldTo(nonce: string): Promise<LockOwner | undefined> {
    const path = join(this.#directory, `${this.#id}.${nonce}`);
    const startedMs = performance.now();
    let first: SeenClaim | undefined;
    for (;;) {
      const seen = await readClaim(path);
      if (seen === undefined) return undefined;
      first ??= seen;
      const patient = performance.now() - startedMs < this.#timing.silenceMs;
      const fate = await fateOfClaim(seen, first, this.#self);
      if (fate === 'dead' || (fate === 'unknown' && !patient)) {
        await removeClaim(path);
        return undefined;
      }
      const undecided = seen.phase === 'claiming' && nonce > this.#claim.nonce;
      if (fate === 'alive' && (!undecided || !patient)) {
        return ownerOf(seen);
      }
      await delay(this.#timing.pollMs);
    }
  }

  async #beat(): Promise<void> {
    try {
      await this.#claim.beat();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return;
      clearInterval(this.#heart);
      this.#lost.abort(
        new BitsStoreError(
          'unavailable',
          `the lock of this job was removed from ${this.#directory}`,
        ),
      );
    }
  }

  async #withdraw(): Promise<void> {
    clearInterval(this.#heart);
    await this.#claim.withdraw();
  }
}
