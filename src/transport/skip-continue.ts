import type { Socket } from 'node:net';

const STATUS_LINE = /^HTTP\/1\.[01] 100[ \r]/;
const STATUS_LINE_BYTES = 'HTTP/1.1 100 '.length;
const FIRST_DIGIT = 'HTTP/1.1 '.length;
const ONE = 0x31;
const HEAD_END = Buffer.from('\r\n\r\n');

/** A head that is longer than this is no `100 Continue` worth waiting for. */
const MAX_HEAD_BYTES = 4096;

/** Whether these bytes begin a head of which the first digit says that it is no 1xx. */
function isFinal(bytes: Buffer): boolean {
  const digit = bytes[FIRST_DIGIT];
  return digit !== undefined && digit !== ONE;
}

/**
 * Takes `100 Continue` out of what a socket reads.
 *
 * A server may send it though nobody asked, as older IIS does while an extension reads a body;
 * undici would cut the connection.
 */
export function skipContinue(socket: Socket): void {
  const read = socket.read.bind(socket);
  const write = socket.write.bind(socket);
  /** Nothing of the final answer to the latest request has come yet. */
  let atHead = false;
  let held: Buffer | undefined;

  socket.write = ((chunk: unknown, ...rest: []) => {
    if (typeof chunk === 'string') atHead = true;
    return write(chunk as string, ...rest);
  }) as Socket['write'];

  socket.read = (size?: number) => {
    let bytes = read(size) as Buffer | null;
    if (!atHead || bytes === null) return bytes;
    if (held === undefined && isFinal(bytes)) {
      atHead = false;
      return bytes;
    }
    if (held) bytes = Buffer.concat([held, bytes]);
    held = undefined;
    for (;;) {
      const start = bytes.toString('latin1', 0, STATUS_LINE_BYTES);
      if (bytes.length >= STATUS_LINE_BYTES && !STATUS_LINE.test(start)) break;
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        const mayBecomeContinue =
          bytes.length < MAX_HEAD_BYTES && 'HTTP/1.'.startsWith(start.slice(0, 7));
        if (!mayBecomeContinue) break;
        held = bytes;
        return null;
      }
      if (!STATUS_LINE.test(start)) break;
      bytes = bytes.subarray(end + HEAD_END.length);
      if (bytes.length === 0) return null;
    }
    atHead = false;
    return bytes;
  };
}
