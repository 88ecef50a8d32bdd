import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import type { OutputStream } from '../context.js';
import { columnsOf } from './columns.js';

const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const ERASE_LINE_END = '\u001b[K';
const ERASE_BELOW = '\u001b[J';

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

/**
 * The last lines of a terminal, which are drawn again and again in the same place; what is printed
 * scrolls above them.
 *
 * The cursor is hidden while they are there, and shown again however the process ends, except by SIGKILL.
 * It waits at the beginning of the last line: when a terminal becomes narrower, it wraps the lines above,
 * and the last one or not, as it happens.
 */
export class LiveArea {
  /** What is written here scrolls above the lines. */
  readonly above: Writable;
  /** Called when something was written above, and the lines are no longer there. */
  onErased: () => void = () => {};
  readonly #stream: OutputStream;
  #isEmpty = true;
  /** The columns of the lines above the cursor. */
  #above: readonly number[] = [];
  #isCursorHidden = false;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    this.above = new Writable({
      decodeStrings: false,
      write: (text, _encoding, done) => {
        this.erase();
        stream.write(text);
        done();
        this.onErased();
      },
    });
  }

  get size(): { readonly columns: number; readonly rows: number } {
    return {
      columns: this.#stream.columns || DEFAULT_COLUMNS,
      rows: this.#stream.rows || DEFAULT_ROWS,
    };
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** Draws lines in place of the former ones, in one write; each has to fit into the terminal. */
  draw(lines: readonly string[]): void {
    if (lines.length === 0 && this.isEmpty) return;
    // Each line over the former one: a terminal that is erased first may show it, and flicker.
    const text = lines.map((line) => `${line}${ERASE_LINE_END}`).join('\n');
    this.#stream.write(`${this.#hideCursor()}${this.#toStart()}${text}${ERASE_BELOW}\r`);
    this.#isEmpty = lines.length === 0;
    this.#above = lines.slice(0, -1).map((line) => columnsOf(stripVTControlCharacters(line)));
  }

  /** Makes room for lines that scroll; the next `draw` comes below them. */
  erase(): void {
    if (this.isEmpty) return;
    this.#stream.write(`${this.#toStart()}${ERASE_BELOW}`);
    this.#isEmpty = true;
    this.#above = [];
  }

  /** Erases the lines, and shows the cursor again. */
  close(): void {
    this.erase();
    this.#showCursor();
  }

  #toStart(): string {
    const { columns } = this.size;
    const rows = this.#above.reduce(
      (sum, above) => sum + Math.max(1, Math.ceil(above / columns)),
      0,
    );
    return rows === 0 ? '\r' : `\r\u001b[${rows}A`;
  }

  #hideCursor(): string {
    if (this.#isCursorHidden) return '';
    this.#isCursorHidden = true;
    process.on('exit', this.#onExit);
    // Windows has no such signal.
    if (process.platform !== 'win32') process.on('SIGTSTP', this.#onStop);
    return HIDE_CURSOR;
  }

  #showCursor(): void {
    if (!this.#isCursorHidden) return;
    this.#isCursorHidden = false;
    process.removeListener('exit', this.#onExit);
    process.removeListener('SIGTSTP', this.#onStop);
    this.#stream.write(SHOW_CURSOR);
  }

  readonly #onExit = (): void => this.close();

  /** Ctrl-Z: the shell gets a clean terminal; after `fg` the next frame is drawn below. */
  readonly #onStop = (): void => {
    this.close();
    process.kill(process.pid, 'SIGSTOP');
  };
}
