import net from 'node:net';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
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

/** What a decent server answers. */
function decent({ headers }: RawRequest): string {
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

/** Does as `behaviour` says where that says something; `nth` counts the packets of its type from 1. */
function answers(behaviour: Partial<Record<string, Behaviour>>): RawServerOptions {
  const counts = new Map<string, number>();
  return {
    onRequest: (request) => {
      const type = request.headers['bits-packet-type'] ?? request.method;
      const nth = (counts.get(type) ?? 0) + 1;
      counts.set(type, nth);
      const told = behaviour[type];
      const text = told === undefined ? decent(request) : told(request, nth);
      if (text !== undefined) request.connection.socket.write(text);
    },
  };
}

const never = (): undefined => undefined;
const fragmentAck = (offset: number | string, more = {}): string =>
  answer(200, { ...ACK, 'BITS-Received-Content-Range': String(offset), ...more });

interface Case {
  readonly it: string;
  readonly server: () => RawServerOptions;
  /** The code of the error, or `done`. */
  readonly ends: string;
  /** Most requests. */
  readonly requests: number;
  /** Most milliseconds. @default 2000 */
  readonly limitMs?: number;
  readonly options?: Partial<UploadOptions>;
}

const CASES: readonly Case[] = [
  {
    it: 'a captive portal before anything worked',
    server: () => answers({ 'Create-Session': () => answer(200, {}, PAGE) }),
    ends: 'BITS_ERR_NOT_BITS',
    requests: 1,
  },
  {
    it: 'a captive portal that comes later and goes again',
    server: () =>
      answers({
        Fragment: (request, nth) => (nth > 1 && nth < 5 ? answer(200, {}, PAGE) : decent(request)),
      }),
    ends: 'done',
    requests: 12,
  },
  {
    it: 'a captive portal that comes later and stays',
    server: () => answers({ Fragment: () => answer(200, {}, PAGE) }),
    options: { retry: { limit: 3 } },
    ends: 'BITS_ERR_NOT_BITS',
    requests: 5,
  },
  {
    it: 'an error without a length on a socket that stays open',
    server: () => answers({ 'Create-Session': () => 'HTTP/1.1 403 No\r\n\r\nGo away' }),
    ends: 'BITS_ERR_SERVER',
    requests: 1,
  },
  {
    it: 'acks without a length on sockets that stay open',
    server: () =>
      answers({
        'Create-Session': () =>
          `HTTP/1.1 200 OK\r\nBITS-Packet-Type: Ack\r\nBITS-Session-Id: ${SESSION_ID}\r\n\r\n`,
        'Close-Session': () => 'HTTP/1.1 200 OK\r\nBITS-Packet-Type: Ack\r\n\r\n',
      }),
    ends: 'done',
    requests: 7,
  },
  {
    it: 'a server that accepts and never answers',
    server: () => answers({ 'Create-Session': never }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_TIMEOUT',
    requests: 3,
  },
  {
    it: 'a server that stops answering in the middle, until no progress counts',
    server: () => answers({ Fragment: (request, nth) => (nth > 2 ? undefined : decent(request)) }),
    options: { timeouts: { noProgressMs: 400 } },
    ends: 'BITS_ERR_NO_PROGRESS',
    requests: 20,
  },
  {
    it: 'an offset above the total, time and again',
    server: () => answers({ Fragment: () => fragmentAck(2 ** 50) }),
    ends: 'BITS_ERR_PROTOCOL',
    requests: 10,
  },
  {
    it: 'an offset that goes nowhere',
    server: () => answers({ Fragment: () => fragmentAck(0) }),
    ends: 'BITS_ERR_PROTOCOL',
    requests: 10,
  },
  {
    it: 'offsets that swing to and fro',
    server: () => answers({ Fragment: (_, nth) => fragmentAck(nth % 2 === 0 ? 0 : 8 * KIB) }),
    ends: 'BITS_ERR_PROTOCOL',
    requests: 20,
  },
  {
    it: 'offsets that crawl by one byte',
    server: () => answers({ Fragment: (_, nth) => fragmentAck(nth) }),
    options: { source: patterned(50) },
    ends: 'done',
    requests: 52,
  },
  {
    it: '416 whose offset goes nowhere',
    server: () =>
      answers({ Fragment: () => answer(416, { ...ACK, 'BITS-Received-Content-Range': '0' }) }),
    ends: 'BITS_ERR_PROTOCOL',
    requests: 10,
  },
  {
    it: '416 without an offset, time and again',
    server: () => answers({ Fragment: () => answer(416, ACK) }),
    // Each time the session is cancelled and begun anew.
    ends: 'BITS_ERR_SERVER',
    requests: 12,
  },
  {
    it: 'a session that is lost time and again',
    server: () => answers({ Fragment: () => answer(500, { 'BITS-Error-Code': '0x8020001F' }) }),
    ends: 'BITS_ERR_SESSION_NOT_FOUND',
    requests: 8,
  },
  {
    it: '413 down to the smallest fragment',
    server: () => answers({ Fragment: () => answer(413) }),
    ends: 'BITS_ERR_SERVER',
    requests: 6,
  },
  {
    it: "another session's id in an ack",
    server: () => answers({ Fragment: () => fragmentAck(8 * KIB, { 'BITS-Session-Id': '{2}' }) }),
    ends: 'BITS_ERR_PROTOCOL',
    requests: 2,
  },
  {
    it: 'a session id that would end the header',
    server: () =>
      answers({
        'Create-Session': () => answer(200, { ...ACK, 'BITS-Session-Id': 'x'.repeat(5000) }),
      }),
    ends: 'BITS_ERR_PROTOCOL',
    requests: 1,
  },
  {
    it: 'ten megabytes of headers',
    server: () =>
      answers({
        'Create-Session': () =>
          `HTTP/1.1 200 OK\r\n${`X-A: ${'a'.repeat(1000)}\r\n`.repeat(10_000)}`,
      }),
    ends: 'BITS_ERR_TRANSPORT',
    requests: 1,
  },
  {
    it: 'bodies without end',
    server: () => ({
      onRequest: (request) => {
        const { socket } = request.connection;
        socket.write(decent(request).replace('Content-Length: 0\r\n', ''));
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
  {
    it: 'informational answers without end',
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
    ends: 'BITS_ERR_TIMEOUT',
    requests: 2,
  },
  {
    it: 'an answer that trickles',
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
  {
    it: 'what is not HTTP',
    server: () => answers({ 'Create-Session': () => 'SSH-2.0-OpenSSH_9.6\r\n' }),
    ends: 'BITS_ERR_TRANSPORT',
    requests: 1,
  },
  {
    it: 'a server that half closes instead of answering',
    server: () => ({ onRequest: ({ connection }) => void connection.socket.end() }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_TRANSPORT',
    requests: 3,
  },
  {
    it: 'a server that reads nothing of a fragment',
    server: () => ({
      onHead: ({ headers, connection }) => {
        if (headers['bits-packet-type'] === 'Fragment') connection.socket.pause();
      },
      onRequest: (request) => {
        const { 'bits-packet-type': type } = request.headers;
        if (type !== 'Fragment') request.connection.socket.write(decent(request));
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
  {
    it: 'a Close that is never answered',
    server: () => answers({ 'Close-Session': never }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_TIMEOUT',
    requests: 9,
  },
  {
    it: 'a redirect to what is not http',
    server: () =>
      answers({ 'Create-Session': () => answer(307, { Location: 'ftp://elsewhere.invalid/' }) }),
    ends: 'BITS_ERR_SERVER',
    requests: 1,
  },
  {
    it: 'a Retry-After of a year',
    server: () => answers({ 'Create-Session': () => answer(503, { 'Retry-After': '31536000' }) }),
    options: { retry: { limit: 2 } },
    ends: 'BITS_ERR_SERVER',
    requests: 3,
  },
];

describe('against a hostile server', () => {
  let server: RawServer;
  let handles = 0;

  beforeEach(async () => {
    // mocha's own timer runs from the first wait on.
    await Promise.resolve();
    handles = openHandles();
  });
  afterEach(async () => {
    await server.close();
    await untilClosed(handles);
  });

  async function upload(options: Partial<UploadOptions>, limitMs: number): Promise<string> {
    const startedMs = performance.now();
    const job = new UploadJob({
      url: server.url(),
      source: CONTENT,
      fragmentBytes: 8 * KIB,
      retry: { minDelayMs: 0, maxRetryAfterMs: 10 },
      timeouts: { stallMs: 150, answerMs: 150, noProgressMs: 5000 },
      ...options,
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

  for (const { it: title, server: behaviour, ends, requests, limitMs = 2000, options } of CASES) {
    it(`${title}: ${ends}`, async () => {
      server = await startRawServer(behaviour());
      expect(await upload(options ?? {}, limitMs)).to.equal(ends);
      expect(server.requests.length, 'requests').to.be.within(1, requests);
    });
  }

  it('a TLS handshake that is cut: BITS_ERR_TRANSPORT', async () => {
    server = await startRawServer({ onConnection: ({ socket }) => void socket.destroy() });
    const url = server.url();
    url.protocol = 'https:';
    const tls = { ca: tlsCertificate() };
    expect(await upload({ url, tls, retry: { limit: 2 } }, 2000)).to.equal('BITS_ERR_TRANSPORT');
    expect(server.connections).to.have.lengthOf(3);
  });

  it('a TLS handshake that stops: BITS_ERR_TIMEOUT', async () => {
    server = await startRawServer();
    const url = server.url();
    url.protocol = 'https:';
    const tls = { ca: tlsCertificate() };
    expect(await upload({ url, tls, retry: { limit: 2 } }, 2000)).to.equal('BITS_ERR_TIMEOUT');
  });

  it('a server that is gone: BITS_ERR_TRANSPORT', async () => {
    server = await startRawServer();
    const free = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => free.once('listening', resolve));
    const { port } = free.address() as net.AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const url = `http://127.0.0.1:${port}/file.bin`;
    expect(await upload({ url, retry: { limit: 5 } }, 2000)).to.equal('BITS_ERR_TRANSPORT');
  });
});
