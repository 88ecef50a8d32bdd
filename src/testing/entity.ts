import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { unlessAborted } from '../common/abort.js';
import { changeHeaders, type HeaderChanges } from './answer.js';
import { headerOf } from './packet-request.js';
import { NO_FOLLOW } from './paths.js';
import type { Responder } from './responder.js';

/** A file that can be downloaded. */
export interface Entity {
  readonly file: string;
  readonly byteLength: number;
  /** Strong, with its quotes. */
  readonly etag: string;
  readonly lastModified: Date;
}

export interface SendEntityOptions {
  readonly bytesPerSecond?: number | undefined;
  readonly headers?: HeaderChanges | undefined;
  /** A TCP reset halfway through the body, or in place of it. */
  readonly cut?: 'reset-halfway' | 'reset' | undefined;
  /** Called before each piece is written; `end` is exclusive. */
  readonly onPiece?: (start: number, end: number) => void;
}

type Selection = { readonly start: number; readonly end: number } | 'whole' | 'unsatisfiable';

/** Answers a GET or HEAD with the file or the range asked for (RFC 9110 §13.1.5, §14). */
export async function sendEntity(
  responder: Responder,
  entity: Entity,
  options: SendEntityOptions = {},
): Promise<void> {
  const { req, res, connection } = responder.exchange;
  const { byteLength } = entity;
  const selection = select(req, entity);
  const ranged = typeof selection === 'object';
  const { start, end } = ranged ? selection : { start: 0, end: byteLength };
  const status = ranged ? 206 : selection === 'whole' ? 200 : 416;
  const isEmpty = selection === 'unsatisfiable' || req.method === 'HEAD';
  const headers = changeHeaders(
    {
      'Accept-Ranges': 'bytes',
      ETag: entity.etag,
      'Last-Modified': entity.lastModified.toUTCString(),
      ...(selection === 'unsatisfiable'
        ? { 'Content-Range': `bytes */${byteLength}`, 'Content-Length': '0' }
        : {
            'Content-Type': 'application/octet-stream',
            'X-Content-Type-Options': 'nosniff',
            'Content-Length': String(end - start),
          }),
      ...(ranged && { 'Content-Range': `bytes ${start}-${end - 1}/${byteLength}` }),
    },
    options.headers ?? {},
  );
  responder.note({ status, headers });
  res.writeHead(status, headers);
  if (isEmpty) {
    res.end();
    return responder.finished();
  }
  res.flushHeaders();
  const { cut } = options;
  const stopAt = cut === undefined ? end : start + Math.floor((end - start) / 2);
  // Of nothing, the head is all there is, and it is sent.
  if (cut !== 'reset' || start === end) {
    await sendBytes(responder, entity.file, start, stopAt, options);
  }
  if (cut !== undefined) connection.reset();
  else await responder.finished();
}

async function sendBytes(
  { exchange: { res, connection } }: Responder,
  file: string,
  start: number,
  end: number,
  { bytesPerSecond, onPiece, cut }: SendEntityOptions,
): Promise<void> {
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
  const handle = await open(file, constants.O_RDONLY | NO_FOLLOW);
  const source = handle.createReadStream({ start, end: end - 1, highWaterMark: pieceBytes });
  for await (const piece of source as AsyncIterable<Buffer>) {
    if (signal.aborted) return;
    onPiece?.(offset, offset + piece.length);
    offset += piece.length;
    if (offset === end && cut === undefined) {
      // With its last byte the answer is complete, and the client may send its next request.
      res.end(piece);
      return;
    }
    const written = new Promise((resolve) => res.write(piece, resolve));
    await unlessAborted(written, signal);
    if (bytesPerSecond !== undefined && offset < end) {
      await delay((piece.length / bytesPerSecond) * 1000, undefined, { signal });
    }
  }
}

function select(req: IncomingMessage, entity: Entity): Selection {
  const { range } = req.headers;
  const ifRange = headerOf(req.headers, 'if-range');
  if (range === undefined || req.method !== 'GET') return 'whole';
  if (ifRange !== undefined && !isCurrent(ifRange, entity)) return 'whole';

  // Several ranges, other units and malformed ones may be ignored (RFC 9110 §14.2).
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
