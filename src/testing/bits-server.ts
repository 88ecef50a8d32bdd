import { AssertionError } from 'node:assert';
import { lstat, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BITS_METHOD } from '../protocol/constants.js';
import { BG_E_SESSION_NOT_FOUND, E_INVALIDARG } from '../protocol/hresult.js';
import { AccessLog, type LogEntry, type LoggedRequest, type RequestKind } from './access-log.js';
import { type Entity, sendEntity } from './entity.js';
import { type Fault, type FaultAction, FaultPlan, type StatusFault } from './faults.js';
import { answerPacket, ConnectionCutError, type HandlerWorld, refuse } from './handlers.js';
import { type Connection, createHttp1Server, type Exchange, type Http1Server } from './http1.js';
import type { HeadRejection } from './http1-head.js';
import {
  type BitsServerOptions,
  type ResolvedOptions,
  resolveOptions,
  type Upload,
} from './options.js';
import {
  type Answer,
  type BodyReading,
  headerOf,
  type PacketRequest,
  readPacketType,
  readRange,
} from './packet-request.js';
import { isServed, parseUrlPath, resolveBelow, type UrlPath } from './paths.js';
import { Referee } from './referee.js';
import type { StoredReply } from './replies.js';
import { SessionStore } from './sessions.js';
import { VIOLATION_RULES, type Violation, type ViolationCode } from './violations.js';

