import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfAborted, unlessAborted } from '../common/abort.js';
import { BITS_UPLOAD_PROTOCOL } from '../protocol/constants.js';
import {
  BG_E_SESSION_NOT_FOUND,
  DISK_FULL_AS_SPECIFIED,
  E_ACCESSDENIED,
  E_INVALIDARG,
} from '../protocol/hresult.js';
import { type Answer, ack, CONTEXT_APPLICATION, hresultOf, refuse } from './answer.js';
import { describeUpload } from './application.js';
import type { FaultEffect } from './fault-effects.js';
import { receiveFragment } from './fragment.js';
import { longHeaders, offersUploadProtocol, type PacketRequest } from './packet-request.js';
import { resolveBelow, unlessMissing } from './paths.js';
import type { ServerState } from './server-state.js';
import type { UploadSession } from './sessions.js';

const E_FAIL = 0x80004005;

/**
 * Answers a packet as [MC-BUP] §3.2.5 wants it.
 *
 * @throws BITS_ERR_ABORTED when the connection ends before there is an answer.
 */
export async function answerPacket(
  request: PacketRequest,
  state: ServerState,
  effect: FaultEffect,
): Promise<Answer> {
  const { packet, exchange } = request;
  const malformed =
    exchange.contentLength === undefined ||
    exchange.req.httpVersionMinor === 0 ||
    longHeaders(request).length > 0 ||
    (packet !== 'fragment' && exchange.contentLength > 0);
  if (malformed) return refuse(400, E_INVALIDARG);
  if (!state.options.uploadsEnabled) return refuse(501, E_ACCESSDENIED);
  try {
    switch (packet) {
      case 'create-session':
        return await createSession(request, state);
      case 'ping':
        return ack();
      case 'fragment':
        return await inSession(request, state, (session) =>
          receiveFragment(request, session, state, effect),
        );
      case 'close-session':
        return await inSession(request, state, (session) => closeSession(request, session, state));
      case 'cancel-session':
        return await inSession(request, state, async (session) => {
          await state.sessions.end(session);
          return ack();
        });
    }
  } catch (error) {
    throwIfAborted(exchange.connection.signal);
    return refuseFileError(error);
  }
}

/** Runs a task on the session of a packet, after all earlier ones. */
async function inSession(
  { sessionId }: PacketRequest,
  { sessions, options }: ServerState,
  task: (session: UploadSession) => Promise<Answer>,
): Promise<Answer> {
  const session = sessions.use(sessionId);
  const answer = await session?.exclusively(async () =>
    session.ended ? undefined : task(session),
  );
  if (session === undefined || answer === undefined) return refuse(500, BG_E_SESSION_NOT_FOUND);
  if (options.omitSessionIdOnAck || answer.status !== 200) return answer;
  return { ...answer, headers: { 'BITS-Session-Id': session.id, ...answer.headers } };
}

async function createSession(request: PacketRequest, state: ServerState): Promise<Answer> {
  const { options, sessions } = state;
  if (!offersUploadProtocol(request)) return refuse(400, E_INVALIDARG);
  if (request.path === undefined || request.path.directory) return refuse(400, E_INVALIDARG);
  if (options.sink === 'disk') {
    const target = await fileToCreate(request.path.segments, state);
    if (typeof target !== 'string') return target;
  }

  const session = await sessions.create(request.path);
  if (session === undefined) return refuse(503, hresultOf(503));
  const hostId = options.hostId();
  const headers: Record<string, string> = {
    'BITS-Protocol': BITS_UPLOAD_PROTOCOL,
    'BITS-Session-Id': session.id,
    'Accept-Encoding': 'identity',
  };
  if (hostId !== undefined) {
    state.hostIds.add(hostId);
    headers['BITS-Host-Id'] = hostId;
    const seconds = Math.ceil(options.hostIdFallbackTimeoutMs / 1000);
    if (Number.isFinite(seconds)) headers['BITS-Host-Id-Fallback-Timeout'] = String(seconds);
  }
  return ack(headers);
}

async function closeSession(
  request: PacketRequest,
  session: UploadSession,
  state: ServerState,
): Promise<Answer> {
  const { sessions, options } = state;
  if (!session.complete) {
    await sessions.end(session);
    return ack();
  }
  let file = path.join(state.root, ...session.path.segments);
  if (options.sink === 'disk') {
    // The tree may have changed since Create-Session.
    const target = await fileToCreate(session.path.segments, state);
    if (typeof target !== 'string') return target;
    file = target;
  }
  await session.sink.publish(file, options.allowOverwrite);
  const upload = describeUpload(request, session, file);
  state.noteUpload(upload);
  await sessions.end(session);
  const { signal } = request.exchange.connection;
  try {
    await unlessAborted((async () => options.onUpload?.(upload))(), signal);
  } catch {
    throwIfAborted(signal);
    return refuse(500, hresultOf(500), CONTEXT_APPLICATION);
  }
  return ack();
}

/** The file that an upload to a URL path creates, or the refusal of that path. */
async function fileToCreate(
  segments: readonly string[],
  { root, options }: ServerState,
): Promise<string | Answer> {
  const file = await resolveBelow(root, segments);
  if (file === undefined) return refuse(400, E_INVALIDARG);
  const existing = await unlessMissing(lstat(file));
  if (existing?.isDirectory()) return refuse(400, E_INVALIDARG);
  if (existing !== undefined && !options.allowOverwrite) return refuse(403, E_ACCESSDENIED);
  if (!options.createDirectories) {
    const parent = await unlessMissing(stat(path.dirname(file)));
    if (parent?.isDirectory() !== true) return refuse(404, hresultOf(404));
  }
  return file;
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
    case 'ELOOP':
      return refuse(400, E_INVALIDARG);
    case 'ENOTDIR':
      return refuse(404, hresultOf(404));
    case 'ENOSPC':
    case 'EDQUOT':
      return refuse(500, DISK_FULL_AS_SPECIFIED);
    default:
      return refuse(500, E_FAIL);
  }
}
