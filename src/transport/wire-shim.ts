import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import { BITS_METHOD } from '../protocol/constants.js';
import { tellConnection } from './current-connection.js';
import { skipContinue } from './skip-continue.js';
import { throttleReads } from './throttle.js';

/** Called when the operating system holds a copy of the chunk; never when the write failed. */
type Taken = () => void;

/** On the chunk itself: it is quicker than a map beside it. */
const TAKEN = Symbol('taken');

type WatchedChunk = Uint8Array & { [TAKEN]?: Taken | undefined };

/**
 * Tells when a chunk has left this process, so that its memory may be written again.
 *
 * Each chunk is to be a view of its own. It works for one that is then written, as this same object, to a socket with the shim.
 */
export function watchChunk(chunk: WatchedChunk, taken: Taken): void {
  chunk[TAKEN] = taken;
}

/** True once the chunk was written to a socket with the shim. */
export function wasWritten(chunk: WatchedChunk): boolean {
  return chunk[TAKEN] === undefined;
}

/**
 * Puts back the `content-length: 0` that undici leaves out for methods that it does not know to
 * have a body; IIS answers 400 without it ([MC-BUP] §2.2.1.1, <23>).
 */
function withLength(head: string): string {
  if (!head.startsWith(`${BITS_METHOD} `) || !head.endsWith('\r\n\r\n')) return head;
  // As undici writes it; what it is given under this name it does not write.
  if (head.includes('\r\ncontent-length: ')) return head;
  return `${head.slice(0, -2)}content-length: 0\r\n\r\n`;
}

type Write = (
  chunk: string | Uint8Array,
  encoding?: BufferEncoding,
  done?: (error?: Error | null) => void,
) => boolean;

function shimSocket(socket: Socket): void {
  const write = socket.write.bind(socket) as Write;
  const shimmed: Write = (chunk, encoding, done) => {
    // undici writes a header block as one string and every body chunk as it got it.
    if (typeof chunk === 'string') return write(withLength(chunk), encoding, done);
    const watched: WatchedChunk = chunk;
    const taken = watched[TAKEN];
    if (taken === undefined) return write(chunk, encoding, done);
    watched[TAKEN] = undefined;
    return write(chunk, undefined, (error) => {
      if (!error) taken();
    });
  };
  socket.write = shimmed as Socket['write'];
  skipContinue(socket);
  throttleReads(socket);
  tellConnection(socket);
}

/**
 * A connector whose sockets speak as BITS servers need it; the rest is as `connect` made it.
 *
 * Wrap every connector with it, those of proxies included.
 */
export function shimConnector(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error === null) shimSocket(socket);
      callback(...result);
    });
}