/** A running BITS server. */
export interface BitsServer {
  /** Ends in a slash: `http://127.0.0.1:49152/`. */
  readonly url: string;
  readonly port: number;
  /** Where uploads go: the URL's path is the path below it. */
  readonly root: string;
  /** Every request so far, in the order of arrival. */
  readonly log: readonly LoggedRequest[];
  /** Everything that clients did against the protocol. */
  readonly violations: readonly Violation[];
  /** Every upload put into place so far. */
  readonly uploads: readonly Upload[];
  /** Connections accepted so far. */
  readonly connections: number;
  /** @throws BITS_ERR_ARGUMENT when its counts are no positive integers. */
  addFault(fault: Fault): void;
  /** Faults that have yet to strike, or to strike again. */
  unconsumedFaults(): Fault[];
  /** @throws AssertionError that lists the faults which did not strike as often as they should. */
  assertFaultsConsumed(): void;
  /** @throws AssertionError that lists the violations. */
  assertNoViolations(): void;
  /**
   * Waits until the `nth` request of a kind was answered, was cut off or hangs.
   *
   * Rejects with BITS_ERR_STATE when the server closes first.
   */
  waitForRequest(packet: RequestKind | 'any', nth?: number): Promise<LoggedRequest>;
  /** Destroys every connection and deletes unfinished uploads; safe to call twice. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_HEADERS = 128;
const HEAD_TIMEOUT_MS = 30_000;

const GARBAGE_PAGE =
  '<!doctype html><title>Welcome</title><p>Please accept the terms to use this network.</p>';

/**
 * Starts a BITS server that implements [MC-BUP] §3.2.5, commits faults on demand and records each
 * violation of the protocol by its clients.
 *
 * ```ts
 * const server = await createBitsServer({ faults: [{ on: 'fragment', nth: 3, do: 'hang' }] });
 * // upload to `${server.url}file.bin`
 * server.assertNoViolations();
 * server.assertFaultsConsumed();
 * await server.close();
 * ```
 *
 * An upload lands in the root at Close-Session, moved there atomically; nothing is flushed to the
 * device for it, so that a power cut may cost what was uploaded last.
 *
 * @throws BITS_ERR_ARGUMENT for options that make no sense; Error of the operating system when the
 * port or the root cannot be had.
 */
export async function createBitsServer(options: BitsServerOptions = {}): Promise<BitsServer> {
  const resolved = resolveOptions(options);
  const faults = new FaultPlan();
  for (const fault of resolved.faults) faults.add(fault);
  const { root, temporary } = await openRoot(resolved.root);
  const server = new ReferenceServer(resolved, faults, root, temporary);
  try {
    await server.listen();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

async function openRoot(wanted: string | undefined) {
  if (wanted === undefined) {
    const made = await mkdtemp(path.join(tmpdir(), 'bits-server-'));
    return { root: await realpath(made), temporary: true };
  }
  await mkdir(wanted, { recursive: true });
  return { root: await realpath(wanted), temporary: false };
}

class ReferenceServer implements BitsServer {
  readonly root: string;
  readonly violations: Violation[] = [];
  readonly uploads: Upload[] = [];
  readonly #options: ResolvedOptions;
  readonly #faults: FaultPlan;
  readonly #temporaryRoot: boolean;
  readonly #http: Http1Server;
  readonly #sessions: SessionStore;
  readonly #referee: Referee;
  readonly #log: AccessLog;
  readonly #world: HandlerWorld;
  readonly #underWay = new Set<Promise<void>>();
  #url = '';
  #port = 0;
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedOptions, faults: FaultPlan, root: string, temporaryRoot: boolean) {
    this.root = root;
    this.#options = options;
    this.#faults = faults;
    this.#temporaryRoot = temporaryRoot;
    const { now, sink, sessionTimeoutMs } = options;
    this.#sessions = new SessionStore({ root, sink, timeoutMs: sessionTimeoutMs, now });
    this.#log = new AccessLog(options.logLimit, options.onRequest);
    this.#referee = new Referee({
      sessions: this.#sessions,
      now,
      report: (code, message, { entry }) => this.#report(code, message, entry),
    });
    this.#world = {
      options,
      root,
      sessions: this.#sessions,
      onPublished: (upload) => {
        this.uploads.push(upload);
        if (this.uploads.length > options.logLimit) this.uploads.shift();
      },
    };
    this.#http = createHttp1Server({
      tls: options.tls,
      maxHeadBytes: MAX_HEAD_BYTES,
      maxHeaders: MAX_HEADERS,
      headTimeoutMs: HEAD_TIMEOUT_MS,
      idleTimeoutMs: options.idleTimeoutMs,
      onExchange: (exchange) => this.#track(this.#serve(exchange)),
      onRejected: (rejection, connection) => this.#noteRejected(rejection, connection),
    });
  }

  get url(): string {
    return this.#url;
  }

  get port(): number {
    return this.#port;
  }

  get log(): readonly LoggedRequest[] {
    return this.#log.entries;
  }

  get connections(): number {
    return this.#http.connections;
  }

  async listen(): Promise<void> {
    const { host, port, tls } = this.#options;
    const address = await this.#http.listen(port, host);
    this.#port = address.port;
    const scheme = tls === undefined ? 'http' : 'https';
    this.#url = `${scheme}://${reachableName(host)}:${address.port}/`;
  }

  addFault(fault: Fault): void {
    this.#faults.add(fault);
  }

  unconsumedFaults(): Fault[] {
    return this.#faults.unconsumed();
  }

  assertFaultsConsumed(): void {
    this.#faults.assertConsumed();
  }

  assertNoViolations(): void {
    if (this.violations.length === 0) return;
    const lines = this.violations.map(
      ({ rule, message, request }) =>
        `${rule} in request ${request.number} (${request.packet}): ${message}`,
    );
    throw new AssertionError({
      message: `Violations of [MC-BUP] by the client:\n${lines.join('\n')}`,
      actual: this.violations.map(({ code }) => code),
      expected: [],
      operator: 'assertNoViolations',
    });
  }

  waitForRequest(packet: RequestKind | 'any', nth = 1): Promise<LoggedRequest> {
    return this.#log.waitFor(packet, nth);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#http.close();
    await Promise.all(this.#underWay);
    await this.#sessions.close();
    this.#log.close();
    if (this.#temporaryRoot) await rm(this.root, { recursive: true, force: true });
  }

  #track(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  #report(code: ViolationCode, message: string, request: LoggedRequest): void {
    this.violations.push({ code, rule: VIOLATION_RULES[code], message, request });
    if (this.violations.length > this.#options.logLimit) this.violations.shift();
  }

  #noteRejected(rejection: HeadRejection, connection: Connection): Record<string, string> {
    const entry = this.#log.open({
      ...describeConnection(connection),
      packet: 'unknown',
      method: rejection.method,
      target: rejection.target,
      httpVersion: '',
      headers: {},
      rawHeaders: [],
      sessionId: undefined,
      range: undefined,
      arrivedAtMs: this.#options.now(),
    });
    this.#report(rejection.fault, rejection.message, entry);
    const { status, headers } = refuse(rejection.status, E_INVALIDARG);
    entry.status = status;
    entry.answerHeaders = headers;
    entry.answeredAtMs = this.#options.now();
    this.#log.settle(entry, 'answered');
    return headers;
  }

  async #serve(exchange: Exchange): Promise<void> {
    const { req, res, connection } = exchange;
    const { headers } = req;
    const method = methodOf(req);
    const urlPath = parseUrlPath(req.url ?? '');
    const isGet = method === 'GET' || method === 'HEAD';
    const reply = isGet ? this.#replyAt(urlPath) : undefined;
    const packet =
      method === BITS_METHOD ? readPacketType(headerOf(headers, 'bits-packet-type')) : undefined;
    const kind: RequestKind = packet ?? (reply ? 'reply' : isGet ? 'file' : 'unknown');
    const entry = this.#log.open({
      ...describeConnection(connection),
      packet: kind,
      method: req.method ?? '',
      target: req.url ?? '',
      httpVersion: req.httpVersion,
      headers,
      rawHeaders: req.rawHeaders,
      sessionId: headerOf(headers, 'bits-session-id'),
      range: packet === 'fragment' ? readRange(headerOf(headers, 'content-range')) : undefined,
      arrivedAtMs: this.#options.now(),
    });
    try {
      if (exchange.pipelined) {
        this.#report('pipelined', 'The last answer was not complete when this was sent', entry);
      }
      if (packet !== undefined) await this.#servePacket(packet, exchange, entry, urlPath);
      else if (isGet) await this.#serveGet(exchange, entry, urlPath, reply);
      else await this.#serveUnknown(exchange, entry, method === BITS_METHOD);
    } catch {
      // Of the file system, or of a body that broke off: there is no one to tell but the client.
      connection.reset();
    }
    this.#log.settle(entry, res.writableFinished ? 'answered' : 'cut');
  }

  async #servePacket(
    packet: NonNullable<ReturnType<typeof readPacketType>>,
    exchange: Exchange,
    entry: LogEntry,
    urlPath: UrlPath | undefined,
  ): Promise<void> {
    const fault = this.#faults.take(packet);
    entry.fault = fault;
    const request: PacketRequest = {
      packet,
      exchange,
      entry,
      headers: exchange.req.headers,
      path: urlPath,
      sessionId: entry.sessionId,
      range: entry.range,
      reading: readingOf(fault?.do, exchange.contentLength ?? 0),
    };
    try {
      await this.#referee.arrived(request);
      await this.#actOnPacket(request, fault?.do);
    } catch (error) {
      if (!(error instanceof ConnectionCutError)) throw error;
      this.#referee.answered(request, undefined, 'unsent');
    } finally {
      this.#referee.finished(request);
    }
  }

  async #actOnPacket(request: PacketRequest, action: FaultAction | undefined): Promise<void> {
    const { exchange } = request;
    const { connection } = exchange;
    switch (action) {
      case 'reset-before':
        connection.reset();
        throw new ConnectionCutError();
      case 'hang':
        this.#referee.answered(request, undefined, 'unsent');
        return this.#hang(exchange, request.entry);
      case 'garbage-page':
        return this.#sendFault(request, { status: 200, ...GARBAGE });
      case 'session-gone': {
        const session = this.#sessions.use(request.sessionId);
        if (session !== undefined) await session.exclusively(() => this.#sessions.end(session));
        return this.#sendAnswer(request, refuse(500, BG_E_SESSION_NOT_FOUND));
      }
    }
    if (typeof action === 'object') {
      if ('redirect' in action) {
        return this.#sendFault(request, { status: 307, headers: { Location: action.redirect } });
      }
      if ('status' in action && action.afterCommit !== true) {
        return this.#sendFault(request, action);
      }
    }

    const answer = await answerPacket(request, this.#world);
    switch (action) {
      case 'reset-mid':
      case 'reset-after-commit':
        await drain(exchange.req, request.entry);
        this.#referee.answered(request, answer, 'unsent');
        if (action === 'reset-mid') await writeHalfAHead(exchange.res, answer.status);
        connection.reset();
        return;
      case 'hang-after-commit':
        this.#referee.answered(request, answer, 'unsent');
        return this.#hang(exchange, request.entry);
    }
    if (typeof action === 'object') {
      if ('status' in action) return this.#sendFault(request, action, answer);
      if ('delayMs' in action) await pause(action.delayMs, connection);
      if ('offset' in action) changeHeader(answer, OFFSET_HEADER, action.offset);
      if ('headers' in action) {
        for (const [name, value] of Object.entries(action.headers)) {
          changeHeader(answer, name, value);
        }
      }
    }
    return this.#sendAnswer(request, answer);
  }

  async #sendFault(request: PacketRequest, fault: StatusFault, done?: Answer): Promise<void> {
    const answer = answerOf(fault);
    if (fault.neverEnds === true) {
      await drain(request.exchange.req, request.entry);
      this.#note(request.entry, answer);
      this.#referee.answered(request, done, 'unsent');
      writeEndless(request.exchange, answer, fault.body);
      return this.#hang(request.exchange, request.entry);
    }
    await this.#send(request.exchange, request.entry, answer, fault.body, () => {
      // What took effect is in the true answer; the client learns nothing of it.
      if (done === undefined) this.#referee.answered(request, answer, 'sent');
      else this.#referee.answered(request, done, 'unsent');
    });
  }

  async #sendAnswer(request: PacketRequest, answer: Answer): Promise<void> {
    const { entry, exchange } = request;
    await this.#send(exchange, entry, answer, undefined, () =>
      this.#referee.answered(request, answer, 'sent'),
    );
    if (!exchange.res.writableFinished) this.#referee.answered(request, answer, 'lost');
  }

  async #send(
    exchange: Exchange,
    entry: LogEntry,
    answer: Answer,
    body?: string,
    beforeEnd?: () => void,
  ): Promise<void> {
    const { req, res, connection, contentLength } = exchange;
    // A client reads the refusal of a huge body before it has sent it all.
    if (answer.status !== 413) await drain(req, entry);
    const { status, headers } = answer;
    if (connection.signal.aborted) {
      beforeEnd?.();
      return;
    }
    const length = body === undefined ? 0 : Buffer.byteLength(body);
    if (contentLength === undefined && req.method !== 'GET' && req.method !== 'HEAD') {
      // Nobody can tell whether a body follows.
      res.shouldKeepAlive = false;
    }
    this.#note(entry, answer);
    // Before the client can act on the answer.
    beforeEnd?.();
    res.writeHead(status, { ...headers, 'Content-Length': String(length) });
    res.end(body);
    await finished(res, connection);
  }

  #note(entry: LogEntry, { status, headers }: Answer): void {
    entry.status = status;
    entry.answerHeaders = headers;
    entry.answeredAtMs = this.#options.now();
  }

  async #hang({ req, connection }: Exchange, entry: LogEntry): Promise<void> {
    await drain(req, entry);
    if (!connection.signal.aborted) {
      this.#log.settle(entry, 'hanging');
      await new Promise((resolve) => connection.signal.addEventListener('abort', resolve));
    }
  }

  async #serveUnknown(exchange: Exchange, entry: LogEntry, isBits: boolean): Promise<void> {
    if (!isBits) {
      const headers = { Allow: `${BITS_METHOD}, GET, HEAD` };
      return this.#send(exchange, entry, { status: 405, headers });
    }
    this.#report('packet-type', 'BITS-Packet-Type is missing or unknown', entry);
    if (exchange.contentLength === undefined) {
      this.#report('content-length', 'The request has no Content-Length', entry);
    }
    return this.#send(exchange, entry, refuse(400, E_INVALIDARG));
  }

  #replyAt(urlPath: UrlPath | undefined): StoredReply | undefined {
    if (urlPath === undefined || urlPath.directory) return undefined;
    return this.#sessions.withReplyAt(urlPath.segments)?.storedReply;
  }

  async #serveGet(
    exchange: Exchange,
    entry: LogEntry,
    urlPath: UrlPath | undefined,
    reply: StoredReply | undefined,
  ): Promise<void> {
    const { req, res, connection } = exchange;
    const fault = reply === undefined ? undefined : this.#faults.take('reply');
    entry.fault = fault;
    const action = fault?.do;
    if (await this.#actOnGet(exchange, entry, action)) return;

    const entity =
      reply === undefined ? await this.#uploadedFile(urlPath) : reply.entityFor(req.method);
    if (entity === undefined) return this.#send(exchange, entry, { status: 404, headers: {} });
    await drain(req, entry);
    const headers = typeof action === 'object' && 'headers' in action ? action.headers : {};
    const slowness = typeof action === 'object' && 'bytesPerSecond' in action ? action : reply;
    const cut = action === 'reset-mid' || action === 'reset-after-commit' ? action : undefined;
    await sendEntity(req, res, entity, {
      connection,
      headers,
      bytesPerSecond: slowness?.bytesPerSecond,
      cut,
      onHead: (status, sentHeaders) => this.#note(entry, { status, headers: sentHeaders }),
      onPiece: (start, end) => reply?.noteRead(start, end),
    });
    await finished(res, connection);
  }

  /** @returns true when the fault was the whole answer. */
  async #actOnGet(
    exchange: Exchange,
    entry: LogEntry,
    action: FaultAction | undefined,
  ): Promise<boolean> {
    const { connection } = exchange;
    if (action === 'reset-before') {
      connection.reset();
      return true;
    }
    if (action === 'hang' || action === 'hang-after-commit') {
      await this.#hang(exchange, entry);
      return true;
    }
    const status = statusFaultOfGet(action);
    if (status !== undefined) {
      const answer = answerOf(status);
      if (status.neverEnds === true) {
        this.#note(entry, answer);
        writeEndless(exchange, answer, status.body);
        await this.#hang(exchange, entry);
      } else {
        await this.#send(exchange, entry, answer, status.body);
      }
      return true;
    }
    if (typeof action === 'object' && 'delayMs' in action) await pause(action.delayMs, connection);
    return false;
  }

  async #uploadedFile(urlPath: UrlPath | undefined): Promise<Entity | undefined> {
    if (urlPath === undefined || urlPath.directory) return undefined;
    const named = await resolveBelow(this.root, urlPath.segments);
    if (named === undefined) return undefined;
    const file = await realpath(named).catch(() => undefined);
    if (file === undefined || !isServed(this.root, file)) return undefined;
    const stats = await lstat(file, { bigint: true });
    if (!stats.isFile()) return undefined;
    return {
      file,
      byteLength: Number(stats.size),
      etag: `"${stats.size.toString(16)}-${stats.mtimeNs.toString(16)}"`,
      lastModified: stats.mtime,
    };
  }
}

