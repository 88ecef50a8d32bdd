import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ACK_PACKET_TYPE,
  BITS_UPLOAD_PROTOCOL,
  MAX_HEADER_VALUE_BYTES,
} from '../protocol/constants.js';
import {
  BG_E_SESSION_NOT_FOUND,
  BG_E_TOO_LARGE,
  DISK_FULL_AS_SPECIFIED,
  E_ACCESSDENIED,
  E_INVALIDARG,
  formatHresult,
} from '../protocol/hresult.js';
import type { PacketType } from '../protocol/packets.js';
import type { ResolvedOptions, Upload } from './options.js';
import { type Answer, headerOf, type PacketRequest } from './packet-request.js';
import { resolveBelow } from './paths.js';
import { type StoredReply, storeReply } from './replies.js';
import type { SessionStore, UploadSession } from './sessions.js';

/** What handlers need of their server. */
export interface HandlerWorld {
  readonly options: ResolvedOptions;
  /** As `realpath` gives it. */
  readonly root: string;
  readonly sessions: SessionStore;
  readonly onPublished: (upload: Upload) => void;
}

type Handler = (request: PacketRequest, world: HandlerWorld) => Promise<Answer>;

const E_FAIL = 0x80004005;
const HTTP_ERROR_BASE = 0x80190000;
const CONTEXT_SERVER = 0x5;
const CONTEXT_APPLICATION = 0x7;

// Enough for few system calls, little enough to lose when a connection breaks.
const BATCH_BYTES = 512 * 1024;

// Tickets of Negotiate and cookies are longer than what IIS allows BITS headers.
const LONG_HEADERS = new Set(['authorization', 'proxy-authorization', 'cookie']);

/** The connection ended, by a fault or by the client, so that no answer is due. */
export class ConnectionCutError extends Error {}

/** Answers a packet as [MC-BUP] §3.2.5 wants it. */
export async function answerPacket(request: PacketRequest, world: HandlerWorld): Promise<Answer> {
  const malformed =
    request.exchange.contentLength === undefined ||
    request.exchange.req.httpVersionMinor === 0 ||
    longHeaders(request).length > 0 ||
    (request.packet !== 'fragment' && request.exchange.contentLength > 0);
  if (malformed) return refuse(400, E_INVALIDARG);
  if (!world.options.uploadsEnabled) return refuse(501, E_ACCESSDENIED);
  try {
    return await HANDLERS[request.packet](request, world);
  } catch (error) {
    if (error instanceof ConnectionCutError) throw error;
    return refuseFileError(error);
  }
}

/** Names of headers over the length that IIS takes ([MC-BUP] <2>). */
export function longHeaders({ headers }: Pick<PacketRequest, 'headers'>): string[] {
  return Object.keys(headers).filter(
    (name) =>
      !LONG_HEADERS.has(name) && (headerOf(headers, name)?.length ?? 0) > MAX_HEADER_VALUE_BYTES,
  );
}

/** Whether a Create-Session offers a protocol that this server speaks. */
export function offersUploadProtocol({ headers }: Pick<PacketRequest, 'headers'>): boolean {
  const offered = headerOf(headers, 'bits-supported-protocols') ?? '';
  return offered
    .toLowerCase()
    .split(/[\s,]+/)
    .includes(BITS_UPLOAD_PROTOCOL);
}

export function refuse(status: number, hresult: number, context = CONTEXT_SERVER): Answer {
  return {
    status,
    headers: {
      'BITS-Packet-Type': ACK_PACKET_TYPE,
      'BITS-Error-Code': formatHresult(hresult),
      'BITS-Error-Context': `0x${context.toString(16)}`,
    },
  };
}

function ack(headers: Record<string, string> = {}): Answer {
  return { status: 200, headers: { 'BITS-Packet-Type': ACK_PACKET_TYPE, ...headers } };
}

function ackIn(session: UploadSession, world: HandlerWorld, headers: Record<string, string> = {}) {
  const id = world.options.omitSessionIdOnAck ? {} : { 'BITS-Session-Id': session.id };
  return ack({ ...id, ...headers });
}

const sessionNotFound = () => refuse(500, BG_E_SESSION_NOT_FOUND);

const HANDLERS: Record<PacketType, Handler> = {
  'create-session': createSession,
  ping: async () => ack(),
  fragment,
  'close-session': closeSession,
  'cancel-session': cancelSession,
};

