import type { CliEvent } from '../../cli-events.js';
import type { OutputStream } from '../context.js';

/** Control characters, and what changes the direction or the lines of a text. */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Text with unsafe characters shown as `\u001b`: names and servers may hold escape sequences. */
export function printable(text: string): string {
  return text.replace(
    UNSAFE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Writes a line for a person. */
export function say(stream: OutputStream, text: string): void {
  stream.write(`${printable(text)}\n`);
}

/** Writes an event as a line of JSON; undefined values are left out. */
export function writeEvent(stream: OutputStream, event: CliEvent): void {
  // The escapes of JSON are the same as those for a terminal.
  say(stream, JSON.stringify(event));
}
