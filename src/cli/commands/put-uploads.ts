import { codeOf } from '../../common/error-like.js';
import type { QueuedUploadOptions, ReplyOptions, UploadResult } from '../../index.js';
import { sizeOnServer } from '../../internal.js';
import { failureOf } from '../failure.js';
import type { UploadTarget } from '../render/messages.js';
import { resumeArguments } from '../resume-command.js';
import type { FinishedFiles } from '../tree/finished-files.js';
import { digestFile, ReplyDirectory } from '../tree/local-files.js';
import type { FailedPlan, Planned, PlannedUpload } from '../tree/planned.js';
import type { Flags } from './options.js';
import type { UploadBatch, UploadTask } from './upload-batch.js';

type Closed = UploadResult['closed'];

/** As many questions are asked ahead of the uploads. */
const HEADS_AT_ONCE = 4;

/** After so many in a row without an answer no more is asked. */
const MAX_UNANSWERED = 2;

/** Makes the uploads of a `put` from its plan, and remembers those that are done. */
export class PutUploads {
  readonly #flags: Flags;
  readonly #shared: Partial<QueuedUploadOptions>;
  readonly #batch: UploadBatch;
  readonly #finished: FinishedFiles | undefined;
  readonly #reply: ReplyOptions | undefined;
  readonly #replies: ReplyDirectory | undefined;
  #isAllAcknowledged = true;
  /** In a row. */
  #headsUnanswered = 0;

  /** @param shared the options of every upload */
  constructor(
    flags: Flags,
    shared: Partial<QueuedUploadOptions>,
    batch: UploadBatch,
    finished: FinishedFiles | undefined,
  ) {
    this.#flags = flags;
    this.#shared = shared;
    this.#batch = batch;
    this.#finished = finished;
    const { replyDir } = flags;
    this.#reply = shared.reply === true ? undefined : shared.reply;
    this.#replies = replyDir === undefined ? undefined : new ReplyDirectory(replyDir);
  }

  /** False when the server was only presumed to have stored a file. */
  get isAllAcknowledged(): boolean {
    return this.#isAllAcknowledged;
  }

  /** Tells the batch about all files that need no upload. */
  async *tasks(files: AsyncIterable<Planned>): AsyncGenerator<UploadTask> {
    const { dryRun, skipExisting } = this.#flags;
    const decided = skipExisting ? ahead(files, HEADS_AT_ONCE, this.#unlessOnServer) : files;
    let isAny = false;
    for await (const planned of decided) {
      isAny ||= planned.kind !== 'skipped' || planned.reason === 'same-size';
      if (planned.kind === 'failed') this.#failed(planned);
      else if (planned.kind === 'skipped') this.#batch.skipped(planned.target, planned.reason);
      else if (this.#isFinished(planned)) await this.#skipFinished(planned);
      else if (dryRun) this.#batch.planned(planned.target, planned.byteLength);
      else {
        const task = await this.#task(planned);
        if (task !== undefined) yield task;
      }
    }
    if (!isAny && !this.#shared.signal?.aborted) {
      this.#batch.reporter.warning({ code: 'no-files', message: 'there is no file to upload' });
    }
  }

  #failed({ target, error, missing }: FailedPlan): void {
    const isRemoved = missing !== undefined && this.#finished?.hasRemoved(missing);
    if (isRemoved) this.#batch.skipped(target, 'finished');
    else this.#batch.failed(target, failureOf(error));
  }

  #isFinished({ url, file }: PlannedUpload): boolean {
    return file !== undefined && this.#finished?.has({ url, ...file }) === true;
  }

