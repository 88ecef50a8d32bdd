import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { freePort } from '../interop/support/ports.js';
import { patterned } from '../support/files.js';
import { openHandles, untilClosed } from '../support/handles.js';
import {
  answer,
  type RawRequest,
  type RawServer,
  type RawServerOptions,
  startRawServer,
  tlsCertificate,
} from '../support/raw-server.js';

const KIB = 1024;
const CONTENT = patterned(40 * KIB);
const SESSION_ID = '{1F4A8E6B-2C55-4D0B-9C0E-6F5E2B7A9D11}';
const PAGE = '<!doctype html><title>Please log in</title>';
const ACK = { 'BITS-Packet-Type': 'Ack' };

/** What a correct server answers. */
function correct({ headers }: RawRequest): string {
  switch (headers['bits-packet-type']) {
    case 'Create-Session':
      return answer(200, { ...ACK, 'BITS-Session-Id': SESSION_ID });
    case 'Fragment': {
      const [, end] = /-(\d+)\//.exec(headers['content-range'] ?? '') ?? [];
      return answer(200, { ...ACK, 'BITS-Received-Content-Range': String(Number(end) + 1) });
    }
    default:
      return answer(200, ACK);
  }
}

type Behaviour = (request: RawRequest, nth: number) => string | undefined;

/** Answers as `behaviour` says, else correctly; `nth` counts the packets of a type from 1. */
function answers(behaviour: Partial<Record<string, Behaviour>>): RawServerOptions {
  const counts = new Map<string, number>();
  return {
    onRequest: (request) => {
      const type = request.headers['bits-packet-type'] ?? request.method;
      const nth = (counts.get(type) ?? 0) + 1;
      counts.set(type, nth);
      const told = behaviour[type];
      const text = told === undefined ? correct(request) : told(request, nth);
      if (text !== undefined) request.connection.socket.write(text);
    },
  };
}

const never = (): undefined => undefined;

interface Case {
  readonly server: () => RawServerOptions;
  /** The code of the error, or `done`. */
  readonly ends: string;
  /** Most requests. */
  readonly requests: number;
  /** Most milliseconds. @default 2000 */
  readonly limitMs?: number;
  readonly options?: Partial<UploadOptions>;
}

/** Time-outs of cases that wait for one, and of those that must not meet one on a slow machine. */
const SHORT_MS = 150;
const LONG_MS = 2000;
const WAITS: ReadonlySet<string> = new Set(['BITS_ERR_TIMEOUT', 'BITS_ERR_NO_PROGRESS']);

