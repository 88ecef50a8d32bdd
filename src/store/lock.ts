import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { removeOldTempFiles } from '../common/atomic-file.js';
import { codeOf } from '../common/error-like.js';
import { BitsStoreError } from '../errors.js';
import {
  Claim,
  type ClaimName,
  claimPath,
  parseClaimName,
  readClaim,
  removeClaim,
  type SeenClaim,
} from './claim.js';
import { ensureDirectory } from './own-files.js';
import {
  type Fate,
  fateOf,
  identifyThisProcess,
  type ProcessIdentity,
} from './process-identity.js';
import type { JobLock, LockOwner, LockResult } from './store.js';
import { fileSystemError } from './store-error.js';

export interface LockTiming {
  /** How often a claim gives a sign of life. */
  readonly beatMs: number;
  /** How long a claim may stay silent whose process cannot be looked up here. */
  readonly silenceMs: number;
  readonly pollMs: number;
}

export const LOCK_TIMING: LockTiming = { beatMs: 1000, silenceMs: 10_000, pollMs: 20 };

/** Whoever only looks waits for this many signs of life at most. */
const LOOK_BEATS = 3;

/**
 * Takes a lock among processes that share a directory.
 *
 * Everybody stakes a claim under a name of its own and then looks at the others' claims. Of two
 * contenders the later one always sees the earlier one's claim, since a claim stays until its owner
 * withdraws it or is dead; so it is enough that each gives way to every live claim that it sees,
 * except for claims that are undecided and rank behind its own: for those it waits until they have
 * given way or won. Nothing is ever taken over or renamed, so breaking a dead owner's lock is no
 * race: its claim is simply ignored, and removed under a name that is never used again.
 *
 * @param self is a parameter so that tests can look at a process from another machine's side.
 * @throws BITS_ERR_STORE when claims cannot be written or read
 */
export async function acquireLock(
  directory: string,
  key: string,
  timing = LOCK_TIMING,
  self?: ProcessIdentity,
): Promise<LockResult> {
  try {
    await ensureDirectory(directory);
    const identity = self ?? (await identifyThisProcess());
    const claim = await Claim.stake(directory, key, identity);
    return await new Contest(directory, key, timing, identity, claim).decide();
  } catch (error) {
    throw fileSystemError('lock a job in', directory, error);
  }
}

/**
 * Finds who holds a lock without staking a claim, so that nobody is kept from it.
 *
 * A claim whose process cannot be looked up counts when it gives a sign of life.
 * @throws BITS_ERR_STORE when claims cannot be read
 */
export async function findHolder(
  directory: string,
  key: string,
  timing = LOCK_TIMING,
  self?: ProcessIdentity,
): Promise<LockOwner | undefined> {
  try {
    const claims = await claimsIn(directory, key);
    if (claims.length === 0) return undefined;
    const identity = self ?? (await identifyThisProcess());
    const owners = claims.map((name) => liveOwner(claimPath(directory, name), timing, identity));
    return (await Promise.all(owners)).find((owner) => owner !== undefined);
  } catch (error) {
    throw fileSystemError('look for the locks in', directory, error);
  }
}

async function liveOwner(
  path: string,
  { beatMs, pollMs }: LockTiming,
  self: ProcessIdentity,
): Promise<LockOwner | undefined> {
  for await (const { claim, fate, waitedMs } of observe(path, pollMs, self)) {
    if (fate === 'alive') return ownerOf(claim);
    if (fate === 'dead' || waitedMs > LOOK_BEATS * beatMs) return undefined;
  }
  return undefined;
}

/** Removes what dead processes left, also under keys that nobody will ever lock again. */
export async function sweepLocks(directory: string): Promise<void> {
  const self = await identifyThisProcess();
  const names = await readdir(directory).catch(() => []);
  await removeOldTempFiles(directory, names);
  for (const name of names.flatMap((each) => parseClaimName(each) ?? [])) {
    const path = claimPath(directory, name);
    const claim = await readClaim(path).catch(() => undefined);
    if (claim?.owner === undefined || (await fateOf(claim.owner, self)) !== 'dead') continue;
    await removeClaim(path).catch(() => {});
  }
}

async function claimsIn(directory: string, key: string): Promise<ClaimName[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  return names.flatMap((each) => parseClaimName(each) ?? []).filter((name) => name.key === key);
}

interface Observation {
  readonly claim: SeenClaim;
  readonly fate: Fate;
  /** Counted in looks, so that a sleep of the machine is not taken for silence. */
  readonly waitedMs: number;
}

/** Looks at a claim time and again, until it is gone. */
async function* observe(
  path: string,
  pollMs: number,
  self: ProcessIdentity,
): AsyncGenerator<Observation, void> {
  let first: SeenClaim | undefined;
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const claim = await readClaim(path);
    if (claim === undefined) return;
    first ??= claim;
    const fate = claim.owner === undefined ? 'unknown' : await fateOf(claim.owner, self);
    const beats = claim.heading !== first.heading;
    yield { claim, fate: fate === 'unknown' && beats ? 'alive' : fate, waitedMs };
    await delay(pollMs);
  }
}

function ownerOf({ owner }: SeenClaim): LockOwner {
  return { pid: owner?.pid ?? 0, hostName: owner?.hostName ?? '' };
}

class Contest {
  readonly #directory: string;
  readonly #key: string;
  readonly #timing: LockTiming;
  readonly #self: ProcessIdentity;
  readonly #claim: Claim;
  readonly #lost = new AbortController();
  readonly #heart: NodeJS.Timeout;

  constructor(
    directory: string,
    key: string,
    timing: LockTiming,
    self: ProcessIdentity,
    claim: Claim,
  ) {
    this.#directory = directory;
    this.#key = key;
    this.#timing = timing;
    this.#self = self;
    this.#claim = claim;
    this.#heart = setInterval(() => void this.#beat(), timing.beatMs).unref();
  }

  async decide(): Promise<LockResult> {
    try {
      const claims = await claimsIn(this.#directory, this.#key);
      const rivals = claims.filter(({ nonce }) => nonce !== this.#claim.nonce);
      const holders = await Promise.all(rivals.map((name) => this.#yieldTo(name)));
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

  /** Waits until a rival's fate is known; returns its owner when this contender gives way to it. */
  async #yieldTo(rival: ClaimName): Promise<LockOwner | undefined> {
    const path = claimPath(this.#directory, rival);
    const { pollMs, silenceMs } = this.#timing;
    for await (const { claim, fate, waitedMs } of observe(path, pollMs, this.#self)) {
      const patient = waitedMs < silenceMs;
      if (fate === 'dead' || (fate === 'unknown' && !patient)) {
        await removeClaim(path);
        return undefined;
      }
      const undecided = claim.phase === 'claiming' && rival.nonce > this.#claim.nonce;
      if (fate === 'alive' && (!undecided || !patient)) return ownerOf(claim);
    }
    return undefined;
  }

  async #beat(): Promise<void> {
    try {
      await this.#claim.beat();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return;
      clearInterval(this.#heart);
      const message = `the lock of this job was removed from ${this.#directory}`;
      this.#lost.abort(new BitsStoreError('unavailable', message));
    }
  }

  async #withdraw(): Promise<void> {
    clearInterval(this.#heart);
    await this.#claim.withdraw();
  }
}