  /** A kill may have come between the end of the upload and the removal. */
  async #skipFinished(upload: PlannedUpload): Promise<void> {
    this.#batch.skipped(upload.target, 'finished');
    const { removeSource, dryRun } = this.#flags;
    if (removeSource && !dryRun) await this.#remove(upload, 'acknowledged');
  }

  async #remove({ target, url, file }: PlannedUpload, closed: Closed): Promise<void> {
    if (file === undefined || !(await this.#batch.removeSource(target, file, closed))) return;
    this.#remember(target, () => this.#finished?.addRemoval({ url, ...file }));
  }

  readonly #unlessOnServer = async (planned: Planned): Promise<Planned> => {
    if (planned.kind !== 'upload' || this.#isFinished(planned)) return planned;
    const { target, url, byteLength } = planned;
    // A server that does not answer is left to the uploads, which know when to give it up.
    if (byteLength === undefined || this.#headsUnanswered >= MAX_UNANSWERED) return planned;
    const { priority, ...options } = this.#shared;
    const size = await sizeOnServer({ ...options, url }).catch(() => 'unknown' as const);
    this.#headsUnanswered = size === 'no-answer' ? this.#headsUnanswered + 1 : 0;
    return size === byteLength ? { kind: 'skipped', target, reason: 'same-size' } : planned;
  };

  /** Undefined when there is no place for the reply. */
  async #task(upload: PlannedUpload): Promise<UploadTask | undefined> {
    const { target, url, source, segments } = upload;
    const { origin, pathname, search } = url;
    const options = { ...this.#shared, url, source };
    try {
      const to = await this.#replies?.fileFor(segments);
      return {
        target,
        options: to === undefined ? options : { ...options, reply: { ...this.#reply, to } },
        argumentsToGiveAgain: resumeArguments(
          this.#flags,
          search === '' ? undefined : origin + pathname,
        ),
        onStored: (result) => this.#stored(upload, result),
      };
    } catch (error) {
      this.#batch.failed(target, failureOf(error));
      return undefined;
    }
  }

  #stored(
    upload: PlannedUpload,
    { closed }: UploadResult,
  ): Promise<string | undefined> | undefined {
    const { checksum, removeSource = false } = this.#flags;
    const { target, url, file } = upload;
    if (closed !== 'acknowledged') this.#isAllAcknowledged = false;
    else if (file !== undefined) {
      const fate = { isToBeRemoved: removeSource };
      this.#remember(target, () => this.#finished?.add({ url, ...file }, fate));
    }
    const hasMore = checksum !== undefined || (removeSource && file !== undefined);
    return hasMore ? this.#finish(upload, closed) : undefined;
  }

  /** @returns the digest, if it was asked for */
  async #finish(upload: PlannedUpload, closed: Closed): Promise<string | undefined> {
    const { checksum, removeSource } = this.#flags;
    const sha256 = checksum === undefined ? undefined : await this.#digest(upload);
    if (removeSource) await this.#remove(upload, closed);
    return sha256;
  }

  #remember(target: UploadTarget, add: () => void): void {
    try {
      add();
    } catch (error) {
      const why = `it cannot be remembered that this file is stored (${codeOf(error)})`;
      this.#warn('batch-not-kept', why, target);
    }
  }

  async #digest({ target, file, sha256 }: PlannedUpload): Promise<string | undefined> {
    if (file === undefined) return sha256?.();
    const digest = await digestFile(file, this.#shared.signal);
    if ('sha256' in digest) return digest.sha256;
    this.#warn('no-checksum', `there is no checksum of it: ${digest.why}`, target);
    return undefined;
  }

  #warn(code: string, text: string, target: UploadTarget): void {
    this.#batch.reporter.warning({ code, message: `${target.file}: ${text}` }, target);
  }
}

/** Begins the work for some items ahead of their turn; the first one goes alone. */
async function* ahead<T>(
  items: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<T>,
): AsyncGenerator<T> {
  const begun: Promise<T>[] = [];
  let limit = 1;
  for await (const item of items) {
    begun.push(work(item));
    if (begun.length < limit) continue;
    const [first] = begun.splice(0, 1);
    if (first !== undefined) yield await first;
    limit = atOnce;
  }
  yield* begun;
}
