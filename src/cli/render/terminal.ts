import { basename } from 'node:path';
import type { QueueProgress } from '../../index.js';
import type { OutputStream } from '../context.js';
import { fitColumns } from './columns.js';
import { type LineOptions, LineReporter } from './lines.js';
import { LiveArea } from './live-area.js';
import type { Summary, Target } from './messages.js';
import { type RowStyle, totalRow, uploadRow } from './rows.js';
import type { Signs } from './signs.js';
import { printable } from './text.js';

export interface TerminalOptions extends LineOptions {
  readonly color: boolean;
  readonly signs: Signs;
}

/** Without news for so long, the total speed that was told last is no longer true. */
const STALL_MS = 2000;

/** For a terminal: a line for each running upload, then one for all together; messages scroll above. */
export class TerminalReporter extends LineReporter {
  override readonly tickEveryMs = 125;
  /** For messages of others. */
  readonly above: OutputStream;
  readonly #terminal: OutputStream;
  readonly #options: TerminalOptions;
  readonly #area: LiveArea;
  #total: QueueProgress | undefined;
  #totalAtMs = 0;
  #isAllFound = false;
  #frame = 0;
  #isDrawDue = false;

  constructor(terminal: OutputStream, options: TerminalOptions) {
    const area = new LiveArea(terminal);
    super(area.above, options);
    this.above = area.above;
    this.#terminal = terminal;
    this.#options = options;
    this.#area = area;
    area.onErased = () => this.#drawSoon();
    terminal.on('resize', this.#onResize);
  }

  override begin(target: Target): void {
    super.begin(target);
    if (this.#area.isEmpty) this.#draw();
  }

  override allFound(): void {
    this.#isAllFound = true;
  }

  override total(progress: QueueProgress): void {
    this.#total = progress;
    this.#totalAtMs = this.#options.now();
  }

  override tick(): void {
    this.#frame += 1;
    this.#draw();
  }

  override summary(summary: Summary): void {
    this.#terminal.removeListener('resize', this.#onResize);
    this.#area.close();
    super.summary(summary);
  }

  /** After the URL of a stored file, which follows on standard output, in the same terminal. */
  #drawSoon(): void {
    if (this.#isDrawDue) return;
    this.#isDrawDue = true;
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
    const uploads = [...this.uploads];
    if (uploads.length === 0) return [];
    const { columns, rows } = this.#area.size;
    const { color, signs } = this.#options;
    // Some terminals wrap after the last column, and the line could not be drawn over.
    const style: RowStyle = { columns: columns - 1, signs, color, frame: this.#frame };
    const total = this.#totalRow(style);
    // One row for the total, and one for what was printed before.
    const room = Math.max(1, rows - 2);
    const shown = uploads.length <= room ? uploads : uploads.slice(0, Math.max(1, room - 1));
    const lines = shown.map(([{ file }, { view }]) =>
      uploadRow(printable(basename(file ?? '')), view, style),
    );
    const more = uploads.length - shown.length;
    if (more > 0) lines.push(fitColumns(`  and ${more} more`, style.columns, signs.cut));
    if (total !== undefined) lines.push(total);
    return lines;
  }

  #totalRow(style: RowStyle): string | undefined {
    const total = this.#total;
    if (total === undefined) return undefined;
    const isStalled = this.#options.now() - this.#totalAtMs > STALL_MS;
    const bytesPerSecond = isStalled ? 0 : total.bytesPerSecond;
    return totalRow({ ...total, bytesPerSecond, isAllFound: this.#isAllFound }, style);
  }
}