const OFFSET_HEADER = 'BITS-Received-Content-Range';

const GARBAGE = { headers: { 'Content-Type': 'text/html' }, body: GARBAGE_PAGE };

/** A host for URLs; one to listen on every address names this machine. */
function reachableName(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

function methodOf(req: IncomingMessage): string {
  const override = headerOf(req.headers, 'x-http-method-override');
  return req.method === 'POST' && override !== undefined ? override : (req.method ?? '');
}

function describeConnection({ number, remoteAddress, remotePort, tls }: Connection) {
  return {
    connection: number,
    remoteAddress,
    remotePort,
    tls,
    bodyBytes: 0,
    fault: undefined,
    outcome: 'pending' as const,
    status: undefined,
    answerHeaders: {},
    answeredAtMs: undefined,
  };
}

function readingOf(action: FaultAction | undefined, bodyBytes: number): BodyReading {
  if (action === 'reset-mid' && bodyBytes > 0) return { cutAfterBytes: Math.floor(bodyBytes / 2) };
  if (typeof action === 'object' && 'bytesPerSecond' in action) {
    return { bytesPerSecond: action.bytesPerSecond };
  }
  return {};
}

function answerOf(fault: StatusFault): Answer {
  const { hresult, context } = fault;
  const error = hresult === undefined ? {} : refuse(fault.status, hresult, context).headers;
  return { status: fault.status, headers: { ...error, ...fault.headers } };
}

function statusFaultOfGet(action: FaultAction | undefined): StatusFault | undefined {
  if (action === 'garbage-page') return { status: 200, ...GARBAGE };
  if (action === 'session-gone') return { status: 404 };
  if (typeof action !== 'object') return undefined;
  if ('status' in action) return action;
  if ('redirect' in action) return { status: 307, headers: { Location: action.redirect } };
  return undefined;
}

function changeHeader(answer: Answer, name: string, value: string | number | null): void {
  for (const known of Object.keys(answer.headers)) {
    if (known.toLowerCase() === name.toLowerCase()) delete answer.headers[known];
  }
  if (value !== null) answer.headers[name] = String(value);
}

/** Reads what is left of a body, so that the client gets to read the answer. */
async function drain(req: IncomingMessage, entry: LogEntry): Promise<void> {
  if (req.readableEnded || req.destroyed) return;
  await new Promise<void>((resolve) => {
    req.on('data', (chunk: Buffer) => {
      entry.bodyBytes += chunk.length;
    });
    req.once('end', resolve);
    req.once('close', resolve);
  });
}

function pause(ms: number, { signal }: Connection): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => {
    throw new ConnectionCutError();
  });
}

async function finished(res: ServerResponse, { signal }: Connection): Promise<void> {
  if (res.writableFinished || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      res.off('finish', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    res.once('finish', done);
    signal.addEventListener('abort', done, { once: true });
  });
}

function writeHalfAHead(res: ServerResponse, status: number): Promise<void> {
  return new Promise((resolve) => {
    const { socket } = res;
    if (socket === null) resolve();
    else socket.write(`HTTP/1.1 ${status} OK\r\nBITS-Packet-`, () => resolve());
  });
}

function writeEndless({ res }: Exchange, { status, headers }: Answer, body = ''): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  res.socket?.write(`HTTP/1.1 ${status} Fault\r\n${lines.join('')}\r\n${body}`);
}
