import { createReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection } from './http1.js';
import { headerOf } from './packet-request.js';

/** A file as HTTP shows it. */
export interface Entity {
  readonly file: string;
  readonly byteLength: number;
  /** A strong one, quotes included. */
  readonly etag: string;
  readonly lastModified: Date;
}

export interface SendEntityOptions {
  readonly connection: Connection;
  readonly bytesPerSecond?: number | undefined;
  /** Changes to the headers of the answer; null removes one. */
  readonly headers: Readonly<Record<string, string | null>>;
  /** Resets the connection after the head, or in the middle of the body. */
  readonly cut?: 'reset-mid' | 'reset-after-commit' | undefined;
  /** Told just before the head is written. */
  readonly onHead: (status: number, headers: Record<string, string>) => void;
  /** Told of every piece just before it is written; `end` is exclusive. */
  readonly onPiece?: (start: number, end: number) => void;
}

type Selection = { readonly start: number; readonly end: number } | 'whole' | 'unsatisfiable';

/** Answers a GET or HEAD with the file or the range asked for (RFC 9110 §13.1.5, §14). */
export async function sendEntity(
  req: IncomingMessage,
  res: ServerResponse,
  entity: Entity,
  options: SendEntityOptions,
): Promise<void> {
  const { byteLength } = entity;
  const selection = select(req, entity);
  const headers: Record<string, string | null> = {
    'Accept-Ranges': 'bytes',
    ETag: entity.etag,
    'Last-Modified': entity.lastModified.toUTCString(),
  };
  if (selection === 'unsatisfiable') {
    headers['Content-Range'] = `bytes */${byteLength}`;
    headers['Content-Length'] = '0';
    writeHead(res, 416, headers, options);
    res.end();
    return;
  }
  const { start, end } = selection === 'whole' ? { start: 0, end: byteLength } : selection;
  headers['Content-Type'] = 'application/octet-stream';
  headers['X-Content-Type-Options'] = 'nosniff';
  headers['Content-Length'] = String(end - start);
  if (selection !== 'whole') headers['Content-Range'] = `bytes ${start}-${end - 1}/${byteLength}`;
  writeHead(res, selection === 'whole' ? 200 : 206, headers, options);
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  res.flushHeaders();
  const { cut, connection } = options;
  const middle = start + Math.floor((end - start) / 2);
  const stopAt = cut === 'reset-mid' ? middle : end;
  if (cut !== 'reset-after-commit') await sendBytes(res, entity.file, start, stopAt, options);
  if (cut !== undefined) connection.reset();
}

function writeHead(
  res: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string | null>>,
  options: SendEntityOptions,
): void {
  res.statusCode = status;
  for (const [name, value] of Object.entries({ ...headers, ...options.headers })) {
    if (value === null) res.removeHeader(name);
    else res.setHeader(name, value);
  }
  const sent = Object.entries(res.getHeaders()).map(([name, value]) => [name, String(value)]);
  options.onHead(status, Object.fromEntries(sent));
}

async function sendBytes(
  res: ServerResponse,
  file: string,
  start: number,
  end: number,
  options: SendEntityOptions,
): Promise<void> {
  const { connection, bytesPerSecond, onPiece, cut } = options;
  const { signal } = connection;
  if (end === start) {
    onPiece?.(start, end);
    if (cut === undefined) res.end();
    return;
  }
  // Ten pieces a second keep a slow answer visibly alive.
  const pieceBytes =
    bytesPerSecond === undefined
      ? 256 * 1024
      : Math.max(1, Math.min(64 * 1024, Math.ceil(bytesPerSecond / 10)));
  let offset = start;
  const source = createReadStream(file, { start, end: end - 1, highWaterMark: pieceBytes });
  for await (const piece of source as AsyncIterable<Buffer>) {
    if (signal.aborted) return;
    onPiece?.(offset, offset + piece.length);
    offset += piece.length;
    if (offset === end && cut === undefined) {
      // With its last byte the answer is complete, and the client may go on.
      res.end(piece);
      return;
    }
    await new Promise<void>((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      signal.addEventListener('abort', done);
      res.write(piece, done);
    });
    if (bytesPerSecond !== undefined && offset < end) {
      await delay((piece.length / bytesPerSecond) * 1000, undefined, { signal }).catch(() => {});
    }
  }
}

function select(req: IncomingMessage, entity: Entity): Selection {
  const { range } = req.headers;
  const ifRange = headerOf(req.headers, 'if-range');
  if (range === undefined || req.method !== 'GET') return 'whole';
  if (ifRange !== undefined && !isCurrent(ifRange, entity)) return 'whole';

  // Several ranges, other units and nonsense may be answered with the whole (RFC 9110 §14.2).
  const [, first, last] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(range) ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'whole';
  const { byteLength } = entity;
  if (first === '') {
    const suffix = Math.min(Number(last), byteLength);
    return suffix === 0 ? 'unsatisfiable' : { start: byteLength - suffix, end: byteLength };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return 'whole';
  if (start >= byteLength) return 'unsatisfiable';
  return { start, end: last === '' ? byteLength : Math.min(Number(last) + 1, byteLength) };
}

function isCurrent(ifRange: string, { etag, lastModified }: Entity): boolean {
  return ifRange === etag || ifRange === lastModified.toUTCString();
}
