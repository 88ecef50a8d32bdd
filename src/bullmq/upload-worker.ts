import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { type RateLimiterOptions, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  assertKnown,
  assertOptions,
  mustBe,
  type OptionNames,
  optionalFunction,
  optionGroup,
  texts,
  wholeNumber,
} from '../common/check-options.js';
import { tell } from '../common/tell.js';
import type { Bandwidth, BandwidthOptions } from '../job/bandwidth.js';
import { withPatience } from '../job/guarded-source.js';
import {
  resolveOptions,
  toBandwidth,
  OPTION_NAMES as UPLOAD_OPTION_NAMES,
} from '../job/resolve-options.js';
import { mendActiveJobs } from './active-jobs.js';
import { type CredentialsByName, checkCredentials } from './credentials.js';
import {
  type FleetJob,
  type FleetResult,
  isUnreadable,
  storePrefix,
  type UploadWorkerEvents,
  uploadName,
} from './fleet-job.js';
import type { ResolveSource } from './fleet-source.js';
import type { FleetJobData } from './job-data.js';
import { JobRun, type RunSetting, type WorkerDefaults } from './job-run.js';
import { CONNECTION_OPTION_NAMES, connectQueue, type UploadQueueConnection } from './open-queue.js';
import { redisError, troubleOf } from './redis-errors.js';
import { checkLockMs, DEFAULT_LOCK_MS, RedisStore } from './redis-store.js';
import { sweepStore } from './sweep.js';

/** Options of `createUploadWorker`. */
export interface UploadWorkerOptions extends UploadQueueConnection {
  /** What the worker is called in the fleet, without spaces and colons. @default host name and process id */
  name?: string | undefined;
  /** How many uploads at once. @default 4 */
  concurrency?: number | undefined;
  /** Limits the speed of all uploads of this worker together. @default no limit */
  bandwidth?: BandwidthOptions | Bandwidth | undefined;
  /** BullMQ's limit for all workers of the queue together: `max` jobs in `duration` ms. @default none */
  limiter?: RateLimiterOptions | undefined;
  /** Opens sources that are references. @default jobs with one are left to other workers */
  resolveSource?: ResolveSource | undefined;
  /**
   * Credentials, which jobs ask for by name; those with the name `default` are for jobs without one.
   * @default none
   */
  credentials?: CredentialsByName | undefined;
  /**
   * Directories of the files that jobs may name, as source or for a reply: whoever can write to Redis
   * chooses them. A path has to be in one of them as it is written, and as links lead.
   * @default any file that this process may read or write
   */
  directories?: readonly string[] | undefined;
  /** Options of every upload, unless its job says otherwise. @default none */
  defaults?: WorkerDefaults | undefined;
  /**
   * How long a worker that died keeps its jobs, in milliseconds, an hour at most; they are found within
   * half of it more. @default 30000
   */
  lockMs?: number | undefined;
  /**
   * A job over which more workers than this died in a row, without progress, is failed by the next one.
   * @default 10
   */
  maxCrashes?: number | undefined;
  /**
   * How often workers may return a job whose source they cannot see, or that another release made.
   * @default 50
   */
  maxReturns?: number | undefined;
}

const OPTION_NAMES: OptionNames<UploadWorkerOptions> = {
  ...CONNECTION_OPTION_NAMES,
  name: true,
  concurrency: true,
  bandwidth: true,
  limiter: true,
  resolveSource: true,
  credentials: true,
  directories: true,
  defaults: true,
  lockMs: true,
  maxCrashes: true,
  maxReturns: true,
};

const SWEEP_MS = 60_000;

/** How long the end waits for a Redis that does not answer, and for one that is away. */
const CLOSE_PATIENCE_MS = 15_000;
const AWAY_PATIENCE_MS = 2_000;

/**
 * Connects to Redis and begins to take jobs, one `UploadJob` for each.
 * @throws BITS_ERR_ARGUMENT for options that cannot work
 * @throws BITS_ERR_STORE when Redis does not answer in time, or refuses the user
 */
