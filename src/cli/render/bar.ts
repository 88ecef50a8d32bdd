import { basename } from 'node:path';
import type { UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
import {
  doneLine,
  type EarlierUpload,
  type Retry,
  resumedLine,
  type Target,
  type Warning,
} from './messages.js';
import { Reporter } from './reporter.js';
import { printable, say } from './text.js';
import { View } from './view.js';

const TO_LINE_START = '\r\u001b[K';
const GREEN = '\u001b[32m';
const DEFAULT_COLOR = '\u001b[39m';

const SPINNER = ['|', '/', '-', '\\'];
const NAME_COLUMNS = 24;
const MAX_BAR_COLUMNS = 32;
const MIN_BAR_COLUMNS = 8;
const DEFAULT_COLUMNS = 80;

export interface BarOptions {
  readonly color: boolean;
  readonly now: () => number;
}

/**
 * For a terminal: one line that is drawn repeatedly.
 *
 * The cursor is neither hidden nor moved to another line, so that nothing has to be restored when the
 * process is killed or stopped.
 */
export class BarReporter extends Reporter {
  override readonly tickEveryMs = 125;
  readonly #options: BarOptions;
  #view: View;
  #name = '';
  #frame = 0;

  constructor(stderr: OutputStream, options: BarOptions) {
    super(stderr);
    this.#options = options;
    this.#view = new View(options.now);
  }

  override begin({ file }: Target): void {
    this.#view = new View(this.#options.now);
    this.#name = fitColumns(printable(basename(file ?? '')), NAME_COLUMNS);
    this.#draw();
  }

  override resumed(target: Target, earlier: EarlierUpload): void {
    this.#erase();
    say(this.stderr, resumedLine(target, earlier));
  }

  override state(state: UploadState): void {
    this.#view.state(state);
  }

  override progress(progress: UploadProgress): void {
    this.#view.progress(progress);
    this.#draw();
  }

  override retry(retry: Retry): void {
    this.#view.retry(retry);
    this.#draw();
  }

  override warning(warning: Warning): void {
    this.#erase();
    super.warning(warning);
  }

  override tick(): void {
    this.#frame += 1;
    this.#draw();
  }

  override done(target: Target, result: UploadResult): void {
    this.#erase();
    say(this.stderr, doneLine(target, result));
  }

  override failed(target: Target, failure: Failure): void {
    this.#erase();
    super.failed(target, failure);
  }

  #erase(): void {
    this.stderr.write(TO_LINE_START);
  }

  #draw(): void {
    this.stderr.write(TO_LINE_START + this.#line());
  }

  #line(): string {
    // Some terminals wrap after the last column, and the line could not be drawn over.
    const columns = (this.stderr.columns || DEFAULT_COLUMNS) - 1;
    const { percent, amount } = this.#view;
    const activity = printable(this.#view.activity);
    const spinner = SPINNER[this.#frame % SPINNER.length];
    const head = `${spinner} ${this.#name}`;
    const tail = [percent, amount, activity].filter((part) => part !== undefined).join('  ');
    const left = columns - columnsOf(head) - columnsOf(tail) - 4;
    const barColumns = Math.min(left, MAX_BAR_COLUMNS);
    if (percent === undefined || barColumns < MIN_BAR_COLUMNS) {
      return fitColumns(`${head}  ${tail}`, columns);
    }
    return `${head} ${this.#bar(barColumns)} ${tail}`;
  }

  #bar(columns: number): string {
    const filled = Math.floor(this.#view.fraction * columns);
    const full = '='.repeat(filled);
    const colored = this.#options.color && filled > 0 ? `${GREEN}${full}${DEFAULT_COLOR}` : full;
    return `[${colored}${' '.repeat(columns - filled)}]`;
  }
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