const CASES: Readonly<Record<string, Case>> = {
  'a captive portal before anything worked': {
    server: () => answers({ 'Create-Session': () => answer(200, {}, PAGE) }),
    ends: 'BITS_ERR_NOT_BITS',
    requests: 1,
  },
  'a captive portal for a while': {
    server: () =>
      answers({
        Fragment: (request, nth) => (nth > 1 && nth < 5 ? answer(200, {}, PAGE) : correct(request)),
      }),
    ends: 'done',
    requests: 14,
  },
  'a captive portal after the first packet': {
    server: () => answers({ Fragment: () => answer(200, {}, PAGE) }),
    options: { retry: { limit: 3 } },
    ends: 'BITS_ERR_NOT_BITS',
    requests: 5,
  },
  'an error without a length on a socket that stays open': {
    server: () => answers({ 'Create-Session': () => 'HTTP/1.1 403 No\r\n\r\nGo away' }),
    ends: 'BITS_ERR_SERVER',
    requests: 1,
  },
  'acks without a length on sockets that stay open': {
    server: () =>
      answers({
        'Create-Session': () =>
          `HTTP/1.1 200 OK\r\nBITS-Packet-Type: Ack\r\nBITS-Session-Id: ${SESSION_ID}\r\n\r\n`,
        'Close-Session': () => 'HTTP/1.1 200 OK\r\nBITS-Packet-Type: Ack\r\n\r\n',
      }),
    ends: 'done',
    requests: 7,
  },
  'a server that accepts and never answers': {
    server: () => answers({ 'Create-Session': never }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_TIMEOUT',
    requests: 3,
  },
  'a server that stops answering in the middle': {
    server: () => answers({ Fragment: (request, nth) => (nth > 2 ? undefined : correct(request)) }),
    options: { timeouts: { noProgressMs: 400 } },
    ends: 'BITS_ERR_NO_PROGRESS',
    requests: 20,
  },
  'ten megabytes of headers': {
    server: () =>
      answers({
        'Create-Session': () =>
          `HTTP/1.1 200 OK\r\n${`X-A: ${'a'.repeat(1000)}\r\n`.repeat(10_000)}`,
      }),
    ends: 'BITS_ERR_TRANSPORT',
    requests: 1,
  },
  'endless bodies': {
    server: () => ({
      onRequest: (request) => {
        const { socket } = request.connection;
        socket.write(correct(request).replace('Content-Length: 0\r\n', ''));
        const pour = () => {
          while (!socket.destroyed && socket.write(Buffer.alloc(64 * KIB, 120)));
        };
        socket.on('drain', pour);
        pour();
      },
    }),
    ends: 'done',
    requests: 7,
    limitMs: 5000,
  },
  'endless informational answers': {
    server: () => ({
      onRequest: ({ connection: { socket } }) => {
        const pour = () => {
          while (!socket.destroyed && socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100)));
        };
        socket.on('drain', pour);
        pour();
      },
    }),
    options: { retry: { limit: 1 } },
    ends: 'BITS_ERR_TRANSPORT',
    requests: 2,
  },
  'an answer that arrives byte by byte': {
    server: () => ({
      onRequest: ({ connection: { socket } }) => {
        const timer = setInterval(() => socket.write('X'), 10);
        socket.write('HTTP/1.1 200 OK\r\nX: ');
        socket.once('close', () => clearInterval(timer));
      },
    }),
    options: { retry: { limit: 1 } },
    ends: 'BITS_ERR_TIMEOUT',
    requests: 2,
  },
  'an answer that is not HTTP': {
    server: () => answers({ 'Create-Session': () => 'SSH-2.0-OpenSSH_9.6\r\n' }),
    ends: 'BITS_ERR_TRANSPORT',
    requests: 1,
  },
  'a server that half closes instead of answering': {
    server: () => ({ onRequest: ({ connection }) => void connection.socket.end() }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_TRANSPORT',
    requests: 3,
  },
  'a server that does not read a fragment': {
    server: () => ({
      onHead: ({ headers, connection }) => {
        if (headers['bits-packet-type'] === 'Fragment') connection.socket.pause();
      },
      onRequest: (request) => {
        const { 'bits-packet-type': type } = request.headers;
        if (type !== 'Fragment') request.connection.socket.write(correct(request));
      },
    }),
    options: {
      source: patterned(24 * KIB * KIB),
      fragmentBytes: 24 * KIB * KIB,
      retry: { limit: 1 },
    },
    ends: 'BITS_ERR_TIMEOUT',
    requests: 3,
  },
  'a Close that is never answered': {
    server: () => answers({ 'Close-Session': never }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_TIMEOUT',
    requests: 9,
  },
  'a redirect to a scheme other than http': {
    server: () =>
      answers({ 'Create-Session': () => answer(307, { Location: 'ftp://elsewhere.invalid/' }) }),
    ends: 'BITS_ERR_SERVER',
    requests: 1,
  },
  'a Retry-After of a year': {
    server: () => answers({ 'Create-Session': () => answer(503, { 'Retry-After': '31536000' }) }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_SERVER',
    requests: 3,
  },
};

describe('an upload to a hostile server', () => {
  let server: RawServer;
  let handles = 0;

  beforeEach(async () => {
    // Mocha starts its own timer at the first await.
    await Promise.resolve();
    handles = openHandles();
  });
  afterEach(async () => {
    await server.close();
    await untilClosed(handles);
  });

  /** Uploads and tells the code of the error, or `done`. */
  async function upload(
    ends: string,
    options: Partial<UploadOptions>,
    limitMs = 2000,
  ): Promise<string> {
    const timeoutMs = WAITS.has(ends) ? SHORT_MS : LONG_MS;
    const startedMs = performance.now();
    const job = new UploadJob({
      url: server.url(),
      source: CONTENT,
      fragmentBytes: 8 * KIB,
      ...options,
      retry: { minDelayMs: 0, maxRetryAfterMs: 10, ...options.retry },
      timeouts: {
        stallMs: timeoutMs,
        answerMs: timeoutMs,
        noProgressMs: 5000,
        ...options.timeouts,
      },
    });
    const ended = await job.start().then(
      () => 'done',
      (error) => {
        if (isBitsError(error)) return error.code;
        throw error;
      },
    );
    expect(performance.now() - startedMs, 'time').to.be.below(limitMs);
    return ended;
  }

  for (const [title, { server: behaviour, ends, requests, limitMs, options }] of Object.entries(
    CASES,
  )) {
    const verdict = ends === 'done' ? 'finishes despite' : `fails with ${ends} on`;
    it(`${verdict} ${title}`, async () => {
      server = await startRawServer(behaviour());
      expect(await upload(ends, options ?? {}, limitMs)).to.equal(ends);
      expect(server.requests.length, 'requests').to.be.within(1, requests);
    });
  }

  it('fails with BITS_ERR_TRANSPORT on a TLS handshake that is cut', async () => {
    server = await startRawServer({ onConnection: ({ socket }) => void socket.destroy() });
    const url = server.url();
    url.protocol = 'https:';
    const tls = { ca: tlsCertificate() };
    expect(await upload('BITS_ERR_TRANSPORT', { url, tls, retry: { limit: 2 } })).to.equal(
      'BITS_ERR_TRANSPORT',
    );
    expect(server.connections).to.have.lengthOf(3);
  });

  it('fails with BITS_ERR_TIMEOUT on a TLS handshake that stops', async () => {
    server = await startRawServer();
    const url = server.url();
    url.protocol = 'https:';
    const tls = { ca: tlsCertificate() };
    expect(await upload('BITS_ERR_TIMEOUT', { url, tls, retry: { limit: 2 } })).to.equal(
      'BITS_ERR_TIMEOUT',
    );
  });

  it('fails with BITS_ERR_TRANSPORT on a server that is gone', async () => {
    server = await startRawServer();
    const url = `http://127.0.0.1:${await freePort()}/file.bin`;
    expect(await upload('BITS_ERR_TRANSPORT', { url, retry: { limit: 5 } })).to.equal(
      'BITS_ERR_TRANSPORT',
    );
  });
});
