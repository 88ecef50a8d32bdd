import { getEventListeners } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { expect } from 'chai';
import fc from 'fast-check';
import type { WireHeaders } from '../../src/protocol/packets.js';
import { replyCandidates } from '../../src/reply/candidates.js';
import {
  ReplyDownload,
  type ReplyDownloadOptions,
  type ReplyResumePoint,
} from '../../src/reply/download.js';
import type { ReplyFetch } from '../../src/reply/get.js';
import { patterned, sha256 } from '../support/files.js';
import { runs } from '../support/prove-mode.js';
import { bitsError } from '../transport/support.js';
import { httpFetch, never, ReplyHost, resolved, serve } from './support.js';

/** As a record keeps it. */
const recorded = (point: ReplyResumePoint): ReplyResumePoint => JSON.parse(JSON.stringify(point));

const bytes = patterned(200_000);
const etag = '"v1"';
const oldDate = 'Tue, 01 Jul 2025 11:59:59 GMT';

describe('the download of a reply', () => {
  let host: ReplyHost;
  let directory: string;
  let file: string;
  const downloads: ReplyDownload[] = [];

  beforeEach(async () => {
    host = await new ReplyHost().start();
    directory = await mkdtemp(join(tmpdir(), 'reply-download-'));
    file = join(directory, 'answer.bin');
  });

  afterEach(async () => {
    for (const download of downloads.splice(0)) await download.close({ keepPartial: false });
    await host.stop();
    await rm(directory, { recursive: true });
  });

  function create(changes: Partial<ReplyDownloadOptions> = {}): ReplyDownload {
    const download = new ReplyDownload({
      id: 'job-1',
      reply: resolved({ to: file, sha256: true }),
      candidates: host.candidates(),
      fetch: httpFetch,
      signal: never,
      slowLimitMs: 60_000,
      ...changes,
    });
    downloads.push(download);
    return download;
  }

  const ranges = () => host.seen.map(({ range }) => range);

  /** Answers in memory, for what no HTTP parser lets through. */
  function scripted(
    ...answers: { status: number; headers: WireHeaders; pieces: Uint8Array[] }[]
  ): ReplyFetch {
    return async () => {
      const { status, headers, pieces } = answers.shift()!;
      const body = (async function* () {
        yield* pieces;
      })();
      return { status, headers, body };
    };
  }

  it('stores a whole reply with one plain request', async () => {
    host.handler = (request, response) => serve(request, response, bytes, { etag });
    const progress: (number | undefined)[][] = [];
    const download = create({ onProgress: (received, total) => progress.push([received, total]) });
    const stored = await download.attempt();
    expect(stored).to.deep.equal({ bytes: bytes.byteLength, file, sha256: sha256(bytes) });
    expect(await readFile(file)).to.deep.equal(bytes);
    expect(host.seen).to.deep.equal([
      { path: '/uploads/reply.bin', range: undefined, ifRange: undefined, encoding: 'identity' },
    ]);
    expect(progress[0]).to.deep.equal([0, bytes.byteLength]);
    expect(progress.at(-1)).to.deep.equal([bytes.byteLength, bytes.byteLength]);
    expect(await download.attempt()).to.equal(stored);
    expect(host.seen).to.have.length(1);
  });

  for (const [what, validators, ifRange] of [
    ['a strong ETag', { etag, lastModified: oldDate }, etag],
    ['a date', { lastModified: oldDate }, oldDate],
    ['a weak ETag and a date', { etag: 'W/"v1"', lastModified: oldDate }, oldDate],
  ] as const) {
    it(`resumes after a cut with ${what}`, async () => {
      host.handler = (request, response, count) =>
        serve(request, response, bytes, {
          ...validators,
          cutAfter: count === 1 ? 50_000 : undefined,
        });
      const download = create();
      const error = await bitsError(download.attempt());
      expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_TRANSPORT', true]);
      expect(await readdir(directory)).to.not.include('answer.bin');
      expect(download.receivedBytes).to.equal(50_000);
      expect(download.totalBytes).to.equal(bytes.byteLength);
      expect((await download.attempt()).sha256).to.equal(sha256(bytes));
      expect(host.seen[1]).to.include({ range: 'bytes=50000-', ifRange });
      expect(await readFile(file)).to.deep.equal(bytes);
    });
  }

  for (const [what, validators] of [
    ['a weak ETag only', { etag: 'W/"v1"' }],
    ['no validator', {}],
  ] as const) {
    it(`starts over after a cut with ${what}`, async () => {
      host.handler = (request, response, count) =>
        serve(request, response, bytes, { ...validators, ...(count === 1 && { cutAfter: 5000 }) });
      const download = create();
      await bitsError(download.attempt());
      await download.attempt();
      expect(ranges()).to.deep.equal([undefined, undefined]);
      expect(await readFile(file)).to.deep.equal(bytes);
    });
  }

  it('succeeds on a server that ignores Range, however often it is cut', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, bytes, {
        etag,
        ignoreRange: true,
        ...(count < 8 && { cutAfter: 1000 * count }),
      });
    const download = create();
    for (let cut = 1; cut < 8; cut += 1) await bitsError(download.attempt());
    await download.attempt();
    expect(ranges().at(-1)).to.equal('bytes=7000-');
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('takes a chunked reply and resumes one', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, bytes, {
        etag,
        chunked: true,
        ...(count === 1 && { cutAfter: 30_000 }),
      });
    const download = create();
    await bitsError(download.attempt());
    expect(download.totalBytes).to.equal(undefined);
    await download.attempt();
    expect(host.seen[1]?.range).to.equal('bytes=30000-');
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('takes a reply that ends with its connection', async () => {
    host.handler = (_request, response) => {
      response.shouldKeepAlive = false;
      response.useChunkedEncodingByDefault = false;
      response.removeHeader('transfer-encoding');
      response.writeHead(200, { Connection: 'close' });
      response.end(bytes);
    };
    await create().attempt();
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('takes an empty reply', async () => {
    host.handler = (request, response) => serve(request, response, Buffer.alloc(0), { etag });
    expect((await create().attempt()).bytes).to.equal(0);
    expect(await readFile(file)).to.have.length(0);
  });

  it('ends with 416 when every byte had arrived before the cut', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, bytes, {
        etag,
        chunked: true,
        ...(count === 1 && { cutAfter: bytes.byteLength }),
      });
    const download = create();
    await bitsError(download.attempt());
    expect(download.receivedBytes).to.equal(bytes.byteLength);
    expect((await download.attempt()).sha256).to.equal(sha256(bytes));
    expect(ranges()).to.deep.equal([undefined, `bytes=${bytes.byteLength}-`]);
  });

  for (const [what, headers, laterRange] of [
    ['another version', { 'Content-Range': 'bytes */50000', ETag: '"v2"' }, 'bytes=9000-'],
    ['nothing', {}, undefined],
  ] as const) {
    it(`starts over when a 416 announces ${what}`, async () => {
      host.handler = (request, response, count) => {
        if (count === 2) response.writeHead(416, headers).end();
        else {
          const cutAfter = [50_000, 0, 9000][count - 1];
          serve(request, response, bytes, { etag, chunked: true, cutAfter });
        }
      };
      const download = create();
      await bitsError(download.attempt());
      await bitsError(download.attempt());
      await download.attempt();
      expect(ranges()).to.deep.equal([undefined, 'bytes=50000-', undefined, laterRange]);
      expect(await readFile(file)).to.deep.equal(bytes);
    });
  }

  it('starts over when a 416 announces another length', async () => {
    const shorter = patterned(20_000, 2);
    host.handler = (request, response, count) => {
      if (count === 1) serve(request, response, bytes, { etag, cutAfter: 50_000 });
      else if (count === 2) {
        response.writeHead(416, { 'Content-Range': 'bytes */20000' }).end('no such range');
      } else serve(request, response, shorter, { etag: '"v2"' });
    };
    const download = create();
    await bitsError(download.attempt());
    await download.attempt();
    expect(ranges()).to.deep.equal([undefined, 'bytes=50000-', undefined]);
    expect(await readFile(file)).to.deep.equal(shorter);
  });

  it('starts over when the reply changed and never mixes two versions', async () => {
    const other = patterned(210_000, 2);
    host.handler = (request, response, count) =>
      count === 1
        ? serve(request, response, bytes, { etag, cutAfter: 50_000 })
        : serve(request, response, other, { etag: '"v2"' });
    const download = create();
    await bitsError(download.attempt());
    expect((await download.attempt()).sha256).to.equal(sha256(other));
    expect(await readFile(file)).to.deep.equal(other);
  });

  for (const [what, headers] of [
    ['another ETag', { ETag: '"v2"', 'Content-Range': `bytes 50000-199999/200000` }],
    ['another total', { ETag: etag, 'Content-Range': `bytes 50000-249999/250000` }],
    ['another start', { ETag: etag, 'Content-Range': `bytes 0-149999/200000` }],
    ['more than there is', { ETag: etag, 'Content-Range': `bytes 50000-249999/*` }],
    ['no Content-Range', { ETag: etag }],
  ] as const) {
    it(`does not append a 206 with ${what}`, async () => {
      host.handler = (request, response, count) => {
        if (count === 1) serve(request, response, bytes, { etag, cutAfter: 50_000 });
        else if (count === 2) response.writeHead(206, headers).end(patterned(100, 9));
        else serve(request, response, bytes, { etag });
      };
      const download = create();
      await bitsError(download.attempt());
      await download.attempt();
      expect(ranges()).to.deep.equal([undefined, 'bytes=50000-', undefined]);
      expect(await readFile(file)).to.deep.equal(bytes);
    });
  }

  it('requests no range again after a wrong one', async () => {
    host.handler = (request, response, count) => {
      if (request.headers.range) response.writeHead(206, { 'Content-Range': 'bytes 0-9/99' }).end();
      else serve(request, response, bytes, { etag, ...(count < 6 && { cutAfter: 5000 }) });
    };
    const download = create();
    for (;;) {
      const outcome = await download.attempt().catch((error: unknown) => error);
      if (!(outcome instanceof Error)) break;
    }
    expect(ranges().filter((range) => range !== undefined)).to.have.length(1);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('gives up on a reply that changes again and again', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, patterned(100_000, count), { etag: `"v${count}"`, cutAfter: 9000 });
    const download = create();
    const errors = [];
    for (let attempt = 0; attempt < 5; attempt += 1)
      errors.push(await bitsError(download.attempt()));
    expect(errors.map(({ retryable }) => retryable)).to.deep.equal([true, true, true, true, false]);
    expect(errors.at(-1)?.code).to.equal('BITS_ERR_REPLY');
    expect(errors.at(-1)?.message).to.include('changed');
  });

  it('gives up on a server that announces another length in each 416', async () => {
    host.handler = (request, response) => {
      if (request.headers.range) response.writeHead(416, { 'Content-Range': 'bytes */7' }).end();
      else serve(request, response, bytes, { etag, cutAfter: 9000 });
    };
    const download = create();
    for (let attempt = 0; attempt < 4; attempt += 1) {
      expect((await bitsError(download.attempt())).retryable).to.equal(true);
    }
    expect((await bitsError(download.attempt())).retryable).to.equal(false);
  });

  it('does not take a redirect to another copy for a change', async () => {
    host.handler = (request, response, count) => {
      if (request.url === '/uploads/reply.bin') {
        response.writeHead(302, { Location: `/copy-${count}` }).end();
      } else {
        const cutAfter = count < 14 ? 9000 : undefined;
        serve(request, response, bytes, { etag: `"v${count}"`, cutAfter });
      }
    };
    const download = create();
    for (let cut = 0; cut < 6; cut += 1) {
      expect((await bitsError(download.attempt())).retryable).to.equal(true);
    }
    await download.attempt();
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('assembles a reply that comes in slices', async () => {
    host.handler = (request, response, count) => {
      if (count === 1) return serve(request, response, bytes, { etag, cutAfter: 50_000 });
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      const slice = bytes.subarray(start, start + 60_000);
      const last = start + slice.byteLength - 1;
      const total = count % 2 === 0 ? '*' : bytes.byteLength;
      response.writeHead(206, { ETag: etag, 'Content-Range': `bytes ${start}-${last}/${total}` });
      response.end(slice);
    };
    const download = create();
    await bitsError(download.attempt());
    await download.attempt();
    expect(host.seen).to.have.length(4);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('takes a 206 without a requested range only when it is the whole reply', async () => {
    host.handler = (_request, response, count) => {
      const range = count === 1 ? 'bytes 0-199998/200000' : 'bytes 0-199999/200000';
      response.writeHead(206, { 'Content-Range': range }).end(bytes.subarray(0, 199_998 + count));
    };
    const download = create();
    const error = await bitsError(download.attempt());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
    await download.attempt();
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('does not take a short body for a whole reply but keeps its bytes', async () => {
    const headers = { etag, 'content-length': '200000' };
    const fetch = scripted(
      { status: 200, headers, pieces: [bytes.subarray(0, 70_000)] },
      {
        status: 206,
        headers: { etag, 'content-range': 'bytes 70000-199999/200000' },
        pieces: [bytes.subarray(70_000)],
      },
    );
    const download = create({ fetch });
    const error = await bitsError(download.attempt());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', true]);
    expect(error.message).to.include('70000 of 200000');
    await download.attempt();
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('drops a body that is longer than announced', async () => {
    const headers = { etag, 'content-length': '1000' };
    const long = {
      status: 200,
      headers,
      pieces: [bytes.subarray(0, 900), bytes.subarray(900, 1500)],
    };
    const right = { status: 200, headers, pieces: [bytes.subarray(0, 1000)] };
    const download = create({ fetch: scripted(long, right) });
    expect((await bitsError(download.attempt())).retryable).to.equal(true);
    expect(download.receivedBytes).to.equal(0);
    await download.attempt();
    expect(await readFile(file)).to.deep.equal(bytes.subarray(0, 1000));
  });

  it('refuses a reply to memory by its announced length', async () => {
    host.handler = (_request, response) => {
      response.writeHead(200, { 'Content-Length': 2 ** 50 });
      response.flushHeaders();
    };
    const error = await bitsError(create({ reply: resolved(true) }).attempt());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY_TOO_LARGE', false]);
    expect(error.message).to.include('{ to: path }');
  });

  it('takes a reply that is exactly as large as its limit', async () => {
    host.handler = (request, response) => serve(request, response, bytes, { chunked: true });
    const reply = resolved({ maxBytes: bytes.byteLength });
    expect((await create({ reply }).attempt()).bytes).to.equal(bytes.byteLength);
  });

  for (const where of ['memory', 'a file', 'a stream'] as const) {
    it(`stops an endless reply to ${where} at its limit`, async () => {
      host.handler = (_request, response) => {
        const more = () => {
          while (response.writable && response.write(bytes));
        };
        response.on('drain', more).on('error', () => {});
        more();
      };
      const to = { memory: 'memory', 'a file': file, 'a stream': new PassThrough().resume() }[
        where
      ];
      const download = create({ reply: resolved({ to, maxBytes: 300_000 }) });
      const error = await bitsError(download.attempt());
      expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY_TOO_LARGE', false]);
      expect(error.message).to.include('300000').and.include('left open');
    });
  }

  it('gives up on a reply of which a byte comes now and then', async () => {
    host.handler = (_request, response) => {
      const timer = setInterval(() => response.write('x'), 10);
      response.on('close', () => clearInterval(timer));
    };
    const error = await bitsError(create({ slowLimitMs: 100 }).attempt());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_TIMEOUT', false]);
    expect(error.message).to.include('100 ms').and.include('left open');
  });

  it('does not count the time that a stream takes as time of the server', async () => {
    host.handler = (_request, response) => {
      response.write('a');
      response.end('b');
    };
    const stream = new Writable({ write: (_piece, _encoding, done) => setTimeout(done, 150) });
    const download = create({ reply: resolved({ to: stream }), slowLimitMs: 100 });
    expect((await download.attempt()).bytes).to.equal(2);
  });

  it('gives up on a server that cuts the connection after each byte', async () => {
    const fetch: ReplyFetch = async ({ headers }) => {
      const start = Number(/\d+/.exec(headers.Range ?? '')?.[0] ?? 0);
      const range = start > 0 && { 'content-range': `bytes ${start}-199999/200000` };
      const body = (async function* () {
        yield bytes.subarray(start, start + 1);
        throw new Error('cut');
      })();
      return { status: start === 0 ? 200 : 206, headers: { etag, ...range }, body };
    };
    const download = create({ fetch, reply: resolved(true) });
    let error = await bitsError(download.attempt());
    let attempts = 1;
    for (; error.retryable; attempts += 1) error = await bitsError(download.attempt());
    expect(error.code).to.equal('BITS_ERR_REPLY');
    expect(attempts).to.be.within(1000, 1100);
  });

  for (const [what, silence] of [
    ['a transport that never answers', (wait) => wait],
    [
      'a transport whose body never comes',
      (wait) => async () => {
        const pieces = { next: wait, return: wait };
        return { status: 200, headers: {}, body: { [Symbol.asyncIterator]: () => pieces } };
      },
    ],
  ] as [string, (wait: () => Promise<never>) => ReplyFetch][]) {
    it(`stops at once in spite of ${what} and heeds no signal`, async () => {
      const stop = new AbortController();
      const fetch = silence(() => {
        setImmediate(() => stop.abort());
        return new Promise(() => {});
      });
      const error = await bitsError(create({ fetch, signal: stop.signal }).attempt());
      expect(error.code).to.equal('BITS_ERR_ABORTED');
      expect(getEventListeners(stop.signal, 'abort')).to.have.length(0);
    });
  }

  it('tries the host-id after a 404 of the origin and stays there', async () => {
    const origin = await new ReplyHost((_request, response) =>
      response.writeHead(404).end(),
    ).start();
    try {
      host.handler = (request, response, count) =>
        serve(request, response, bytes, { etag, ...(count === 1 && { cutAfter: 50_000 }) });
      const candidates = replyCandidates('reply.bin', origin.url, {
        hostId: host.url.host,
        trustedHosts: [],
        hasCredentials: false,
      });
      const download = create({ candidates });
      await bitsError(download.attempt());
      const saved = download.resumePoint;
      await download.close({ keepPartial: true });
      await create({ candidates, saved }).attempt();
      expect(origin.seen).to.have.length(1);
      expect(host.seen[1]?.range).to.equal('bytes=50000-');
      expect(await readFile(file)).to.deep.equal(bytes);
    } finally {
      await origin.stop();
    }
  });

  it('does not resume on one server what came from another', async () => {
    const other = patterned(200_000, 2);
    const second = await new ReplyHost((request, response) =>
      serve(request, response, other, { etag }),
    ).start();
    try {
      host.handler = (request, response, count) =>
        count === 1
          ? serve(request, response, bytes, { etag, cutAfter: 50_000 })
          : response.writeHead(404).end();
      const candidates = replyCandidates('reply.bin', host.url, {
        hostId: second.url.host,
        trustedHosts: [],
        hasCredentials: false,
      });
      const download = create({ candidates });
      await bitsError(download.attempt());
      expect((await download.attempt()).sha256).to.equal(sha256(other));
      expect(second.seen[0]?.range).to.equal(undefined);
      expect(await readFile(file)).to.deep.equal(other);
    } finally {
      await second.stop();
    }
  });

  it('says that the session is left open when the reply is nowhere', async () => {
    host.handler = (_request, response) => response.writeHead(410).end('gone');
    const error = await bitsError(create().attempt());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
    expect(error.message).to.include('410').and.include('left open');
    expect(host.seen).to.have.length(1);
  });

  it('fails with the refusal of the server and the delay that it asks for', async () => {
    host.handler = (_request, response) => response.writeHead(503, { 'Retry-After': '3' }).end();
    const error = await bitsError(create().attempt());
    expect(error).to.include({ code: 'BITS_ERR_SERVER', retryable: true, retryAfterMs: 3000 });
  });

  it('follows redirects and resumes where they lead', async () => {
    host.handler = (request, response, count) => {
      if (request.url === '/uploads/reply.bin') {
        response.writeHead(302, { Location: `/store/r?signature=${count}` }).end('moved');
      } else serve(request, response, bytes, { etag, ...(count === 2 && { cutAfter: 50_000 }) });
    };
    const download = create();
    await bitsError(download.attempt());
    expect(JSON.stringify(download.resumePoint)).to.not.include('signature');
    await download.attempt();
    expect(ranges()).to.deep.equal([undefined, undefined, undefined, 'bytes=50000-']);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('follows at most 5 redirects and none to a host that is not trusted', async () => {
    host.handler = (_request, response) => response.writeHead(307, { Location: '/x' }).end();
    const error = await bitsError(create().attempt());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
    expect(host.seen).to.have.length(6);

    const candidates = replyCandidates('reply.bin', host.url, {
      hostId: undefined,
      trustedHosts: [],
      hasCredentials: true,
    });
    host.handler = (_request, response) =>
      response.writeHead(301, { Location: 'http://elsewhere.example/x' }).end();
    const untrusted = await bitsError(create({ candidates }).attempt());
    expect(untrusted.code).to.equal('BITS_ERR_UNTRUSTED_HOST');
  });

  it('stops at once while the server is silent, before the body or within it', async () => {
    for (const begin of [false, true]) {
      const stop = new AbortController();
      host.handler = (request, response) => {
        if (!begin) return stop.abort();
        response.writeHead(200, { ETag: etag, 'Content-Length': bytes.byteLength });
        response.write(bytes.subarray(0, 4000));
        request.on('close', () => response.destroy());
      };
      const onProgress = (received: number) => {
        if (received === 4000) stop.abort(new Error('suspended'));
      };
      const download = create({ onProgress, signal: stop.signal });
      const error = await bitsError(download.attempt());
      expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_ABORTED', false]);
      expect(download.receivedBytes).to.equal(begin ? 4000 : 0);
      expect((await bitsError(download.attempt())).code).to.equal('BITS_ERR_ABORTED');
      await download.close({ keepPartial: false });
    }
  });

  for (const status of [307, 404, 503]) {
    it(`releases the connection of a ${status} without waiting for its body`, async () => {
      const released = new Promise((resolve) => {
        host.handler = (request, response, count) => {
          if (count > 1) return void response.writeHead(500).end();
          request.on('close', resolve);
          response.writeHead(status, { 'Content-Length': 1000, Location: '/x' });
          response.flushHeaders();
        };
      });
      await bitsError(create().attempt());
      await released;
    });
  }

  it('leaves no listener on a signal and aborts nothing after success', async () => {
    const { signal } = new AbortController();
    host.handler = (request, response, count) => {
      if (count === 1) response.writeHead(503).end();
      else if (count === 2) response.destroy();
      else serve(request, response, bytes, { etag, ...(count === 3 && { cutAfter: 9 }) });
    };
    const given: (AbortSignal | undefined)[] = [];
    const fetch: ReplyFetch = (request, cut) => {
      given.push(cut);
      return httpFetch(request, cut);
    };
    const download = create({ fetch, signal });
    for (let cut = 0; cut < 3; cut += 1) await bitsError(download.attempt());
    await download.attempt();
    expect(getEventListeners(signal, 'abort')).to.have.length(0);
    expect(given.at(-1)?.aborted).to.equal(false);
  });

  it('resumes in another process from the record and the part file', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, bytes, { etag, ...(count === 1 && { cutAfter: 50_000 }) });
    const before = create();
    await bitsError(before.attempt());
    const saved = recorded(before.resumePoint);
    await before.close({ keepPartial: true });

    const after = create({ saved });
    expect(after.receivedBytes).to.equal(50_000);
    expect(after.resumePoint).to.deep.equal(saved);
    expect((await after.attempt()).sha256).to.equal(sha256(bytes));
    expect(host.seen[1]).to.include({ range: 'bytes=50000-', ifRange: etag });
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('starts over from a record without a usable validator', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, bytes, { etag, ...(count === 1 && { cutAfter: 50_000 }) });
    const before = create();
    await bitsError(before.attempt());
    const saved = { ...before.resumePoint, ifRange: undefined };
    await before.close({ keepPartial: true });
    await create({ saved }).attempt();
    expect(ranges()).to.deep.equal([undefined, undefined]);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('sends nothing when an earlier process had stored the reply', async () => {
    host.handler = (request, response) => serve(request, response, bytes, { etag });
    await new ReplyDownload({
      signal: never,
      id: 'job-1',
      reply: resolved({ to: file }),
      candidates: host.candidates(),
      fetch: httpFetch,
      slowLimitMs: 60_000,
    }).attempt();
    const stored = await create().attempt();
    expect(stored).to.deep.equal({ bytes: bytes.byteLength, file, sha256: sha256(bytes) });
    expect(host.seen).to.have.length(1);
  });

  it('stores what it has without a request after a file was in the way', async () => {
    host.handler = (request, response) => {
      void writeFile(file, 'precious').then(() => serve(request, response, bytes, { etag }));
    };
    const download = create();
    expect((await bitsError(download.attempt())).code).to.equal('BITS_ERR_REPLY');
    expect(await readFile(file, 'utf8')).to.equal('precious');
    await rm(file);
    await download.attempt();
    expect(host.seen).to.have.length(1);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('gives a stream each byte once even from a server without ranges', async () => {
    host.handler = (request, response, count) =>
      serve(request, response, bytes, {
        ignoreRange: true,
        ...(count < 4 && { cutAfter: 40_000 * (4 - count) }),
      });
    const pieces: Buffer[] = [];
    const stream = new Writable({
      write: (piece, _encoding, done) => {
        pieces.push(piece);
        setImmediate(done);
      },
    });
    const reply = resolved({ to: stream, sha256: true });
    const first = create({ reply });
    await bitsError(first.attempt());
    await bitsError(first.attempt());
    await first.close({ keepPartial: true });
    const second = create({ reply });
    await bitsError(second.attempt());
    expect((await second.attempt()).sha256).to.equal(sha256(bytes));
    expect(Buffer.concat(pieces)).to.deep.equal(bytes);
    expect(stream.writableFinished).to.equal(true);
  });

  it('reads no further ahead than the stream takes', async () => {
    const huge = patterned(16 * 1024 * 1024);
    let flushed = false;
    host.handler = (_request, response) => {
      response.writeHead(200, { 'Content-Length': huge.byteLength });
      response.end(huge, () => {
        flushed = true;
      });
    };
    const stream = new PassThrough();
    const stop = new AbortController();
    const attempt = create({ reply: resolved({ to: stream }), signal: stop.signal }).attempt();
    for (let taken = 0; taken < 100_000; ) {
      const piece = stream.read();
      if (piece === null) await new Promise(setImmediate);
      else taken += piece.byteLength;
    }
    for (let turn = 0; turn < 2000; turn += 1) await new Promise(setImmediate);
    expect(flushed).to.equal(false);
    stop.abort();
    expect((await bitsError(attempt)).code).to.equal('BITS_ERR_ABORTED');
  });

  it('ends with the exact bytes wherever it is cut, whatever the server supports', async () => {
    const server = fc.record({
      byteLength: fc.integer({ min: 0, max: 3000 }),
      cuts: fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 6 }),
      changes: fc.array(fc.boolean(), { maxLength: 2 }),
      validator: fc.constantFrom('etag', 'weak', 'date', 'none'),
      ignoreRange: fc.boolean(),
      chunked: fc.boolean(),
      newProcess: fc.array(fc.boolean(), { maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(server, async (plan) => {
        let version = 1;
        const current = () => patterned(plan.byteLength + version, version);
        host.handler = (request, response, count) => {
          // Only a validator can tell two versions apart that lie on both sides of a cut.
          if (plan.validator === 'etag' && plan.changes[count - 2]) version += 1;
          const tag = `"v${version}"`;
          serve(request, response, current(), {
            ...(plan.validator === 'etag' && { etag: tag }),
            ...(plan.validator === 'weak' && { etag: `W/${tag}` }),
            ...(plan.validator === 'date' && { lastModified: oldDate }),
            ignoreRange: plan.ignoreRange,
            chunked: plan.chunked,
            cutAfter: plan.cuts[count - 1],
          });
        };
        host.seen.length = 0;
        let download = create();
        for (let attempt = 0; ; attempt += 1) {
          const outcome = await download.attempt().catch((error: unknown) => error);
          if (!(outcome instanceof Error)) break;
          expect(await readdir(directory)).to.not.include('answer.bin');
          if (!plan.newProcess[attempt]) continue;
          const saved = recorded(download.resumePoint);
          await download.close({ keepPartial: true });
          download = create({ saved });
        }
        expect((await readFile(file)).equals(current())).to.equal(true);
        expect((await download.attempt()).sha256).to.equal(sha256(current()));
        await download.close({ keepPartial: false });
        await rm(file);
      }),
      { numRuns: runs('BITS_PROVE_DOWNLOADS', 25, 100) },
    );
    expect(await readdir(directory)).to.deep.equal([]);
  });
});
