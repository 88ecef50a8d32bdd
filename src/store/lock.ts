import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { onAbort } from '../common/abort.js';
import { removeOldTempFiles } from '../common/atomic-file.js';
import { unlessMissing } from '../common/error-like.js';
import { BitsStoreError } from '../errors.js';
import { type ClaimName, Claims, OwnClaim, parseClaimName, type SeenClaim } from './claim.js';
import { OwnFiles } from './own-files.js';
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

const TIMING: LockTiming = { beatMs: 1000, silenceMs: 10_000, pollMs: 20 };

/** Whoever only looks waits for this many signs of life at most. */
const LOOK_BEATS = 3;

export interface LockOptions {
  readonly files?: OwnFiles;
  readonly timing?: Partial<LockTiming>;
  /** Who asks; another one in tests, which look at a process from another machine's side. */
  readonly self?: ProcessIdentity;
}

/**
 * The locks in a directory that processes share.
 *
 * Everybody stakes a claim under a name of its own and then looks at the others' claims. Of two
 * contenders the later one always sees the earlier one's claim, since a claim stays until its owner
 * withdraws it or is dead; so it is enough that each gives way to every live claim that it sees,
 * except for claims that are undecided and rank behind its own: for those it waits until they have
 * given way or won. Nothing is ever taken over or renamed, so breaking a dead owner's lock is no
 * race: its claim is simply ignored, and removed under a name that is never used again.
 *
 * No clock is compared with another one, nor with a file's time: a process of this machine lives or
 * not, and that of another one has to change its claim while it is watched.
 */
export class Locks {
  readonly #claims: Claims;
  readonly #timing: LockTiming;
  readonly #self: ProcessIdentity | undefined;

  constructor(directory: string, { files = new OwnFiles(), timing, self }: LockOptions = {}) {
    this.#claims = new Claims(directory, files);
    this.#timing = { ...TIMING, ...timing };
    this.#self = self;
  }

