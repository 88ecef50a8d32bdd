import type { EventEmitter } from 'node:events';
import { DelayedError, UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import { describeError, isErrorLike } from '../common/error-like.js';
import { tell } from '../common/tell.js';
import { BitsAbortError, BitsStateError, isBitsError } from '../errors.js';
import type { Bandwidth } from '../job/bandwidth.js';
import type { UploadResult } from '../job/events.js';
import { withPatience } from '../job/guarded-source.js';
import type { UploadOptions } from '../job/options.js';
import type { PacketRequest, RequestHook } from '../job/packet-hooks.js';
import type { UploadProgress } from '../job/progress.js';
import { UploadJob } from '../job/upload-job.js';
import type { ByteSource } from '../source/source.js';
import { endlessLock } from './active-jobs.js';
import { type CredentialsByName, credentialOptions } from './credentials.js';
import {
  type FleetJob,
  type FleetResult,
  type UploadWorkerEvents,
  uploadName,
} from './fleet-job.js';
import { assertWritable, openFleetSource, type SourceSetting } from './fleet-source.js';
import { type FleetJobData, OtherWorkerError, parseJobData } from './job-data.js';
import { JobLease } from './job-lease.js';
import { type FleetProgress, parseProgress } from './job-progress.js';
import { RedisStore } from './redis-store.js';

/** Options of every upload of a worker, unless its job or its credentials say otherwise. */
export type WorkerDefaults = Pick<
  UploadOptions,
  | 'fragmentBytes'
  | 'timeouts'
  | 'retry'
  | 'maxRestarts'
  | 'trustedHosts'
  | 'tls'
  | 'proxy'
  | 'noProxy'
  | 'userAgent'
  | 'methodOverride'
  | 'onRequest'
  | 'onResponse'
>;

/** What all jobs of a worker have in common. */
export interface RunSetting extends SourceSetting {
  readonly redis: Redis;
  readonly storePrefix: string;
  readonly lockMs: number;
  readonly workerName: string;
  readonly credentials: CredentialsByName;
  readonly defaults: WorkerDefaults;
  readonly bandwidth: Bandwidth | undefined;
  /** A job over which so many workers have died in a row, without progress, is given up. */
  readonly maxCrashes: number;
  /** How often workers may return a job that they cannot do. */
  readonly maxReturns: number;
}

/** How often the progress of a job is written to Redis. */
const PROGRESS_MS = 1000;

/** The wait before a returned job comes again grows to this. */
const MAX_RETURN_MS = 10_000;
const FIRST_RETURN_MS = 250;

/** While another job uploads the same file to the same URL. */
const BUSY_MS = 5_000;

/** How long the end of a job waits for a Redis that does not answer. */
const RELEASE_PATIENCE_MS = 5_000;

type Stop = 'suspend' | 'cancel' | 'lost';

/** One job of BullMQ while this worker is at it. */
export class JobRun {
  readonly #job: FleetJob;
  readonly #token: string;
  readonly #setting: RunSetting;
  readonly #events: EventEmitter<UploadWorkerEvents>;
  readonly #store: RedisStore;
  readonly #lease: JobLease;
  readonly #before: ReturnType<typeof parseProgress>;
  readonly #interruption = new AbortController();
  #stop: Stop | undefined;
  #upload: UploadJob | undefined;
  #stalls: number;
  #acknowledgedAtFirst: number | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    job: FleetJob,
    token: string,
    setting: RunSetting,
    events: EventEmitter<UploadWorkerEvents>,
  ) {
    this.#job = job;
    this.#token = token;
    this.#setting = setting;
    this.#events = events;
    const { redis, storePrefix: prefix, lockMs } = setting;
    const holder = { name: uploadName(job), renew: () => this.#renew() };
    this.#store = new RedisStore(redis, { prefix, lockMs, holder });
    this.#lease = new JobLease(this.#store);
    this.#before = parseProgress(job.progress);
    this.#stalls = this.#before.stalls;
  }

  /**
   * Does the job, as the processor of a BullMQ worker.
   * @throws DelayedError when the job was returned, UnrecoverableError when no attempt can succeed
   */
  async perform(): Promise<FleetResult> {
    let source: ByteSource | undefined;
    try {
      const closed = await this.#store.closedResult(uploadName(this.#job));
      if (closed !== undefined) return closed as FleetResult;
      const crashes = this.#job.stalledCounter - this.#before.stalls;
      if (crashes > this.#setting.maxCrashes) {
        throw await this.#giveUp(
          `Workers died ${crashes} times in a row while they did this job: look at their logs, and retry it when the cause is gone.`,
        );
      }
      // From here on the lock of BullMQ and that of the store are renewed together.
      if (!(await this.#renew())) {
        this.#end('lost');
        throw new BitsStateError('Another worker has taken this job over.');
      }
      const data = parseJobData(this.#job.data);
      const options = await this.#options(data);
      if (this.#stop === 'cancel') return await this.#cancelEarlier(options);
      source = await openFleetSource(data.source, this.#setting, {
        jobId: String(this.#job.id),
        signal: this.#interruption.signal,
      });
      return await this.#finish(await this.#uploaded({ ...options, source }));
    } catch (error) {
      throw await this.#verdict(error);
    } finally {
      await this.#letGo();
      // An upload that was stopped keeps its source for a resume, which here is another worker's.
      await source?.dispose?.();
    }
  }

  /** Stops sending and keeps the session: the job goes to another worker. */
  suspend(): void {
    this.#end('suspend');
  }

  #end(stop: Stop): void {
    this.#stop ??= stop;
    if (stop !== 'cancel') {
      this.#interruption.abort(new BitsAbortError('The worker stopped the upload.'));
    }
    // What became of it is the result of the upload.
    else this.#upload?.cancel().catch(() => {});
  }

  async #uploaded(options: UploadOptions): Promise<UploadResult> {
    // In the meantime there was time to cancel it.
    if (this.#stop === 'cancel') return this.#cancelEarlier(options);
    const upload = new UploadJob(options);
    this.#upload = upload;
    upload.on('warning', (warning) => tell(this.#events, 'warning', warning, this.#job));
    upload.on('progress', (progress) => this.#progressed(progress));
    upload.on('retry', () => this.#lease.progressed());
    return upload.start();
  }

  async #options(data: FleetJobData): Promise<Omit<UploadOptions, 'source'>> {
    const { version: _, source: __, credentials, ...given } = data;
    const { defaults, directories } = this.#setting;
    if (given.reply !== undefined) await assertWritable(given.reply.to, directories);
    const named = credentialOptions(this.#setting.credentials, credentials, data.url);
    const onRequest = (packet: PacketRequest): ReturnType<RequestHook> => {
      try {
        this.#lease.assertMaySend(packet);
      } catch (error) {
        // As an abort it leaves the session as it is.
        if (this.#lease.problem === undefined) this.#end('lost');
        throw error;
      }
      return defaults.onRequest?.(packet);
    };
    return {
      ...defaults,
      ...given,
      ...named,
      bandwidth: this.#setting.bandwidth,
      store: this.#lease,
      signal: this.#interruption.signal,
      onRequest,
    };
  }

  /** A job that was cancelled while no worker had it: its session is freed. */
  async #cancelEarlier(options: Partial<UploadOptions>): Promise<never> {
    const key = await this.#store.keyOf(uploadName(this.#job));
    const record = key === undefined ? undefined : await this.#lease.load(key);
    if (record !== undefined) {
      const upload = await UploadJob.restore(this.#lease, record, options);
      await upload.cancel().catch(() => {});
    }
    throw new BitsAbortError('The upload was cancelled.');
  }

  async #finish(result: UploadResult): Promise<FleetResult> {
    const { reply, ...rest } = result;
    const { data: _, ...place } = reply ?? { bytes: 0 };
    const final: FleetResult = {
      ...rest,
      worker: this.#setting.workerName,
      reply: reply && place,
    };
    // Before BullMQ hears of it: whoever gets the job after a crash in between finds it done.
    await this.#lease.closed(final);
    return final;
  }

  /** @returns what to throw, so that BullMQ does with the job what should become of it */
  async #verdict(error: unknown): Promise<Error> {
    if (error instanceof UnrecoverableError) return error;
    const cause = this.#lease.problem ?? error;
    if (this.#stop === 'suspend') return this.#return('The worker was stopped.', 0, false);
    if (this.#stop === 'cancel') {
      await this.#letGo();
      await this.#store.forget(uploadName(this.#job)).catch(() => {});
      return new UnrecoverableError('The upload was cancelled.');
    }
    if (this.#stop === 'lost' || this.#lease.isLost) {
      return this.#return('The worker lost its lock.', 0, false);
    }
    const { busy } = this.#lease;
    if (busy !== undefined) {
      if (busy.endlessKey !== undefined) {
        const warning = endlessLock('of the same file and URL', busy.endlessKey);
        tell(this.#events, 'warning', warning, this.#job);
      }
      return this.#return('Another job uploads this file to this URL.', BUSY_MS, false);
    }
    const isOtherVersion =
      isBitsError(cause, 'BITS_ERR_STORE') && cause.reason === 'unknown-version';
    if (isOtherVersion || cause instanceof OtherWorkerError) {
      const returns = this.#before.returns + 1;
      if (returns > this.#setting.maxReturns) {
        return this.#giveUp(`${cause.message} No worker could do the job in ${returns} attempts.`);
      }
      const delayMs = Math.min(MAX_RETURN_MS, FIRST_RETURN_MS * 2 ** Math.min(returns, 10));
      // Not all at once, and not always to the same worker.
      return this.#return(cause.message, delayMs * (0.5 + Math.random() / 2), true);
    }
    if (!isBitsError(cause)) return isErrorLike(cause) ? cause : new Error(describeError(cause));
    const mayPass = cause.retryable || isBitsError(cause, 'BITS_ERR_STORE');
    const message = `${cause.code}: ${cause.message}`;
    return mayPass ? new Error(message) : new UnrecoverableError(message);
  }

  /** Fails the job for good; one that is retried by hand starts with no deaths and returns. */
  async #giveUp(reason: string): Promise<UnrecoverableError> {
    this.#stalls = this.#job.stalledCounter;
    await this.#write({ state: 'returned', returns: 0, reason });
    return new UnrecoverableError(reason);
  }

  /** Gives the job back to the queue, for any worker. */
  async #return(reason: string, delayMs: number, counts: boolean): Promise<Error> {
    await this.#letGo();
    try {
      if (counts) {
        const returns = this.#before.returns + 1;
        await this.#write({ state: 'returned', returns, reason });
      }
      await this.#job.moveToDelayed(Date.now() + Math.round(delayMs), this.#token);
      // By the clock of a worker that is behind, the moment may be far away. Another one may have it now.
      if (delayMs === 0) await this.#job.promote().catch(() => {});
      tell(this.#events, 'returned', this.#job, reason, delayMs);
    } catch {
      // Its lock is gone: BullMQ gives the job to another worker by itself.
    }
    return new DelayedError(reason);
  }

  async #letGo(): Promise<void> {
    // A lock that could not be given back ends by itself.
    await withPatience(
      this.#lease.release().catch(() => {}),
      RELEASE_PATIENCE_MS,
    );
  }

  /** @returns false when BullMQ has given the job to somebody else */
  async #renew(): Promise<boolean> {
    const [extended, isCancelled] = await Promise.all([
      this.#job.extendLock(this.#token, this.#setting.lockMs),
      this.#store.isCancelled(uploadName(this.#job)),
    ]);
    if (isCancelled && this.#stop === undefined) this.#end('cancel');
    return extended === 1;
  }

  #progressed(progress: UploadProgress): void {
    this.#lease.progressed();
    const done = progress.bytesAcknowledged + progress.replyBytes;
    this.#acknowledgedAtFirst ??= done;
    const isFirst = done > this.#acknowledgedAtFirst && this.#stalls < this.#job.stalledCounter;
    // What the deaths before were, the job has survived.
    if (isFirst) this.#stalls = this.#job.stalledCounter;
    const nowMs = performance.now();
    if (!isFirst && nowMs - this.#writtenAtMs < PROGRESS_MS) return;
    this.#writtenAtMs = nowMs;
    const { bytesAcknowledged, bytesTotal, bytesPerSecond } = progress;
    void this.#write({
      state: this.#upload?.state ?? 'init',
      acknowledgedBytes: bytesAcknowledged,
      totalBytes: bytesTotal,
      bytesPerSecond: Math.round(bytesPerSecond),
      returns: 0,
    });
  }

  async #write(
    news: Partial<FleetProgress> & Pick<FleetProgress, 'state' | 'returns'>,
  ): Promise<void> {
    const progress: FleetProgress = {
      worker: this.#setting.workerName,
      acknowledgedBytes: this.#before.acknowledgedBytes,
      totalBytes: undefined,
      bytesPerSecond: undefined,
      stalls: this.#stalls,
      atMs: Date.now(),
      ...news,
    };
    tell(this.#events, 'progress', this.#job, progress);
    // One that could not be written is followed by another one.
    await this.#job.updateProgress(progress).catch(() => {});
  }
}
