import { closeSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { codeOf } from '../common/error-like.js';
import { UsageError } from './values.js';

/**
 * A file that grows by lines, each written at once, so that none is lost when the process dies.
 *
 * The first write that fails ends it with a warning; what the command does goes on.
 */
export class LineFile {
  readonly #fd: number;
  readonly #warn: (message: string) => void;
  readonly #option: string;
  readonly #path: string;
  #isBroken = false;

  /**
   * @param flags of `open`: `a` adds to a file that exists, `wx` refuses it
   * @throws UsageError
   */
  constructor(option: string, path: string, flags: 'a' | 'wx', warn: (message: string) => void) {
    this.#option = option;
    this.#path = path;
    this.#warn = warn;
    try {
      if (flags === 'a') assertFileOrTerminal(option, path);
      this.#fd = openSync(path, flags, 0o600);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      const code = codeOf(error);
      throw new UsageError(
        code === 'EEXIST'
          ? `${option} ${path} exists already: give the name of a new file`
          : `${option} ${path} cannot be written (${code}): check the path`,
      );
    }
  }

  writeLine(line: string): void {
    if (this.#isBroken) return;
    try {
      writeSync(this.#fd, `${line}\n`);
    } catch (error) {
      this.#isBroken = true;
      this.#warn(`${this.#option} is incomplete (${codeOf(error)})`);
    }
  }

  close(): void {
    this.#isBroken = true;
    closeSync(this.#fd);
  }

  remove(): void {
    try {
      unlinkSync(this.#path);
    } catch {
      // It stays, with nothing in it that matters.
    }
  }
}

/** Opening a FIFO would wait for its reader, and so would each write when it is full. */
function assertFileOrTerminal(option: string, path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isFile() || stats.isCharacterDevice()) return;
  const what = stats.isDirectory() ? 'a directory' : stats.isFIFO() ? 'a pipe' : 'no regular file';
  throw new UsageError(`${option} ${path} is ${what}: give the name of a file`);
}

/** The lines that are written to it get the time before them. */
export function timedLines(file: LineFile, now: () => Date = () => new Date()): Writable {
  return new Writable({
    decodeStrings: false,
    write: (text, _encoding, done) => {
      const time = now().toISOString();
      for (const line of String(text).trimEnd().split('\n')) file.writeLine(`${time} ${line}`);
      done();
    },
  });
}
