import { basename } from 'node:path';
import type { QueueProgress, UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
import { fitColumns } from './columns.js';
import { LiveArea } from './live-area.js';
import {
  doneLine,
  type EarlierUpload,
  type Retry,
  resumedLine,
  type Summary,
  summaryLine,
  type Target,
  type Warning,
} from './messages.js';
import { Reporter } from './reporter.js';
import { type RowStyle, totalRow, uploadRow } from './rows.js';
import type { Signs } from './signs.js';
import { printable, say } from './text.js';
import { View } from './view.js';

export interface TerminalOptions {
  readonly color: boolean;
  readonly signs: Signs;
  readonly now: () => number;
}

interface Shown {
  readonly name: string;
  readonly view: View;
}

/** For a terminal: a line for each running upload, then one for all together; results scroll above. */
export class TerminalReporter extends Reporter {
  override readonly tickEveryMs = 125;
  readonly #options: TerminalOptions;
  readonly #area: LiveArea;
  readonly #uploads = new Map<Target, Shown>();
  #total: QueueProgress | undefined;
  #frame = 0;
  #isDrawDue = false;

  constructor(stderr: OutputStream, options: TerminalOptions) {
    super(stderr);
    this.#options = options;
    this.#area = new LiveArea(stderr);
    stderr.on('resize', this.#onResize);
  }

  override begin(target: Target): void {
    const { now } = this.#options;
    const name = printable(basename(target.file ?? ''));
    this.#uploads.set(target, { name, view: new View(now) });
    if (this.#area.isEmpty) this.#draw();
  }

  override resumed(target: Target, earlier: EarlierUpload): void {
    this.#print(() => say(this.stderr, resumedLine(target, earlier)));
  }

  override state(target: Target, state: UploadState): void {
    this.#uploads.get(target)?.view.state(state);
  }

  override progress(target: Target, progress: UploadProgress): void {
    this.#uploads.get(target)?.view.progress(progress);
  }

  override total(progress: QueueProgress): void {
    this.#total = progress;
  }

  override retry(target: Target, retry: Retry): void {
    this.#uploads.get(target)?.view.retry(retry);
  }

  override warning(warning: Warning): void {
    this.#print(() => super.warning(warning));
  }

  override tick(): void {
    this.#frame += 1;
    this.#draw();
  }

  override done(target: Target, result: UploadResult): void {
    this.#uploads.delete(target);
    this.#print(() => say(this.stderr, doneLine(target, result)));
  }

  override failed(target: Target, failure: Failure): void {
    this.#uploads.delete(target);
    this.#print(() => super.failed(target, failure));
  }

  override skipped(...args: Parameters<Reporter['skipped']>): void {
    this.#print(() => super.skipped(...args));
  }

  override summary(summary: Summary): void {
    this.#uploads.clear();
    this.#area.close();
    this.stderr.removeListener('resize', this.#onResize);
    if (summary.files > 1) say(this.stderr, summaryLine(summary));
  }

  /** Prints lines above the rows. */
  #print(print: () => void): void {
    this.#area.erase();
    print();
    if (this.#isDrawDue) return;
    this.#isDrawDue = true;
    // After the URL of a stored file, which follows on standard output, in the same terminal.
    queueMicrotask(() => {
      this.#isDrawDue = false;
      this.#draw();
    });
  }

  /** The rows may be wrapped now: nothing of them can be drawn over. */
  readonly #onResize = (): void => {
    this.#area.erase();
    this.#draw();
  };

  #draw(): void {
    this.#area.draw(this.#lines());
  }

  #lines(): string[] {
    const uploads = [...this.#uploads.values()];
    if (uploads.length === 0) return [];
    const { columns, rows } = this.#area.size;
    const { color, signs } = this.#options;
    // Some terminals wrap after the last column, and the line could not be drawn over.
    const style: RowStyle = { columns: columns - 1, signs, color, frame: this.#frame };
    const total = this.#total && totalRow(this.#total, style);
    // One row for the total, and one for what was printed before.
    const room = Math.max(1, rows - 2);
    const shown = uploads.length <= room ? uploads : uploads.slice(0, Math.max(1, room - 1));
    const lines = shown.map(({ name, view }) => uploadRow(name, view, style));
    const more = uploads.length - shown.length;
    if (more > 0) lines.push(fitColumns(`  and ${more} more`, style.columns, signs.cut));
    if (total !== undefined) lines.push(total);
    return lines;
  }
}