export async function createUploadWorker(options: UploadWorkerOptions): Promise<UploadWorker> {
  assertOptions('createUploadWorker', options, ' with a connection');
  assertKnown('', options, OPTION_NAMES);
  const {
    credentials = {},
    defaults = {},
    name = `${hostname()}-${process.pid}`,
    lockMs = DEFAULT_LOCK_MS,
    limiter,
  } = options;
  const concurrency = wholeNumber('concurrency', options.concurrency, 4, 1);
  checkName(name);
  checkCredentials(credentials);
  checkUploadOptions(defaults, credentials);
  const run = {
    lockMs: checkLockMs(lockMs),
    workerName: name,
    credentials,
    defaults,
    bandwidth: toBandwidth(options.bandwidth),
    resolveSource: optionalFunction('resolveSource', options.resolveSource),
    directories: texts('directories', options.directories)?.map((directory) => resolve(directory)),
    maxCrashes: wholeNumber('maxCrashes', options.maxCrashes, 10),
    maxReturns: wholeNumber('maxReturns', options.maxReturns, 50),
  };
  const { redis, queueName, prefix, evictionPolicy } = await connectQueue(options);
  return new UploadWorker(
    queueName,
    { ...run, redis, storePrefix: storePrefix(prefix, queueName) },
    { concurrency, prefix, ...(limiter !== undefined && { limiter }) },
    evictionPolicy,
  );
}

/**
 * Takes each job for itself. BullMQ takes the next one with the end of one before it, and forgets to tell
 * of that end when it cannot read the next one.
 */
class OneByOneWorker extends Worker<FleetJobData, FleetResult, string> {
  override processJob(job: FleetJob, token: string) {
    return super.processJob(job, token, () => false);
  }
}

/** A worker of BullMQ whose jobs are uploads; made by `createUploadWorker`. */
export class UploadWorker extends EventEmitter<UploadWorkerEvents> {
  /** BullMQ's own worker, for what this class does not say. */
  readonly bullmq: Worker<FleetJobData, FleetResult, string>;
  /** What the worker is called in the fleet. */
  readonly name: string;
  readonly #redis: Redis;
  readonly #store: RedisStore;
  readonly #runs = new Set<JobRun>();
  readonly #forgetting = new Set<Promise<void>>();
  readonly #sweeping: NodeJS.Timeout;
  readonly #lockMs: number;
  #closing: Promise<void> | undefined;
  #mending: Promise<void> | undefined;
  #trouble = '';
  /** Set from the moment in which Redis was lost until it takes writes again. */
  #waitsFor: ReturnType<typeof troubleOf>;

