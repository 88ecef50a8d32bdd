import { createHash, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import { callOptions, mustBe, type OptionNames } from '../common/check-options.js';
import { BitsStoreError, isBitsError } from '../errors.js';
import { checkJobKey } from '../store/job-key.js';
import {
  byAge,
  type JobRecord,
  parseRecord,
  RECORD_VERSION,
  serializeRecord,
} from '../store/record.js';
import type { JobStore, LockOwner, LockResult, StoredJobs, StoreProblem } from '../store/store.js';
import { redisError } from './redis-errors.js';
import { now, RedisLock } from './redis-lock.js';
import {
  DOOM,
  FORGET,
  LIMIT,
  LOCK,
  RELEASE,
  REMOVE,
  RENEW,
  SAVE,
  SET_ASIDE,
} from './redis-scripts.js';

/** Options of `createRedisStore`. */
export interface RedisStoreOptions {
  /** A client of `ioredis`, which stays the caller's. */
  connection: Redis;
  /** What the keys in Redis begin with. @default 'bits-upload' */
  prefix?: string | undefined;
  /**
   * How long the lock of a process that died keeps others away, in milliseconds, an hour at most.
   * @default 30000
   */
  lockMs?: number | undefined;
}

const OPTION_NAMES: OptionNames<RedisStoreOptions> = {
  connection: true,
  prefix: true,
  lockMs: true,
};

export const DEFAULT_LOCK_MS = 30_000;
const MIN_LOCK_MS = 300;

/** No lock of ours ends later: one that does is a stranger's. */
export const MAX_LOCK_MS = 60 * 60_000;

/**
 * Keeps the records of jobs in Redis, for processes on any number of machines.
 *
 * A lock ends by itself when its process dies, and every write says under which lock it is made: what
 * a process sends that was paused while another one took its job over is refused.
 * @throws BITS_ERR_ARGUMENT
 */
export function createRedisStore(options: RedisStoreOptions): JobStore {
  const given = callOptions('createRedisStore', options, OPTION_NAMES);
  const { connection, prefix = 'bits-upload', lockMs = DEFAULT_LOCK_MS } = given;
  const isClient = typeof connection?.evalsha === 'function';
  mustBe(isClient, 'The connection of a Redis store', 'a client of ioredis');
  const isPrefix = typeof prefix === 'string' && prefix !== '';
  mustBe(isPrefix, 'The prefix of a Redis store', 'a text that is not empty');
  return new RedisStore(connection, { prefix, lockMs: checkLockMs(lockMs) });
}

/** @throws BITS_ERR_ARGUMENT */
export function checkLockMs(lockMs: number): number {
  const isRight = Number.isSafeInteger(lockMs) && lockMs >= MIN_LOCK_MS && lockMs <= MAX_LOCK_MS;
  const limits = `from ${MIN_LOCK_MS} to ${MAX_LOCK_MS}`;
  mustBe(isRight, 'lockMs', `a whole number of milliseconds, ${limits}`);
  return lockMs;
}

/** One that may take over a lock which an earlier process had for the same work, and which has died. */
export interface LockHolder {
  readonly name: string;
  /** Renews what stands above the lock, such as a lock of BullMQ. @returns false when it is gone */
  renew(): Promise<boolean>;
}

interface RedisStoreSetting {
  readonly prefix: string;
  readonly lockMs: number;
  readonly holder?: LockHolder;
}

type Command = 'evalsha' | 'eval';

export type RedisLockResult = LockResult & {
  /** The lock in Redis, when it had no end: no store sets such a one. It has an end now. */
  readonly endlessKey?: string | undefined;
};

export class RedisStore implements JobStore {
  readonly #redis: Redis;
  readonly #setting: RedisStoreSetting;
  /** With it every key has the hash tag of the store. */
  readonly #prefix: string;
  readonly #locks = new Map<string, RedisLock>();

  constructor(redis: Redis, setting: RedisStoreSetting) {
    this.#redis = redis;
    this.#setting = setting;
    this.#prefix = keyPrefix(setting.prefix);
  }

  async save(record: JobRecord): Promise<void> {
    const text = serializeRecord(record);
    const { key } = record;
    const keys = [this.#lockKey(key), ...this.#keys('records', 'aside', 'owners', 'jobs')];
    const args = [this.#lockValue(key), key, text, this.#holderName, RECORD_VERSION];
    const answer = await this.#run('keep a job record', SAVE, keys, args);
    if (answer === 'saved') return;
    if (answer === 'fenced') throw fenced();
    throw new BitsStoreError(
      'unknown-version',
      `Redis has a job record of another ${answer}, and this release writes version ` +
        `${RECORD_VERSION}: use the release that wrote it, or remove the record.`,
    );
  }

  async load(key: string): Promise<JobRecord | undefined> {
    checkJobKey(key);
    const records = this.#key('records');
    const text = await this.#ask('read a job record', () => this.#redis.hget(records, key));
    if (text === null) return undefined;
    try {
      return recordOf(key, text);
    } catch (error) {
      if (isDamaged(error)) await this.#setAside(key, text);
      throw error;
    }
  }

  async list(): Promise<StoredJobs> {
    const records = this.#key('records');
    const aside = this.#key('aside');
    const all = await this.#ask('read the job records', () => this.#redis.hgetall(records));
    const found: JobRecord[] = [];
    const problems: StoreProblem[] = [];
    for (const [key, text] of Object.entries(all)) {
      try {
        found.push(recordOf(key, text));
      } catch (error) {
        if (!isBitsError(error, 'BITS_ERR_STORE')) throw error;
        if (isDamaged(error)) await this.#setAside(key, text);
        else problems.push({ where: `${records} ${key}`, error });
      }
    }
    for (const name of await this.#ask('read', () => this.#redis.hkeys(aside))) {
      const where = `${aside} ${name}`;
      const message = `A job record could not be read and was kept in Redis as ${where}: that upload can only be started over; remove it with HDEL when you no longer need it.`;
      problems.push({ where, error: new BitsStoreError('damaged', message) });
    }
    return { records: found.sort(byAge), problems };
  }

  async remove(key: string): Promise<void> {
    await this.#remove(key, '');
  }

  /** Drops a record, and notes in the same step that the upload of this holder is closed. */
  async removeClosed(key: string, result: object): Promise<void> {
    await this.#remove(key, JSON.stringify(result));
  }

  async lock(key: string): Promise<RedisLockResult> {
    checkJobKey(key);
    const { lockMs, holder } = this.#setting;
    const askedAt = now();
    const keys = [this.#lockKey(key)];
    const owner: LockOwner = { pid: process.pid, hostName: hostname() };
    const value = JSON.stringify({ ...owner, holder: this.#holderName, token: randomUUID() });
    const args = [lockMs, value, this.#holderName, MAX_LOCK_MS];
    const [current, wasEndless] = (await this.#run('lock a job', LOCK, keys, args)) as unknown[];
    if (current !== value) {
      const holder = ownerOf(String(current));
      return wasEndless === 1 ? { holder, endlessKey: keys[0] } : { holder };
    }
    const lock = new RedisLock({
      owner,
      value,
      lockMs,
      askedAt,
      renew: async () => {
        if (holder !== undefined && !(await holder.renew())) return false;
        const renewed = await this.#run('renew a lock', RENEW, keys, [value, lockMs]);
        return renewed === 1;
      },
      release: async () => {
        if (this.#locks.get(key) === lock) this.#locks.delete(key);
        await this.#run('unlock a job', RELEASE, keys, [value]);
      },
    });
    this.#locks.set(key, lock);
    return { lock };
  }

  async holder(key: string): Promise<LockOwner | undefined> {
    checkJobKey(key);
    const text = await this.#ask('read a lock', () => this.#redis.get(this.#lockKey(key)));
    return text === null ? undefined : ownerOf(text);
  }

  /** The lock of a key, if this store gave it and it was not released. */
  lockOf(key: string): RedisLock | undefined {
    return this.#locks.get(key);
  }

  /**
   * What was noted of a holder whose upload is closed.
   * @throws BITS_ERR_STORE also when it is damaged: the upload would be done twice
   */
  async closedResult(holder: string): Promise<object | undefined> {
    const closed = this.#key('closed');
    const text = await this.#ask('read a result', () => this.#redis.hget(closed, holder));
    if (text === null) return undefined;
    try {
      const result = JSON.parse(text) as { url?: unknown } | null;
      if (typeof result?.url === 'string') return result;
    } catch {
      // Said below.
    }
    throw new BitsStoreError(
      'damaged',
      `The upload is done, but its result in Redis is damaged: see whether the file is on the server, and remove the result with HDEL ${closed} ${holder} to upload it again.`,
    );
  }

  /** The key of the record that a holder keeps. */
  async keyOf(holder: string): Promise<string | undefined> {
    const find = () => this.#redis.hget(this.#key('jobs'), holder);
    return (await this.#ask('find a job record', find)) ?? undefined;
  }

  async isCancelled(holder: string): Promise<boolean> {
    const find = () => this.#redis.hexists(this.#key('cancelled'), holder);
    return (await this.#ask('read', find)) === 1;
  }

  /** All holders of which something is kept. */
  async holders(): Promise<readonly string[]> {
    const names = await Promise.all(
      this.#keys('jobs', 'closed', 'cancelled').map((key) =>
        this.#ask('read the job records', () => this.#redis.hkeys(key)),
      ),
    );
    return [...new Set(names.flat())];
  }

  /** Drops all there is of a holder that will not come back. */
  async forget(holder: string): Promise<void> {
    const key = (await this.keyOf(holder)) ?? '';
    const keys = this.#keys('records', 'owners', 'jobs', 'closed', 'cancelled');
    await this.#run('remove a job record', FORGET, [this.#lockKey(key), ...keys], [key, holder]);
  }

  /** True for one caller in so many milliseconds, of all processes. */
  async isTurn(what: string, everyMs: number): Promise<boolean> {
    const key = this.#key(`turn:${what}`);
    const answer = await this.#ask('write', () => this.#redis.set(key, '1', 'PX', everyMs, 'NX'));
    if (answer === 'OK') return true;
    await this.#run('write', LIMIT, [key], [everyMs]);
    return false;
  }

  /** Whether a key had no end, or one later than any lock of ours; it has one then. */
  async limitLock(key: string): Promise<boolean> {
    return (await this.#run('limit a lock', LIMIT, [key], [MAX_LOCK_MS])) === 1;
  }

  /** Replaces what is damaged of a job of BullMQ, so that it fails for the reason. */
  async doom(key: string, reason: string, damages: readonly string[]): Promise<boolean> {
    return (await this.#run('fail a job', DOOM, [key], [reason, ...damages])) === 1;
  }

  get #holderName(): string {
    return this.#setting.holder?.name ?? '';
  }

  async #remove(key: string, result: string): Promise<void> {
    checkJobKey(key);
    const keys = [this.#lockKey(key), ...this.#keys('records', 'owners', 'jobs', 'closed')];
    const args = [this.#lockValue(key), key, this.#holderName, result];
    const answer = await this.#run('remove a job record', REMOVE, keys, args);
    if (answer === 'fenced') throw fenced();
  }

  async #setAside(key: string, text: string): Promise<void> {
    await this.#run('move a job record', SET_ASIDE, this.#keys('records', 'aside'), [key, text]);
  }

  #lockValue(key: string): string {
    return this.#locks.get(key)?.value ?? '';
  }

  #lockKey(key: string): string {
    return this.#key(`lock:${key}`);
  }

  #key(name: string): string {
    return `${this.#prefix}:${name}`;
  }

  #keys(...names: readonly string[]): string[] {
    return names.map((name) => this.#key(name));
  }

  async #run(
    doing: string,
    script: string,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const call = (command: Command, text: string) =>
      this.#redis[command](text, keys.length, ...keys, ...args);
    return this.#ask(doing, async () => {
      try {
        return await call('evalsha', sha1Of(script));
      } catch (error) {
        // A Redis that was restarted, or has another primary, knows no script any more.
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return call('eval', script);
      }
    });
  }

  async #ask<T>(doing: string, command: () => Promise<T>): Promise<T> {
    try {
      return await command();
    } catch (error) {
      throw redisError(doing, error);
    }
  }
}

const sha1s = new Map<string, string>();

function sha1Of(script: string): string {
  let sha1 = sha1s.get(script);
  if (sha1 === undefined) {
    sha1 = createHash('sha1').update(script).digest('hex');
    sha1s.set(script, sha1);
  }
  return sha1;
}

/** Keys of a store in one hash tag: a script may use them together on a cluster. */
export function keyPrefix(prefix: string): string {
  return /^[^{]*\{[^}]+\}/.test(prefix) ? prefix : `{${prefix}}`;
}

function recordOf(key: string, text: string): JobRecord {
  const record = parseRecord(text);
  if (record.key === key) return record;
  throw new BitsStoreError('damaged', 'A job record in Redis is that of another job.');
}

function isDamaged(error: unknown): boolean {
  return isBitsError(error, 'BITS_ERR_STORE') && error.reason === 'damaged';
}

function fenced(): BitsStoreError {
  return new BitsStoreError(
    'unavailable',
    'Redis refused the job record: another process has the lock of this job.',
  );
}

/** A lock may be of another release, or of a hostile neighbour. */
function ownerOf(text: string): LockOwner {
  try {
    const { pid, hostName } = JSON.parse(text) as LockOwner;
    if (Number.isSafeInteger(pid) && typeof hostName === 'string') return { pid, hostName };
  } catch {
    // Then it says no more than that there is one.
  }
  return { pid: 0, hostName: 'an unknown machine' };
}
