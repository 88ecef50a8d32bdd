import { BitsStateError, type BitsStoreError, isBitsError } from '../errors.js';
import type { PacketRequest } from '../job/packet-hooks.js';
import type { JobRecord } from '../store/record.js';
import type { JobStore, LockOwner, LockResult, StoredJobs } from '../store/store.js';
import type { RedisLock } from './redis-lock.js';
import type { RedisLockResult, RedisStore } from './redis-store.js';

/**
 * The store as one job of BullMQ sees it: stricter than a store has to be, because another worker may
 * continue at any moment.
 *
 * Nothing is sent without the lock, nor a Close of which the record does not tell; and the record stays
 * until the job of BullMQ knows the outcome.
 */
export class JobLease implements JobStore {
  readonly keepsSmallUploads = true;
  readonly #store: RedisStore;
  #lock: RedisLock | undefined;
  #key: string | undefined;
  #isRemoved = false;
  #isReleased = false;
  #knowsOfClose = false;
  #problem: BitsStoreError | undefined;
  #busy: RedisLockResult | undefined;

  constructor(store: RedisStore) {
    this.#store = store;
  }

  /** The first thing that the store could not do. */
  get problem(): BitsStoreError | undefined {
    return this.#problem;
  }

  /** The lock of another job, which uploads the same file to the same URL. */
  get busy(): RedisLockResult | undefined {
    return this.#busy;
  }

  /** Whether another worker may have taken the job over. */
  get isLost(): boolean {
    return this.#lock !== undefined && !this.#lock.isHeld;
  }

  async save(record: JobRecord): Promise<void> {
    await this.#attempt(() => this.#store.save(record));
    if (record.key !== this.#key) return;
    this.#isRemoved = false;
    this.#knowsOfClose = record.session.closeUncertain;
  }

  async load(key: string): Promise<JobRecord | undefined> {
    return this.#attempt(() => this.#store.load(key));
  }

  list(): Promise<StoredJobs> {
    return this.#store.list();
  }

  /** At the end of the job, with its outcome. */
  async remove(key: string): Promise<void> {
    if (key === this.#key) this.#isRemoved = true;
    else await this.#attempt(() => this.#store.remove(key));
  }

  async lock(key: string): Promise<LockResult> {
    const result = await this.#attempt(() => this.#store.lock(key));
    const { lock } = result;
    if (lock === undefined) {
      this.#busy = result;
      return { holder: result.holder };
    }
    this.#lock = this.#store.lockOf(key);
    this.#key = key;
    // Given back at the end of the job.
    return { lock: { owner: lock.owner, lost: lock.lost, release: async () => {} } };
  }

  holder(key: string): Promise<LockOwner | undefined> {
    return this.#store.holder(key);
  }

  /**
   * Asked before each request.
   * @throws BITS_ERR_STORE, or BITS_ERR_STATE when the lock is lost
   */
  assertMaySend({ packet }: Pick<PacketRequest, 'packet'>): void {
    if (this.#problem !== undefined) throw this.#problem;
    if (this.#lock?.isHeld !== true) {
      throw new BitsStateError('Another worker may have taken this job over.');
    }
    if (packet === 'close-session' && !this.#knowsOfClose) {
      throw new BitsStateError('The record does not tell of the Close yet.');
    }
  }

  /** A sign of life, which renews the lock. */
  progressed(): void {
    void this.#lock?.renewFromProgress();
  }

  /** Notes that the upload is closed, and drops its record, in one step. */
  async closed(result: object): Promise<void> {
    if (this.#key === undefined) return;
    await this.#store.removeClosed(this.#key, result);
    this.#isRemoved = false;
  }

  /** Drops the record if there is nothing to resume, and gives the lock back. */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    const key = this.#key;
    try {
      if (key !== undefined && this.#isRemoved && !this.isLost) await this.#store.remove(key);
    } finally {
      await this.#lock?.release();
    }
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isBitsError(error, 'BITS_ERR_STORE')) this.#problem ??= error;
      throw error;
    }
  }
}
