import { EventEmitter } from 'node:events';
import { basename } from 'node:path';
import { isBitsError, type JobStore, UploadJob, type UploadOptions } from 'bits-upload';
import type { UploadView } from './api.js';

/** How often the window is told of changes, at most. */
const CHANGE_MS = 100;

/** What each new job gets: the transport, and how to authenticate. */
export type JobSettings = Pick<UploadOptions, 'transport' | 'auth'>;

interface Upload {
  readonly job: UploadJob;
  readonly path: string;
  readonly serverUrl: string;
  status: UploadView['status'];
  problem: string | undefined;
  /** Stopped by the app, not by the user: for a sleep. */
  isAsleep: boolean;
}

/**
 * The jobs of the app, in the main process: a window may come and go.
 *
 * It starts each job at once. An app that uploads hundreds of files puts a queue between `add` and
 * `#run`; nothing else changes.
 */
export class Uploads extends EventEmitter<{ change: [UploadView[]] }> {
  readonly #store: JobStore;
  readonly #settings: () => JobSettings;
  readonly #uploads = new Map<string, Upload>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: JobStore, settings: () => JobSettings) {
    super();
    this.#store = store;
    this.#settings = settings;
  }

  /** Those that the user has paused. */
  get pausedIds(): string[] {
    return [...this.#uploads.values()]
      .filter(({ status, isAsleep }) => status === 'paused' && !isAsleep)
      .map(({ job }) => job.id);
  }

  list(): UploadView[] {
    return [...this.#uploads.values()].map(({ job, path, status, problem }) => {
      const { id, url, progress } = job.toJSON();
      return {
        id,
        name: basename(path),
        url,
        status,
        problem,
        bytesSent: progress?.bytesSent ?? 0,
        bytesTotal: progress?.bytesTotal ?? 0,
        bytesPerSecond: status === 'running' ? (progress?.bytesPerSecond ?? 0) : 0,
        etaMs: status === 'running' ? progress?.etaMs : undefined,
      };
    });
  }

  /** @throws BITS_ERR_ARGUMENT for a URL that cannot work */
  add(path: string, serverUrl: string): void {
    const job = new UploadJob({
      url: serverUrl,
      source: path,
      store: this.#store,
      ...this.#settings(),
    });
    this.#run(this.#keep(job, path, serverUrl), () => job.start());
  }

  /** Takes up what earlier runs of the app left unfinished. */
  async restore(pausedIds: readonly string[]): Promise<void> {
    const { records } = await this.#store.list();
    for (const { id, url, source } of records) {
      try {
        const job = await UploadJob.restore(this.#store, id, this.#settings());
        const upload = this.#keep(job, source.path, url);
        if (!pausedIds.includes(id)) this.#run(upload, () => job.resume());
      } catch {
        // A record that cannot be used stays where it is; the command line shows it with `jobs`.
      }
    }
  }

  async pause(id: string): Promise<void> {
    const upload = this.#uploads.get(id);
    if (upload?.status === 'running') await upload.job.suspend();
  }

  resume(id: string): void {
    const upload = this.#uploads.get(id);
    if (upload?.status === 'paused') this.#run(upload, () => upload.job.resume());
    if (upload?.status !== 'failed') return;
    // A new job, with the settings as they are now: it takes up what the record says.
    this.#uploads.delete(id);
    this.add(upload.path, upload.serverUrl);
  }

  /** Frees the server's session too. */
  async cancel(id: string): Promise<void> {
    await this.#uploads.get(id)?.job.cancel();
  }

  remove(id: string): void {
    const upload = this.#uploads.get(id);
    if (upload && ['done', 'cancelled', 'failed'].includes(upload.status)) this.#uploads.delete(id);
    this.#changed();
  }

  /** Before the machine sleeps, or the app ends: each job writes its record and lets go. */
  async sleep(): Promise<void> {
    const running = [...this.#uploads.values()].filter(({ status }) => status === 'running');
    for (const upload of running) upload.isAsleep = true;
    await Promise.allSettled(running.map(({ job }) => job.suspend()));
  }

  /** After a sleep: what it stopped continues. */
  wake(): void {
    for (const upload of this.#uploads.values()) {
      if (upload.isAsleep) this.#run(upload, () => upload.job.resume());
    }
  }

  #keep(job: UploadJob, path: string, serverUrl: string): Upload {
    const upload: Upload = {
      job,
      path,
      serverUrl,
      status: 'paused',
      problem: undefined,
      isAsleep: false,
    };
    this.#uploads.set(job.id, upload);
    job.on('progress', () => {
      upload.problem = undefined;
      this.#changed();
    });
    job.on('retry', ({ error }) => {
      upload.problem = error.message;
      this.#changed();
    });
    job.on('state', (state) => {
      if (state === 'suspended') this.#enter(upload, 'paused');
      // Resumed while it was still being suspended.
      else if (upload.status === 'paused') this.#enter(upload, 'running');
    });
    job.on('done', () => this.#enter(upload, 'done'));
    // With this listener, failures are handled.
    job.on('failed', (error) => {
      if (isBitsError(error, 'BITS_ERR_ABORTED')) this.#enter(upload, 'cancelled');
      else this.#enter(upload, 'failed', error.message);
    });
    return upload;
  }

  #run(upload: Upload, start: () => Promise<unknown>): void {
    upload.isAsleep = false;
    this.#enter(upload, 'running');
    start().catch((error: Error) => {
      if (upload.status === 'running') this.#enter(upload, 'failed', error.message);
    });
  }

  #enter(upload: Upload, status: UploadView['status'], problem?: string): void {
    upload.status = status;
    upload.problem = problem;
    this.#changed();
  }

  #changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.emit('change', this.list());
    }, CHANGE_MS);
  }
}
