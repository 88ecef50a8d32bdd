import type { Readable, Writable } from 'node:stream';
import type { WriteStream } from 'node:tty';

/** A standard stream; `isTTY` and `columns` are there when it is a terminal. */
export type OutputStream = Writable & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

/** `fd` is there when it is that of the process. */
export type StandardInput = Readable & { readonly fd?: number };

/** What a command knows of the process it runs in. */
export interface Io {
  readonly stdin: StandardInput;
  /** Results only. */
  readonly stdout: OutputStream;
  /** Progress and messages. */
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const BIDI_OVERRIDE = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Makes text of others safe for a terminal: no escape sequences, no line breaks. */
export function clean(text: string): string {
  return text.replace(CONTROL, '\ufffd').replace(BIDI_OVERRIDE, '\ufffd');
}

/** Resolves when all that was written went to the operating system, or with why it cannot. */
export function flushed(stream: Writable): Promise<Error | null | undefined> {
  return new Promise((resolve) => {
    if (!stream.writable) resolve(stream.errored);
    else stream.write('', (error) => resolve(error));
  });
}