  /** @internal */
  constructor(
    queueName: string,
    run: RunSetting,
    options: Omit<WorkerOptions, 'connection'>,
    evictionPolicy: string | undefined,
  ) {
    super();
    const { redis, storePrefix: prefix, lockMs, workerName } = run;
    this.name = workerName;
    this.#redis = redis;
    this.#lockMs = lockMs;
    this.#store = new RedisStore(redis, { prefix, lockMs });
    this.bullmq = new OneByOneWorker(
      queueName,
      (job, token) => this.#perform(new JobRun(job, token ?? '', run, this), job),
      {
        ...options,
        connection: redis,
        name: workerName,
        lockDuration: lockMs,
        stalledInterval: Math.ceil(lockMs / 2),
        // A job counts the deaths itself: those before its last progress say nothing against it.
        maxStalledCount: Number.MAX_SAFE_INTEGER,
      },
    );
    this.bullmq.on('completed', (job, result) => this.#completed(job, result));
    this.bullmq.on('failed', (job, error) => {
      if (job !== undefined) tell(this, 'failed', job, error, job.finishedOn !== undefined);
    });
    this.bullmq.on('error', (error) => this.#troubled(error));
    this.bullmq.on('stalled', () => this.#mend());
    redis.on('ready', () => void this.#reconnected());
    this.#sweeping = setInterval(() => void this.#sweep(), SWEEP_MS).unref();
    // A turn later, so that a listener hears of it.
    setImmediate(() => {
      if (evictionPolicy !== undefined) {
        this.#warn(
          'redis-evicts',
          `Redis has maxmemory-policy ${evictionPolicy} and may drop jobs and records when its memory is full: set it to noeviction.`,
        );
      }
      void this.#sweep();
    });
  }

  /**
   * Stops taking jobs, suspends the uploads under way, and returns their jobs to the queue, so that
   * other workers resume them at once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#sweeping);
    const closing = this.bullmq
      .close()
      .then(async () => void (await Promise.all(this.#forgetting)));
    for (const run of this.#runs) run.suspend();
    const isThere = this.#redis.status === 'ready';
    await withPatience(closing, isThere ? CLOSE_PATIENCE_MS : AWAY_PATIENCE_MS);
    this.#redis.disconnect();
  }

  async #perform(run: JobRun, job: FleetJob): Promise<FleetResult> {
    this.#runs.add(run);
    tell(this, 'started', job);
    // It may have been taken while the worker was being closed.
    if (this.#closing !== undefined) run.suspend();
    try {
      return await run.perform();
    } finally {
      this.#runs.delete(run);
    }
  }

  #completed(job: FleetJob, result: FleetResult): void {
    // What fails here, a sweep does later.
    const forgetting = this.#store.forget(uploadName(job)).catch(() => {});
    this.#forgetting.add(forgetting);
    void forgetting.finally(() => this.#forgetting.delete(forgetting));
    tell(this, 'done', job, result);
  }

  async #sweep(): Promise<void> {
    try {
      const isTurn = await this.#store.isTurn('sweep', SWEEP_MS / 2);
      this.#isBack();
      if (!isTurn) return;
      this.#mend();
      await sweepStore(this.#store, this.bullmq);
    } catch {
      // Another turn comes.
    }
  }

  /** What fails here, the next sweep does. */
  #mend(): void {
    this.#mending ??= mendActiveJobs(this.bullmq, this.#redis, this.#store, this)
      .catch(() => {})
      .finally(() => {
        this.#mending = undefined;
      });
  }

  /** Once, and not at each attempt to reach a Redis that is away. */
  #troubled(error: Error): void {
    if (this.#closing !== undefined) return;
    if (isUnreadable(error)) this.#mend();
    const waitsFor = troubleOf(error);
    const trouble = waitsFor ?? safe(error);
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    if (waitsFor === undefined) {
      this.#warn('redis-trouble', `The worker continues, but BullMQ reported: ${trouble}`);
      return;
    }
    this.#waitsFor = waitsFor;
    const { message } = redisError('do what the worker asks', error);
    this.#warn(
      'redis-lost',
      `${message} The worker waits and connects again until it can; uploads under way are suspended when their locks end, after ${this.#lockMs / 1000} s at most.`,
    );
  }

  /** A replica, too, lets clients connect, and refuses only what they write. */
  async #reconnected(): Promise<void> {
    if (this.#waitsFor === undefined) this.#trouble = '';
    else if (await this.#canWrite()) this.#isBack();
  }

  #canWrite(): Promise<boolean> {
    return this.#store.isTurn('write', 1).then(
      () => true,
      () => false,
    );
  }

  #isBack(): void {
    if (this.#waitsFor === undefined) return;
    this.#waitsFor = undefined;
    this.#trouble = '';
    this.#warn('redis-back', 'Redis answers again, and the worker continues.');
  }

  #warn(code: string, message: string): void {
    tell(this, 'warning', { code, message }, undefined);
  }
}

/** A message of BullMQ or ioredis without what may follow it: arguments of commands. */
function safe(error: Error): string {
  // What is no JSON is shown in the message.
  if (isUnreadable(error)) return 'a job in Redis cannot be read';
  return (error.message.split(/[\r\n]/, 1)[0] ?? '').slice(0, 200);
}

/** What no upload could work with would fail all the jobs of the queue for good. */
function checkUploadOptions(defaults: WorkerDefaults, credentials: CredentialsByName): void {
  optionGroup('defaults', defaults, UPLOAD_OPTION_NAMES);
  const source = new Uint8Array();
  resolveOptions({ url: 'https://bits.example/', ...defaults, source });
  for (const { origins, query: _, ...named } of Object.values(credentials)) {
    for (const url of origins) resolveOptions({ ...defaults, ...named, url, source });
  }
}

/** Redis refuses other names of connections, and the worker would not be seen in the fleet. */
function checkName(name: string): void {
  const isRight = typeof name === 'string' && /^[^\s:]+$/.test(name);
  mustBe(isRight, 'name', 'a text that is not empty, without spaces and colons');
}
