import type { CliEvent } from '../../cli-events.js';
import type { UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
import {
  type EarlierUpload,
  type Refusal,
  type Retry,
  resumedLine,
  type SkipReason,
  type Summary,
  type Target,
  type Warning,
} from './messages.js';
import { Reporter } from './reporter.js';
import { say, writeEvent } from './text.js';

/** For programs: one JSON object a line on standard output; errors are on standard error too. */
export class JsonLinesReporter extends Reporter {
  readonly #stdout: OutputStream;
  /** Without states, progress and retries. */
  readonly #isQuiet: boolean;
  /** Additional fields for the states of an upload that is resumed. */
  readonly #earlier = new WeakMap<Target, { readonly id: string; readonly resumed: true }>();

  constructor(stdout: OutputStream, stderr: OutputStream, isQuiet: boolean) {
    super(stderr);
    this.#stdout = stdout;
    this.#isQuiet = isQuiet;
  }

  override begin(target: Target): void {
    this.#earlier.delete(target);
  }

  override resumed(target: Target, earlier: EarlierUpload): void {
    this.#earlier.set(target, { id: earlier.id, resumed: true });
    if (!this.#isQuiet) say(this.stderr, resumedLine(target, earlier));
  }

  override state(target: Target, state: UploadState): void {
    if (this.#isQuiet) return;
    this.#write({ type: 'state', file: target.file, state, ...this.#earlier.get(target) });
  }

  override progress({ file }: Target, progress: UploadProgress): void {
    if (!this.#isQuiet) this.#write({ type: 'progress', file, ...progress });
  }

  override retry({ file }: Target, { attempt, delayMs, error }: Retry): void {
    if (this.#isQuiet) return;
    this.#write({ type: 'retry', file, attempt, delayMs, ...error });
  }

  override warning({ code, message }: Warning, target?: Target): void {
    this.#write({ type: 'warning', file: target?.file ?? null, code, message });
  }

  override done({ file }: Target, result: UploadResult, sha256?: string): void {
    const { reply, ...stored } = result;
    this.#write({
      type: 'result',
      file,
      ...stored,
      sha256,
      ...(reply !== undefined && { replyFile: reply.file, replyBytes: reply.bytes }),
    });
  }

  override failed(target: Target, failure: Failure): void {
    this.#error(target, failure);
    super.failed(target, failure);
  }

  override skipped(skipped: readonly Refusal[]): void {
    for (const { target, failure } of skipped) this.#error(target, failure);
    super.skipped(skipped);
  }

  override skippedFile({ file, url }: Target, reason: SkipReason): void {
    this.#write({ type: 'skipped', file, url, reason });
  }

  override planned({ file, url }: Target, bytes: number | undefined): void {
    this.#write({ type: 'planned', file, url, bytes: bytes ?? null });
  }

  override summary(summary: Summary): void {
    this.#write({ type: 'summary', ...summary });
  }

  #error({ file, url }: Target, failure: Failure): void {
    this.#write({ type: 'error', file, url, ...failure });
  }

  #write(event: CliEvent): void {
    writeEvent(this.#stdout, event);
  }
}
