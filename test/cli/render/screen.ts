import { createRequire } from 'node:module';
import { Writable } from 'node:stream';
import type { Terminal } from '@xterm/headless';

// It is CommonJS, whose names cannot be imported everywhere.
const headless: typeof import('@xterm/headless') = createRequire(import.meta.url)(
  '@xterm/headless',
);

/** A real emulator of a terminal: what a person sees after what was written. */
export class Screen extends Writable {
  readonly isTTY = true;
  /** Everything that was written. */
  text = '';
  writes = 0;
  readonly #terminal: Terminal;

  constructor(columns = 100, rows = 24) {
    super({ decodeStrings: false });
    this.#terminal = new headless.Terminal({
      cols: columns,
      rows,
      allowProposedApi: true,
      convertEol: true,
    });
  }

  get columns(): number {
    return this.#terminal.cols;
  }

  get rows(): number {
    return this.#terminal.rows;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    this.writes += 1;
    this.#terminal.write(String(chunk));
    done();
  }

  /** As a person resizes the window; the program hears of it. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.#settled();
    this.#terminal.resize(columns, rows);
    this.emit('resize');
  }

  /** The lines, with those that have scrolled away, and without empty ones at the end. */
  async lines(): Promise<string[]> {
    await this.#settled();
    const { active } = this.#terminal.buffer;
    const lines: string[] = [];
    for (let y = 0; y < active.length; y++) {
      const line = active.getLine(y);
      const text = line?.translateToString(true) ?? '';
      if (line?.isWrapped) lines[lines.length - 1] += text;
      else lines.push(text);
    }
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }

  get isCursorHidden(): boolean {
    return this.text.lastIndexOf('\u001b[?25l') > this.text.lastIndexOf('\u001b[?25h');
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => this.#terminal.write('', resolve));
  }
}