async function createSession(request: PacketRequest, world: HandlerWorld): Promise<Answer> {
  const { options, sessions } = world;
  if (!offersUploadProtocol(request)) return refuse(400, E_INVALIDARG);
  if (request.path === undefined || request.path.directory) return refuse(400, E_INVALIDARG);
  if (options.sink === 'disk') {
    const refusal = await refusalOfName(request.path.segments, world);
    if (refusal !== undefined) return refusal;
  }

  const session = await sessions.create(request.path);
  const hostId = options.hostId();
  const headers: Record<string, string> = {
    'BITS-Protocol': BITS_UPLOAD_PROTOCOL,
    'BITS-Session-Id': session.id,
    'Accept-Encoding': 'identity',
  };
  if (hostId !== undefined) {
    headers['BITS-Host-Id'] = hostId;
    const seconds = Math.ceil(options.hostIdFallbackTimeoutMs / 1000);
    if (Number.isFinite(seconds)) headers['BITS-Host-Id-Fallback-Timeout'] = String(seconds);
  }
  return ack(headers);
}

async function refusalOfName(
  segments: readonly string[],
  { root, options }: HandlerWorld,
): Promise<Answer | undefined> {
  const file = await resolveBelow(root, segments);
  if (file === undefined) return refuse(400, E_INVALIDARG);
  const existing = await statIfAny(file);
  if (existing?.isDirectory()) return refuse(400, E_INVALIDARG);
  if (existing !== undefined && !options.allowOverwrite) return refuse(403, E_ACCESSDENIED);
  if (!options.createDirectories) {
    const parent = await statIfAny(path.dirname(file));
    if (parent?.isDirectory() !== true) return refuse(404, HTTP_ERROR_BASE + 404);
  }
  return undefined;
}

async function fragment(request: PacketRequest, world: HandlerWorld): Promise<Answer> {
  const { options, sessions } = world;
  const { range, exchange } = request;
  const length = exchange.contentLength;
  if (range === undefined || length !== range.end - range.start) {
    return refuse(400, E_INVALIDARG);
  }
  if (length > options.maxFragmentBytes) return refuse(413, HTTP_ERROR_BASE + 413);
  const session = sessions.use(request.sessionId);
  if (session === undefined) return sessionNotFound();
  return session.exclusively(async () => {
    if (session.ended) return sessionNotFound();
    if (request.path?.key !== session.path.key) return refuse(400, E_INVALIDARG);
    if (session.total !== undefined && session.total !== range.total) {
      return refuse(400, E_INVALIDARG);
    }
    if (range.total > options.maxUploadBytes) return refuse(500, BG_E_TOO_LARGE);
    session.total = range.total;
    session.contentName = headerOf(request.headers, 'content-name');

    // A client whose last ack was lost gets it again, reply URL included (§3.2.5.1.2).
    const completeAgain =
      options.reply !== undefined && session.complete && range.end === range.total;
    const inStep =
      range.start === session.committed ||
      (options.overlap === 'accept' && range.start < session.committed);
    if (!inStep && !completeAgain) return outOfStep(session);

    await receive(request, session, session.committed - range.start);
    sessions.use(session.id);
    return ackFragment(request, session, world);
  });
}

function outOfStep(session: UploadSession): Answer {
  const refusal = refuse(416, E_INVALIDARG);
  refusal.headers['BITS-Received-Content-Range'] = String(session.committed);
  if (session.storedReply !== undefined) {
    refusal.headers['BITS-Reply-URL'] = session.storedReply.url;
  }
  return refusal;
}

async function ackFragment(
  request: PacketRequest,
  session: UploadSession,
  world: HandlerWorld,
): Promise<Answer> {
  const headers: Record<string, string> = {
    'BITS-Received-Content-Range': String(session.committed),
  };
  if (session.complete && world.options.reply !== undefined) {
    if (world.options.replyAgain) session.reply = undefined;
    session.reply ??= askApplication(request, session, world);
    let stored: StoredReply | undefined;
    try {
      stored = await orCut(session.reply, request.exchange.connection.signal);
    } catch (error) {
      if (error instanceof ConnectionCutError) throw error;
      session.reply = undefined;
      return refuse(500, HTTP_ERROR_BASE + 500, CONTEXT_APPLICATION);
    }
    if (stored !== undefined) headers['BITS-Reply-URL'] = stored.url;
  }
  return ackIn(session, world, headers);
}

async function askApplication(
  request: PacketRequest,
  session: UploadSession,
  world: HandlerWorld,
): Promise<StoredReply | undefined> {
  session.replyCalls += 1;
  const file = path.join(world.root, ...session.path.segments);
  const upload = describe(request, session, file, session.replyCalls);
  const result = await world.options.reply?.(upload);
  if (result === undefined || session.ended) return undefined;
  const directory = session.path.segments.slice(0, -1);
  const nowMs = world.options.now();
  const stored = await storeReply(result, session.folder, originOf(request), directory, nowMs);
  session.storedReply = stored;
  return stored;
}

