import type { IncomingMessage } from 'node:http';
import { BITS_METHOD } from '../protocol/constants.js';
import { E_INVALIDARG } from '../protocol/hresult.js';
import type { LogEntry, RequestKind } from './access-log.js';
import { refuse } from './answer.js';
import { isForThisServer } from './host-check.js';
import type { Exchange, Http1Connection } from './http1-connection.js';
import type { HeadRejection } from './http1-head.js';
import { headerOf, type PacketRequest, readPacketType, readRange } from './packet-request.js';
import { parseUrlPath, type UrlPath } from './paths.js';
import type { StoredReply } from './replies.js';
import { Responder } from './responder.js';
import { serveFile, serveReply } from './serve-get.js';
import { servePacket } from './serve-packet.js';
import type { ServerState } from './server-state.js';

/** Logs a request and has it handled as what it is: a packet, a GET, or neither. */
export async function serveRequest(exchange: Exchange, state: ServerState): Promise<void> {
  const { req, connection } = exchange;
  const { headers } = req;
  const { log, violations, options } = state;
  const method = methodOf(req);
  const path = parseUrlPath(req.url ?? '');
  const isBits = method === BITS_METHOD;
  const isGet = method === 'GET' || method === 'HEAD';
  const packet = isBits ? readPacketType(headerOf(headers, 'bits-packet-type')) : undefined;
  const reply = isGet ? replyAt(path, state) : undefined;
  const entry = log.open({
    ...beginEntry(connection, packet ?? (reply ? 'reply' : isGet ? 'file' : 'unknown')),
    method: req.method ?? '',
    target: req.url ?? '',
    httpVersion: req.httpVersion,
    headers,
    rawHeaders: req.rawHeaders,
    sessionId: headerOf(headers, 'bits-session-id'),
    range: packet === 'fragment' ? readRange(headerOf(headers, 'content-range')) : undefined,
    arrivedAtMs: options.now(),
  });
  const responder = new Responder(exchange, entry, log, options.now);
  try {
    if (exchange.pipelined) {
      violations.report('pipelined', 'The answer to the previous request was not complete', entry);
    }
    if (!isForThisServer(exchange, state)) await refuseHost(responder);
    else if (packet !== undefined) {
      const { sessionId, range } = entry;
      const request: PacketRequest = { packet, exchange, entry, headers, path, sessionId, range };
      await servePacket(request, responder, state);
    } else if (reply !== undefined) await serveReply(reply, responder, state);
    else if (isGet) await serveFile(path, responder, state);
    else await refuseUnknown(isBits, responder, state);
  } catch {
    // An error of the file system, or a client that went away: only the client can be told.
    connection.reset();
  }
  log.settle(entry, responder.isSent ? 'answered' : 'cut');
}

/** Logs a request whose head was refused and gives the headers of its answer. */
export function logRejection(
  rejection: HeadRejection,
  connection: Http1Connection,
  { log, violations, options }: ServerState,
): Readonly<Record<string, string>> {
  const { status, headers } = refuse(rejection.status, E_INVALIDARG);
  const entry = log.open({
    ...beginEntry(connection, 'unknown'),
    method: rejection.method,
    target: rejection.target,
    httpVersion: '',
    headers: {},
    rawHeaders: [],
    sessionId: undefined,
    range: undefined,
    arrivedAtMs: options.now(),
    status,
    answerHeaders: headers,
    answeredAtMs: options.now(),
  });
  violations.report(rejection.violation, rejection.message, entry);
  log.settle(entry, 'answered');
  return headers;
}

function beginEntry(
  { number, remoteAddress, remotePort, tls }: Http1Connection,
  packet: RequestKind,
) {
  return {
    packet,
    connection: number,
    remoteAddress,
    remotePort,
    tls,
    bodyBytes: 0,
    fault: undefined,
    outcome: 'pending',
    status: undefined,
    answerHeaders: {},
    answeredAtMs: undefined,
  } satisfies Partial<LogEntry>;
}

function methodOf(req: IncomingMessage): string {
  const override = headerOf(req.headers, 'x-http-method-override');
  return req.method === 'POST' && override !== undefined ? override : (req.method ?? '');
}

function replyAt(path: UrlPath | undefined, { sessions }: ServerState): StoredReply | undefined {
  if (path === undefined || path.directory) return undefined;
  return sessions.withReplyAt(path.segments)?.storedReply;
}

/** With 421: the host is not that of this server (RFC 9110 §15.5.20). */
function refuseHost(responder: Responder): Promise<void> {
  return responder.send(
    { status: 421, headers: { 'Content-Type': 'text/plain' } },
    { body: 'This server was not started for that host. Add the host to those that it allows.\n' },
  );
}

async function refuseUnknown(
  isBits: boolean,
  responder: Responder,
  { violations }: ServerState,
): Promise<void> {
  if (!isBits) {
    return responder.send({ status: 405, headers: { Allow: `${BITS_METHOD}, GET, HEAD` } });
  }
  const { entry, exchange } = responder;
  violations.report('packet-type', 'BITS-Packet-Type is missing or unknown', entry);
  if (exchange.contentLength === undefined) {
    violations.report('content-length', 'The request has no Content-Length', entry);
  }
  return responder.send(refuse(400, E_INVALIDARG));
}
