import { codeOf } from '../../common/error-like.js';
import type { QueuedUploadOptions, UploadResult } from '../../index.js';
import { failureOf } from '../failure.js';
import type { FinishedFiles } from '../tree/finished-files.js';
import type { FailedPlan, Planned, PlannedUpload } from '../tree/planned.js';
import { HIDDEN_QUERY } from './find-jobs.js';
import type { PutFlags } from './put-options.js';
import type { UploadBatch, UploadTask } from './upload-batch.js';
import { connectionArguments, transferArguments } from './upload-options.js';

/** Makes the uploads of a `put` from its plan, and remembers those that are done. */
export class PutUploads {
  readonly #flags: PutFlags;
  readonly #shared: Partial<QueuedUploadOptions>;
  readonly #batch: UploadBatch;
  readonly #finished: FinishedFiles | undefined;
  #isAllAcknowledged = true;

  /** @param shared the options of every upload */
  constructor(
    flags: PutFlags,
    shared: Partial<QueuedUploadOptions>,
    batch: UploadBatch,
    finished: FinishedFiles | undefined,
  ) {
    this.#flags = flags;
    this.#shared = shared;
    this.#batch = batch;
    this.#finished = finished;
  }

  /** False when the server was only presumed to have stored a file. */
  get isAllAcknowledged(): boolean {
    return this.#isAllAcknowledged;
  }

  /** Tells the batch about all files that need no upload. */
  async *tasks(files: AsyncIterable<Planned>): AsyncGenerator<UploadTask> {
    for await (const planned of files) {
      if (planned.kind === 'failed') this.#failed(planned);
      else if (planned.kind === 'skipped') this.#batch.skipped(planned.target, planned.reason);
      else if (this.#isFinished(planned)) this.#batch.skipped(planned.target, 'finished');
      else if (this.#flags.dryRun) this.#batch.planned(planned.target, planned.byteLength);
      else yield this.#task(planned);
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

  #task(upload: PlannedUpload): UploadTask {
    const { target, url, source } = upload;
    return {
      target,
      options: { ...this.#shared, url, source },
      argumentsToGiveAgain: this.#resumeArguments(url),
      onStored: (result) => this.#stored(upload, result),
    };
  }

  #stored({ target, url, file }: PlannedUpload, { closed }: UploadResult): void {
    // Sent again when the command is repeated, rather than lost.
    if (closed !== 'acknowledged') this.#isAllAcknowledged = false;
    else if (file !== undefined) {
      try {
        this.#finished?.add({ url, ...file });
      } catch (error) {
        const message = `it cannot be remembered that this file is stored (${codeOf(error)})`;
        this.#batch.reporter.warning({ code: 'batch-not-kept', message }, target);
      }
    }
  }

  /** Secrets, and the destination of a reply without a name: no record holds them. */
  #resumeArguments({ origin, pathname, search }: URL): string[] {
    return [
      ...connectionArguments(this.#flags),
      ...(search === '' ? [] : ['--url', `${origin}${pathname}${HIDDEN_QUERY}`]),
      ...transferArguments(this.#flags),
    ];
  }
}