  /** @throws BITS_ERR_STORE when claims cannot be written or read */
  async acquire(key: string): Promise<LockResult> {
    try {
      const outcome = await this.#contend(key);
      if ('holder' in outcome) return outcome;
      return { lock: new HeldLock(outcome, this.#timing.beatMs, () => this.#contend(key)) };
    } catch (error) {
      throw fileSystemError('lock a job in', this.#claims.directory, error);
    }
  }

  /**
   * Finds who holds a lock without staking a claim, so that nobody is kept from it.
   *
   * A claim whose process cannot be looked up counts when it gives a sign of life.
   * @throws BITS_ERR_STORE when claims cannot be read
   */
  async holder(key: string): Promise<LockOwner | undefined> {
    const { directory, files } = this.#claims;
    try {
      await files.checkDirectory(directory);
      const names = await this.#namesOf(key);
      if (names.length === 0) return undefined;
      const self = await this.#identify();
      const owners = await Promise.all(names.map((name) => this.#liveOwner(name, self)));
      return owners.find((owner) => owner !== undefined);
    } catch (error) {
      throw fileSystemError('look for the locks in', directory, error);
    }
  }

  /** Removes what dead processes left, also under keys that nobody will ever lock again. */
  async sweep(): Promise<void> {
    const { directory } = this.#claims;
    const self = await this.#identify();
    const names = await readdir(directory).catch(() => []);
    await removeOldTempFiles(directory, names);
    for (const name of names.flatMap((each) => parseClaimName(each) ?? [])) {
      const claim = await this.#claims.read(name).catch(() => undefined);
      if (claim?.owner === undefined || (await fateOf(claim.owner, self)) !== 'dead') continue;
      await this.#claims.remove(name).catch(() => {});
    }
  }

  async #contend(key: string): Promise<Won | Refused> {
    await this.#claims.files.ensureDirectory(this.#claims.directory);
    const self = await this.#identify();
    const claim = await OwnClaim.stake(this.#claims, key, self, this.#timing.beatMs);
    try {
      const names = await this.#namesOf(key);
      const rivals = names.filter(({ nonce }) => nonce !== claim.name.nonce);
      const holders = await Promise.all(rivals.map((name) => this.#yieldTo(name, claim, self)));
      const holder = holders.find((owner) => owner !== undefined);
      if (holder === undefined) {
        if (await claim.hold()) return { claim, owner: ownerOf(self) };
        throw new BitsStoreError('unavailable', 'somebody removes the locks while they are taken');
      }
      await claim.withdraw();
      return { holder };
    } catch (error) {
      await claim.withdraw().catch(() => {});
      throw error;
    }
  }

  /** Waits until a rival's fate is known; returns its owner when this claim gives way to it. */
  async #yieldTo(
    rival: ClaimName,
    own: OwnClaim,
    self: ProcessIdentity,
  ): Promise<LockOwner | undefined> {
    for await (const { claim, fate, waitedMs } of this.#observe(rival, self)) {
      const patient = waitedMs < this.#timing.silenceMs;
      if (fate === 'dead' || (fate === 'unknown' && !patient)) {
        await this.#claims.remove(rival);
        return undefined;
      }
      const undecided = claim.phase === 'claiming' && rival.nonce > own.name.nonce;
      if (fate === 'alive' && (!undecided || !patient)) return ownerOf(claim.owner);
    }
    return undefined;
  }

  async #liveOwner(name: ClaimName, self: ProcessIdentity): Promise<LockOwner | undefined> {
    for await (const { claim, fate, waitedMs } of this.#observe(name, self)) {
      if (fate === 'alive') return ownerOf(claim.owner);
      if (fate === 'dead' || waitedMs > LOOK_BEATS * this.#timing.beatMs) return undefined;
    }
    return undefined;
  }

  /** Looks at a claim time and again, until it is gone. */
  async *#observe(name: ClaimName, self: ProcessIdentity): AsyncGenerator<Observation, void> {
    let first: SeenClaim | undefined;
    for (let waitedMs = 0; ; waitedMs += this.#timing.pollMs) {
      const claim = await this.#claims.read(name);
      if (claim === undefined) return;
      first ??= claim;
      const fate = claim.owner === undefined ? 'unknown' : await fateOf(claim.owner, self);
      const beats = claim.heading !== first.heading;
      yield { claim, fate: fate === 'unknown' && beats ? 'alive' : fate, waitedMs };
      await delay(this.#timing.pollMs);
    }
  }

  async #namesOf(key: string): Promise<ClaimName[]> {
    const names = (await unlessMissing(readdir(this.#claims.directory))) ?? [];
    return names.flatMap((each) => parseClaimName(each) ?? []).filter((name) => name.key === key);
  }

  async #identify(): Promise<ProcessIdentity> {
    return this.#self ?? (await identifyThisProcess());
  }
}

interface Observation {
  readonly claim: SeenClaim;
  readonly fate: Fate;
  /** Counted in looks, so that a sleep of the machine is not taken for silence. */
  readonly waitedMs: number;
}

interface Won {
  readonly claim: OwnClaim;
  readonly owner: LockOwner;
}

interface Refused {
  readonly holder: LockOwner;
}

function ownerOf(owner: LockOwner | undefined): LockOwner {
  return { pid: owner?.pid ?? 0, hostName: owner?.hostName ?? '' };
}

class HeldLock implements JobLock {
  readonly owner: LockOwner;
  readonly lost: AbortSignal;
  readonly #lost = new AbortController();
  readonly #contend: () => Promise<Won | Refused>;
  readonly #retryMs: number;
  #claim: OwnClaim;
  #released: Promise<void> | undefined;

  constructor({ claim, owner }: Won, retryMs: number, contend: () => Promise<Won | Refused>) {
    this.owner = owner;
    this.lost = this.#lost.signal;
    this.#contend = contend;
    this.#retryMs = retryMs;
    this.#claim = claim;
    this.#keep(claim);
  }

  release(): Promise<void> {
    this.#released ??= this.#claim.withdraw();
    return this.#released;
  }

  #keep(claim: OwnClaim): void {
    this.#claim = claim;
    onAbort(claim.gone, () => void this.#regain());
  }

  /** The claim was removed: by who has the lock now, or by somebody who tidied up the directory. */
  async #regain(): Promise<void> {
    while (this.#released === undefined) {
      const outcome = await this.#contend().catch(() => undefined);
      if (outcome === undefined) {
        // Nobody can take locks there just now.
        await delay(this.#retryMs, undefined, { ref: false });
      } else if ('holder' in outcome) {
        const { pid, hostName } = outcome.holder;
        const message = `process ${pid} on ${hostName} has taken over the lock of this job`;
        return this.#lost.abort(new BitsStoreError('unavailable', message));
      } else if (this.#released === undefined) {
        return this.#keep(outcome.claim);
      } else {
        return outcome.claim.withdraw().catch(() => {});
      }
    }
  }
}
