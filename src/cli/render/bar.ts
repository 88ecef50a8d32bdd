import { basename } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { QueueProgress, UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
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
import { printable, say } from './text.js';
import { formatBytes, formatClock } from './units.js';
import { View } from './view.js';

const TO_LINE_START = '\r\u001b[K';
const ERASE_BELOW = '\u001b[J';
const GREEN = '\u001b[32m';
const DEFAULT_COLOR = '\u001b[39m';

const SPINNER = ['|', '/', '-', '\\'];
const NAME_COLUMNS = 24;
const MAX_BAR_COLUMNS = 32;
const MIN_BAR_COLUMNS = 8;
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

export interface BarOptions {
  readonly color: boolean;
  readonly now: () => number;
}

interface Shown {
  readonly name: string;
  readonly view: View;
}

/**
 * For a terminal: a line for each running upload, and one for all together if there are several; drawn
 * repeatedly in the same place.
 *
 * The cursor is not hidden and stays at the end of what is drawn, so that nothing has to be restored
 * when the process is killed or stopped.
 */
export class BarReporter extends Reporter {
  override readonly tickEveryMs = 125;
  readonly #options: BarOptions;
  readonly #uploads = new Map<Target, Shown>();
  #total: QueueProgress | undefined;
  #frame = 0;
  /** The columns of each line that is drawn now. */
  #drawn: readonly number[] = [];

  constructor(stderr: OutputStream, options: BarOptions) {
    super(stderr);
    this.#options = options;
  }

  override begin(target: Target): void {
    this.#uploads.set(target, {
      name: fitColumns(printable(basename(target.file ?? '')), NAME_COLUMNS),
      view: new View(this.#options.now),
    });
    if (this.#drawn.length === 0) this.#draw();
  }

  override resumed(target: Target, earlier: EarlierUpload): void {
    this.#erase();
    say(this.stderr, resumedLine(target, earlier));
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
    this.#erase();
    super.warning(warning);
  }

  override tick(): void {
    this.#frame += 1;
    this.#draw();
  }

  override done(target: Target, result: UploadResult, sha256?: string): void {
    this.#uploads.delete(target);
    this.#erase();
    say(this.stderr, doneLine(target, result, sha256));
  }

  override failed(target: Target, failure: Failure): void {
    this.#uploads.delete(target);
    this.#erase();
    super.failed(target, failure);
  }

  override skipped(...args: Parameters<Reporter['skipped']>): void {
    this.#erase();
    super.skipped(...args);
  }

  override summary(summary: Summary): void {
    this.#erase();
    if (summary.files > 1) say(this.stderr, summaryLine(summary));
  }

  #erase(): void {
    if (this.#drawn.length === 0) return;
    this.stderr.write(this.#eraser());
    this.#drawn = [];
  }

  /** A terminal that became narrower has wrapped the lines, which then take more rows. */
  #eraser(): string {
    const { columns } = this.#size();
    const rows = this.#drawn.reduce(
      (sum, drawn) => sum + Math.max(1, Math.ceil(drawn / columns)),
      0,
    );
    return rows < 2 ? TO_LINE_START : `\r\u001b[${rows - 1}A${ERASE_BELOW}`;
  }

  #draw(): void {
    const lines = this.#lines();
    if (lines.length === 0 && this.#drawn.length === 0) return;
    this.stderr.write(this.#eraser() + lines.join('\n'));
    this.#drawn = lines.map((line) => columnsOf(stripVTControlCharacters(line)));
  }

  #size(): { readonly columns: number; readonly rows: number } {
    return {
      columns: this.stderr.columns || DEFAULT_COLUMNS,
      rows: this.stderr.rows || DEFAULT_ROWS,
    };
  }

  #lines(): string[] {
    const size = this.#size();
    // Some terminals wrap after the last column, and the line could not be drawn over.
    const columns = size.columns - 1;
    const total = this.#totalLine();
    // One row for the total, one for what has no room, and one for what was printed before.
    const room = Math.max(1, size.rows - 3);
    const uploads = [...this.#uploads.values()];
    const lines = uploads.slice(0, room).map((shown) => this.#line(shown, columns));
    const more = uploads.length - lines.length;
    if (more > 0) lines.push(fitColumns(`  and ${more} more`, columns));
    if (total !== undefined && uploads.length > 0) lines.push(fitColumns(total, columns));
    return lines;
  }

  #line({ name, view }: Shown, columns: number): string {
    const { percent, amount } = view;
    const activity = printable(view.activity);
    const spinner = SPINNER[this.#frame % SPINNER.length];
    const head = `${spinner} ${name}`;
    const tail = [percent, amount, activity].filter((part) => part !== undefined).join('  ');
    const left = columns - columnsOf(head) - columnsOf(tail) - 4;
    const barColumns = Math.min(left, MAX_BAR_COLUMNS);
    if (percent === undefined || barColumns < MIN_BAR_COLUMNS) {
      return fitColumns(`${head}  ${tail}`, columns);
    }
    return `${head} ${this.#bar(barColumns, view.fraction)} ${tail}`;
  }

  #bar(columns: number, fraction: number): string {
    const filled = Math.floor(fraction * columns);
    const full = '='.repeat(filled);
    const colored = this.#options.color && filled > 0 ? `${GREEN}${full}${DEFAULT_COLOR}` : full;
    return `[${colored}${' '.repeat(columns - filled)}]`;
  }

  /** Undefined for a single file, whose own line says it all. */
  #totalLine(): string | undefined {
    const total = this.#total;
    if (total === undefined) return undefined;
    const { filesDone, filesFailed, filesRunning, filesWaiting, bytesSent, bytesPerSecond } = total;
    const begun = filesDone + filesFailed + filesRunning;
    const files = begun + filesWaiting;
    if (files < 2) return undefined;
    const failed = filesFailed === 0 ? '' : `, ${filesFailed} failed`;
    const speed = `${formatBytes(bytesPerSecond)}/s`;
    const left = timeLeftMs(total);
    const parts = [
      `Total: ${filesDone} of ${files} files${failed}`,
      formatBytes(bytesSent),
      left === undefined ? speed : `${speed}, about ${formatClock(left)} left`,
    ];
    return parts.join('  ');
  }
}

/** Files that wait are taken to be as large as those that have begun, on average. */
function timeLeftMs(total: QueueProgress): number | undefined {
  const { bytesSent, bytesTotal, bytesPerSecond, filesWaiting } = total;
  const begun = total.filesDone + total.filesFailed + total.filesRunning;
  if (bytesPerSecond === 0 || begun === 0) return undefined;
  const bytesLeft = bytesTotal - bytesSent + (filesWaiting * bytesTotal) / begun;
  return (bytesLeft / bytesPerSecond) * 1000;
}

let segmenter: Intl.Segmenter | undefined;
let wide: RegExp | undefined;

/** Made when they are needed: they take 15 ms of the start of the program. */
function graphemes(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  return segmenter.segment(text);
}

function columnsOfGrapheme(text: string): number {
  wide ??=
    /\p{Emoji_Presentation}|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\u3000-\u303f\uff01-\uff60]/u;
  return wide.test(text) ? 2 : 1;
}

/** The number of terminal columns of a text, accurate enough for a progress bar. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes(text)) columns += columnsOfGrapheme(segment);
  return columns;
}

/** The text cut to a number of columns; `…` stands for what is cut off. */
export function fitColumns(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let fitting = '';
  let used = 1;
  for (const { segment } of graphemes(text)) {
    used += columnsOfGrapheme(segment);
    if (used > columns) break;
    fitting += segment;
  }
  return columns < 1 ? '' : `${fitting}…`;
}
