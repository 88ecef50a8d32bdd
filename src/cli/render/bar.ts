import { basename } from 'node:path';
import type {
  RetryDecision,
  UploadProgress,
  UploadResult,
  UploadState,
  UploadWarning,
} from '../../index.js';
import { clean, type OutputStream } from '../io.js';
import { columnsOf, fitColumns } from './columns.js';
import { doneLine, resumedLine, say, sayFailure, sayWarning } from './messages.js';
import type { EarlierUpload, Failure, Reporter, Target } from './reporter.js';
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
 * For a terminal: one line, drawn again and again.
 *
 * The cursor is neither hidden nor moved to another line, so that nothing is left to restore when
 * the process is killed or stopped.
 */
export class BarReporter implements Reporter {
  readonly tickEveryMs = 125;
  readonly #stderr: OutputStream;
  readonly #options: BarOptions;
  #view: View;
  #name = '';
  #frame = 0;

  constructor(stderr: OutputStream, options: BarOptions) {
    this.#stderr = stderr;
    this.#options = options;
    this.#view = new View(options.now);
  }

  begin({ file }: Target): void {
    this.#view = new View(this.#options.now);
    this.#name = fitColumns(clean(basename(file ?? '')), NAME_COLUMNS);
    this.#draw();
  }

  resumed(target: Target, earlier: EarlierUpload): void {
    this.#erase();
    say(this.#stderr, resumedLine(target, earlier));
  }

  state(state: UploadState): void {
    this.#view.state(state);
  }

  progress(progress: UploadProgress): void {
    this.#view.progress(progress);
    this.#draw();
  }

  retry(decision: RetryDecision): void {
    this.#view.retry(decision);
    this.#draw();
  }

  warning(warning: UploadWarning): void {
    this.#erase();
    sayWarning(this.#stderr, warning);
  }

  tick(): void {
    this.#frame += 1;
    this.#draw();
  }

  done(target: Target, result: UploadResult): void {
    this.#erase();
    say(this.#stderr, doneLine(target, result));
  }

  failed(target: Target, failure: Failure): void {
    this.#erase();
    sayFailure(this.#stderr, target, failure);
  }

  #erase(): void {
    this.#stderr.write(TO_LINE_START);
  }

  #draw(): void {
    this.#stderr.write(TO_LINE_START + this.#line());
  }

  #line(): string {
    // In the last column some terminals wrap at once, and the line could not be drawn over.
    const columns = (this.#stderr.columns || DEFAULT_COLUMNS) - 1;
    const { percent, amount } = this.#view;
    const activity = clean(this.#view.activity);
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