/** Waits for the application, but no longer than there is somebody to tell. */
async function orCut<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  result.catch(() => {});
  if (signal.aborted) throw new ConnectionCutError();
  let cut = () => {};
  try {
    return await Promise.race([
      result,
      new Promise<never>((_resolve, reject) => {
        cut = () => reject(new ConnectionCutError());
        signal.addEventListener('abort', cut);
      }),
    ]);
  } finally {
    signal.removeEventListener('abort', cut);
  }
}

/** Appends a Fragment's body from `skip` on; what has arrived counts even if the rest never comes. */
async function receive(request: PacketRequest, session: UploadSession, skip: number) {
  const { req, connection } = request.exchange;
  const { cutAfterBytes = Number.POSITIVE_INFINITY, bytesPerSecond } = request.reading;
  let batch: Buffer[] = [];
  let batchBytes = 0;
  let position = 0;
  const flush = async () => {
    const chunks = batch;
    const bytes = batchBytes;
    batch = [];
    batchBytes = 0;
    if (bytes === 0) return;
    await session.sink.append(chunks);
    session.committed += bytes;
  };
  const take = (piece: Buffer) => {
    const fresh = piece.subarray(Math.min(piece.length, Math.max(0, skip - position)));
    position += piece.length;
    request.entry.bodyBytes += piece.length;
    if (fresh.length === 0) return;
    batch.push(fresh);
    batchBytes += fresh.length;
  };

  let cut = false;
  const iterator = (req as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    while (!cut) {
      const next = await iterator.next();
      if (next.done) break;
      const whole = next.value;
      cut = position + whole.length >= cutAfterBytes;
      take(cut ? whole.subarray(0, cutAfterBytes - position) : whole);
      if (batchBytes >= BATCH_BYTES) await flush();
      if (bytesPerSecond !== undefined) {
        await delay((whole.length / bytesPerSecond) * 1000, undefined, {
          signal: connection.signal,
        });
      }
    }
  } catch {
    // The client is gone; what it sent stays.
    cut = true;
  }
  await flush();
  if (!cut) return;
  connection.reset();
  throw new ConnectionCutError();
}

async function closeSession(request: PacketRequest, world: HandlerWorld): Promise<Answer> {
  const { sessions, options } = world;
  const session = sessions.use(request.sessionId);
  if (session === undefined) return sessionNotFound();
  return session.exclusively(async () => {
    if (session.ended) return sessionNotFound();
    if (!session.complete) {
      await sessions.end(session);
      return ackIn(session, world);
    }
    let file = path.join(world.root, ...session.path.segments);
    if (options.sink === 'disk') {
      // The tree may have changed since Create-Session.
      const refusal = await refusalOfName(session.path.segments, world);
      if (refusal !== undefined) return refusal;
      file = (await resolveBelow(world.root, session.path.segments)) ?? file;
    }
    await session.sink.publish(file, options.allowOverwrite);
    const upload = describe(request, session, file, 1);
    world.onPublished(upload);
    await sessions.end(session);
    try {
      const told = (async () => options.onUpload?.(upload))();
      await orCut(told, request.exchange.connection.signal);
    } catch (error) {
      if (error instanceof ConnectionCutError) throw error;
      return refuse(500, HTTP_ERROR_BASE + 500, CONTEXT_APPLICATION);
    }
    return ackIn(session, world);
  });
}

async function cancelSession(request: PacketRequest, world: HandlerWorld): Promise<Answer> {
  const session = world.sessions.use(request.sessionId);
  if (session === undefined) return sessionNotFound();
  return session.exclusively(async () => {
    if (session.ended) return sessionNotFound();
    await world.sessions.end(session);
    return ackIn(session, world);
  });
}

function describe(
  request: PacketRequest,
  session: UploadSession,
  file: string,
  attempt: number,
): Upload {
  return {
    url: `${originOf(request)}${request.entry.target.replace(/^https?:\/\/[^/]*/i, '')}`,
    path: file,
    bytes: session.committed,
    contentName: session.contentName,
    headers: request.headers,
    sha256: session.sink.sha256(),
    attempt,
    open: () => session.sink.open(),
  };
}

function originOf({ exchange, headers }: PacketRequest): string {
  const scheme = exchange.connection.tls === undefined ? 'http' : 'https';
  return `${scheme}://${headers.host ?? ''}`;
}

function refuseFileError(error: unknown): Answer {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EEXIST':
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return refuse(403, E_ACCESSDENIED);
    case 'ENAMETOOLONG':
    case 'EISDIR':
    case 'ENOTDIR':
      return refuse(400, E_INVALIDARG);
    case 'ENOSPC':
    case 'EDQUOT':
      return refuse(500, DISK_FULL_AS_SPECIFIED);
    default:
      return refuse(500, E_FAIL);
  }
}

async function statIfAny(file: string) {
  try {
    return await stat(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
