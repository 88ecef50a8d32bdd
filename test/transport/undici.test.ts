import { execFile } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { Agent, type Dispatcher, request as undiciRequest } from 'undici';
import type { Transport } from '../../src/transport/transport.js';
import { createUndiciTransport, UndiciTransport } from '../../src/transport/undici.js';
import { VERSION } from '../../src/version.js';
import { answer, type RawRequest, tlsCertificate } from '../support/raw-server.js';
import { skipOnWindows } from '../support/skip.js';
import { transportContract } from './contract.js';
import {
  bitsError,
  closedAfterEach,
  collect,
  fragment,
  gate,
  get,
  LONG,
  OK,
  pattern,
  ping,
  rejection,
  withBody,
} from './support.js';

transportContract('undici', () => createUndiciTransport());

describe('undici transport', () => {
  const { keep, serve } = closedAfterEach();
  const make = (...args: Parameters<typeof createUndiciTransport>) =>
    keep(createUndiciTransport(...args));

  /** Sends pieces that are overwritten as soon as the next one is asked for. */
  async function expectPiecesReusable(transport: Transport, tls: boolean): Promise<void> {
    // Nobody reads at first, so that the pieces pile up in the client.
    const server = await serve({ ...OK, tls, paused: true });
    const pieces = 2000;
    const piece = Buffer.alloc(5000);
    const stuck = gate();
    let asked = 0;
    let lastAsked = 0;
    const watch = setInterval(() => {
      if (asked > 0 && asked === lastAsked) stuck.open();
      lastAsked = asked;
    }, 50);
    const sent = transport.send(
      withBody(server.url(), {
        byteLength: pieces * piece.length,
        async *pieces() {
          while (asked < pieces) {
            piece.fill(asked++ % 251);
            yield piece;
            piece.fill(255);
          }
        },
      }),
      LONG,
    );
    await stuck.promise;
    clearInterval(watch);
    expect(asked).to.be.below(pieces);
    server.connections[0]!.socket.resume();
    await sent;
    const body = server.requests[0]!.body;
    expect(body).to.have.lengthOf(pieces * piece.length);
    const wrong = body.findIndex((byte, at) => byte !== Math.floor(at / piece.length) % 251);
    expect(wrong, 'offset of the first wrong byte').to.equal(-1);
  }

  it('has no limitation and no limit of its own', () => {
    expect(make().limitations).to.deep.equal([]);
    expect(make().maxBodyBytes).to.equal(undefined);
  });

  for (const tls of [false, true]) {
    describe(tls ? 'over TLS' : 'over plain TCP', () => {
      const own = () => make(tls ? { tls: { ca: tlsCertificate() } } : {});

      it('writes Content-Length: 0 on every request without a body, on one connection', async () => {
        const server = await serve({ ...OK, tls });
        const transport = own();
        for (let i = 0; i < 4; i++)
          await transport.send(ping(server.url(), { 'X-N': `${i}` }), LONG);
        expect(server.connections).to.have.lengthOf(1);
        expect(server.connections[0]?.received().toString('latin1')).to.equal(
          [0, 1, 2, 3]
            .map(
              (i) =>
                `BITS_POST /vdir/file.bin HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\n` +
                `connection: keep-alive\r\nBITS-Packet-Type: Ping\r\nX-N: ${i}\r\n` +
                `User-Agent: bits-upload/${VERSION}\r\ncontent-length: 0\r\n\r\n`,
            )
            .join(''),
        );
      });

      it('sends many fragments and packets over one connection', async () => {
        const server = await serve({ ...OK, tls });
        const transport = own();
        for (let i = 0; i < 6; i++) {
          await transport.send(fragment(server.url(), pattern(100_000, i + 1)), LONG);
          await transport.send(ping(server.url()), LONG);
        }
        expect(server.connections).to.have.lengthOf(1);
        expect(server.requests).to.have.lengthOf(12);
        for (const { head } of server.requests) {
          expect(head).to.match(/\r\nconnection: keep-alive\r\n/);
          expect(head.match(/\r\ncontent-length: /gi)).to.have.lengthOf(1);
        }
        expect(server.requests[10]?.body).to.deep.equal(pattern(100_000, 6));
      });

      it('keeps the connection that follows one which the server closed', async () => {
        const server = await serve({
          tls,
          onRequest: ({ connection, index }) => {
            const closes = index === 1;
            connection.socket.write(answer(200, closes ? { Connection: 'close' } : {}));
            if (closes) connection.socket.end();
          },
        });
        const transport = own();
        for (let i = 0; i < 6; i++) await transport.send(ping(server.url()), LONG);
        expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([2, 4]);
      });

      it('leaves a piece alone until it asks for the next one', async () => {
        await expectPiecesReusable(own(), tls);
      });
    });
  }

  it('still has to put Content-Length: 0 back: undici itself leaves it out', async () => {
    // When this fails, undici sends the header by itself: `withContentLength` of connection.ts may go.
    const server = await serve();
    const dispatcher = new Agent({ connections: 1 });
    const method = 'BITS_POST' as Dispatcher.HttpMethod;
    const headers = { 'content-length': '0' };
    const { body } = await undiciRequest(server.url(), {
      dispatcher,
      method,
      headers,
      reset: false,
    });
    await body.dump();
    await dispatcher.close();
    expect(server.requests[0]?.head).not.to.match(/content-length/i);
  });

  it('speaks HTTP/1.1 although the server would rather have HTTP/2', async () => {
    const server = await serve({ ...OK, tls: { ALPNProtocols: ['h2', 'http/1.1'] } });
    const response = await make({ tls: { ca: tlsCertificate() } }).send(ping(server.url()), LONG);
    expect(response.status).to.equal(200);
    expect(server.connections[0]?.alpn).to.equal('http/1.1');
  });

  it('writes what was given, once, and nothing but what HTTP needs', async () => {
    const server = await serve();
    await make({ userAgent: 'Contoso/1' }).send(fragment(server.url(), pattern(10)), LONG);
    expect(server.requests[0]?.headerNames).to.deep.equal([
      'host',
      'connection',
      'BITS-Packet-Type',
      'Content-Range',
      'User-Agent',
      'content-length',
    ]);
    expect(server.requests[0]?.headers['user-agent']).to.equal('Contoso/1');
  });

  it('overlooks 100 Continue that nobody asked for, however it is cut up', async () => {
    const server = await serve({
      onRequest: ({ connection: { socket }, index }) => {
        const text = `HTTP/1.1 100 Continue\r\nX: y\r\n\r\n${'HTTP/1.1 100 \r\n\r\n'.repeat(index)}${answer(403)}`;
        const cutAt = index * 7;
        socket.write(text.slice(0, cutAt));
        setImmediate(() => socket.write(text.slice(cutAt)));
      },
    });
    const transport = make();
    for (let i = 0; i < 8; i++) {
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(403);
    }
    expect(server.connections).to.have.lengthOf(1);
  });

  it('keeps the connection after an error answer with a body', async () => {
    const server = await serve({
      onRequest: ({ connection }) =>
        void connection.socket.write(answer(500, {}, 'x'.repeat(20_000))),
    });
    const transport = make();
    for (let i = 0; i < 3; i++) await transport.send(ping(server.url()), LONG);
    expect(server.connections).to.have.lengthOf(1);
  });

  it('does not wait for the end of a long error body', async () => {
    const server = await serve({
      onRequest: ({ connection }) =>
        void connection.socket.write('HTTP/1.1 500 Oops\r\nContent-Length: 70000\r\n\r\n'),
    });
    await make().send(ping(server.url()), LONG);
    await server.connections[0]?.closed;
  });

  describe('time', () => {
    it('ends when the network takes nothing more', async () => {
      const server = await serve({ paused: true });
      const error = await bitsError(
        make().send(fragment(server.url('/secret'), Buffer.alloc(32 << 20)), {
          ...LONG,
          stallTimeoutMs: 150,
        }),
      );
      expect(error).to.include({ code: 'BITS_ERR_TIMEOUT', retryable: true });
      expect(error.message).to.include('timeouts.stallMs').and.to.include('150 ms');
      expect(error.message).to.include(`127.0.0.1:${server.port}`).and.not.to.include('secret');
    });

    it('counts each sign of life anew while a large piece is sent', async () => {
      const server = await serve({ ...OK, paused: true });
      const sent = make().send(fragment(server.url(), Buffer.alloc(32 << 20)), {
        ...LONG,
        stallTimeoutMs: 1500,
      });
      while (server.connections.length === 0) await new Promise((go) => setTimeout(go, 5));
      const socket = server.connections[0]!.socket;
      const startedAt = performance.now();
      socket.on('data', () => {
        socket.pause();
        setTimeout(() => socket.resume(), performance.now() - startedAt < 2500 ? 5 : 0);
      });
      socket.resume();
      expect((await sent).status).to.equal(200);
      expect(performance.now() - startedAt).to.be.above(2000);
    });

    it('counts the answer from the last byte sent', async () => {
      const server = await serve({});
      const startedAt = performance.now();
      const error = await bitsError(
        make().send(
          withBody(server.url(), {
            byteLength: 2,
            async *pieces() {
              yield Buffer.from('1');
              await new Promise((resolve) => setTimeout(resolve, 200));
              yield Buffer.from('2');
            },
          }),
          { ...LONG, stallTimeoutMs: 5000, answerTimeoutMs: 150 },
        ),
      );
      expect(error.message).to.include('timeouts.answerMs');
      expect(performance.now() - startedAt).to.be.within(330, 3000);
    });

    it('ends when a TLS handshake hangs, and leaves no socket behind', async () => {
      let closed = gate();
      const silent = net.createServer((socket) => {
        socket.on('error', () => {}).on('close', () => closed.open());
        socket.resume();
      });
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const url = new URL(`https://127.0.0.1:${(silent.address() as net.AddressInfo).port}/`);
      for (const [options, times, named] of [
        [{ connectTimeoutMs: 80 }, {}, 'timeouts.connectMs'],
        [{}, { stallTimeoutMs: 80 }, 'timeouts.stallMs'],
      ] as const) {
        closed = gate();
        const error = await bitsError(make(options).send(ping(url), { ...LONG, ...times }));
        expect(error.code).to.equal('BITS_ERR_TIMEOUT');
        expect(error.message).to.include(named).and.to.include('80 ms').and.to.include(url.host);
        await closed.promise;
      }
      closed = gate();
      const transport = make();
      const sent = transport.send(ping(url), LONG);
      await once(silent, 'connection');
      await transport.close();
      expect((await bitsError(sent)).code).to.equal('BITS_ERR_ABORTED');
      await closed.promise;
      silent.close();
    });

    it('allows times that no timer can hold', async () => {
      const server = await serve();
      const forever = { stallTimeoutMs: Number.POSITIVE_INFINITY, answerTimeoutMs: 1e12 };
      expect((await make().send(ping(server.url()), { ...LONG, ...forever })).status).to.equal(200);
    });
  });

  for (const bad of [false, true]) {
    it(`waits for the source's end, which is ${bad ? 'bad' : 'good'}, though the answer is there`, async () => {
      const answered = gate();
      const server = await serve({
        onRequest: ({ connection: { socket } }) => {
          socket.write(answer(), () => setTimeout(answered.open, 30));
        },
      });
      const transport = make();
      const { signal } = new AbortController();
      let ended = false;
      const sent = transport.send(
        withBody(server.url(), {
          byteLength: 5,
          async *pieces() {
            yield Buffer.from('12345');
            await answered.promise;
            ended = true;
            if (bad) throw new RangeError('changed');
          },
        }),
        { ...LONG, signal },
      );
      if (bad) expect(await rejection(sent)).to.be.instanceOf(RangeError);
      else {
        expect((await sent).status).to.equal(200);
        await transport.send(ping(server.url()), LONG);
        expect(server.connections).to.have.lengthOf(1);
      }
      expect(ended).to.equal(true);
      expect(getEventListeners(signal, 'abort')).to.have.lengthOf(0);
    });
  }

  it('tells whether it has a connection that is free', async () => {
    const arrived = gate();
    const server = await serve({
      onRequest: ({ connection: { socket }, index }) => {
        if (index === 3) arrived.open();
        const close = index === 1 ? { Connection: 'close' } : {};
        if (index < 2) socket.write(answer(200, close));
        else if (index === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe');
      },
    });
    const transport = keep(new UndiciTransport({}));
    const isFree = () => transport.hasIdleConnection;
    expect(isFree(), 'before the first request').to.equal(false);
    await transport.send(ping(server.url()), LONG);
    expect(isFree(), 'after an answer').to.equal(true);
    await transport.send(ping(server.url()), LONG);
    expect(isFree(), 'after an answer that says Connection: close').to.equal(false);
    const { body } = await transport.send(get(server.url()), { ...LONG, answerBody: 'stream' });
    expect(isFree(), 'while an answer is being read').to.equal(false);
    server.connections[1]?.socket.write('llo');
    await collect(body);
    expect(isFree(), 'when it is read').to.equal(true);
    await transport.send(ping((await serve()).url()), LONG);
    expect(isFree(), 'with another one to another host').to.equal(false);
    transport.dropConnections();
    const aborting = new AbortController();
    const cut = transport.send(ping(server.url()), { ...LONG, signal: aborting.signal });
    await arrived.promise;
    expect(isFree(), 'while a request is on its way').to.equal(false);
    aborting.abort();
    await bitsError(cut);
    expect(isFree(), 'after a request was cut').to.equal(false);
  });

  it('fails a body without a length when a reset, and not its end, ends it', async function () {
    skipOnWindows(this, 'resets');
    const server = await serve({
      onRequest: ({ connection: { socket } }) =>
        void socket.write('HTTP/1.1 200 OK\r\n\r\nuntil it'),
    });
    const response = await make().send(get(server.url()), { ...LONG, answerBody: 'stream' });
    const pieces = response.body[Symbol.asyncIterator]();
    expect(String((await pieces.next()).value)).to.equal('until it');
    server.connections[0]!.socket.resetAndDestroy();
    const error = await bitsError(pieces.next());
    expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
  });

  it('sends requests at the same time over a connection each, and keeps these', async () => {
    const arrived = gate();
    const waiting: RawRequest[] = [];
    const server = await serve({
      onRequest: (request) => {
        if (waiting.push(request) === 3) arrived.open();
      },
    });
    const transport = make();
    for (let round = 1; round <= 2; round++) {
      const sent = [1, 2, 3].map(() => transport.send(fragment(server.url(), pattern(9)), LONG));
      if (round === 1) await arrived.promise;
      else while (waiting.length < 3) await new Promise((resolve) => setImmediate(resolve));
      for (const { connection } of waiting.splice(0)) connection.socket.write(answer());
      for (const { status } of await Promise.all(sent)) expect(status).to.equal(200);
    }
    expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([2, 2, 2]);
  });

  it('hands an early answer over with its body, and asks the source for nothing more', async () => {
    const server = await serve({
      onHead: ({ connection: { socket }, index }) => {
        if (index === 0) socket.write('HTTP/1.1 413 Large\r\nContent-Length: 9\r\n\r\ntoo ');
      },
      onRequest: ({ connection }) => void connection.socket.write(answer(200)),
    });
    const transport = make();
    const answered = gate();
    let asked = 0;
    const response = await transport.send(
      withBody(server.url(), {
        byteLength: 100,
        async *pieces() {
          for (; asked < 100; asked++) {
            if (asked === 1) await answered.promise;
            yield Buffer.from('x');
          }
        },
      }),
      { ...LONG, answerBody: 'stream' },
    );
    expect(response.status).to.equal(413);
    answered.open();
    // Time in which the rest of the body would be sent.
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.connections[0]?.socket.write('large');
    expect((await collect(response.body)).toString()).to.equal('too large');
    await server.connections[0]?.closed;
    expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
    expect(asked).to.equal(1);
  });

  it('cuts the wire at once when a request is aborted in mid-body', async () => {
    const controller = new AbortController();
    const server = await serve({ onHead: () => controller.abort() });
    let asked = 0;
    const error = await bitsError(
      make().send(
        withBody(server.url(), {
          byteLength: 1 << 30,
          async *pieces() {
            for (; asked < 1024; asked++) yield Buffer.alloc(1 << 20);
          },
        }),
        { ...LONG, signal: controller.signal },
      ),
    );
    expect(error.code).to.equal('BITS_ERR_ABORTED');
    await server.connections[0]?.closed;
    expect(asked).to.be.below(1024);
  });

  describe('TLS', () => {
    it('refuses a certificate that nobody vouches for, and says how to trust it', async () => {
      const server = await serve({ ...OK, tls: true });
      const error = await bitsError(make().send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
      expect(error.message).to.include('tls.ca').and.to.include('DEPTH_ZERO_SELF_SIGNED_CERT');
    });

    it('refuses a certificate for other names', async () => {
      const server = await serve({ ...OK, tls: true });
      const url = server.url();
      url.hostname = '127.0.0.2';
      const listener = net.createServer((socket) => {
        const onward = net.connect(server.port, '127.0.0.1');
        socket.pipe(onward).pipe(socket);
        socket.on('error', () => onward.destroy());
        onward.on('error', () => socket.destroy());
      });
      listener.listen(0, '127.0.0.2');
      await once(listener, 'listening');
      url.port = String((listener.address() as net.AddressInfo).port);
      const error = await bitsError(make({ tls: { ca: tlsCertificate() } }).send(ping(url), LONG));
      listener.close();
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
      expect(error.message).to.include('ERR_TLS_CERT_ALTNAME_INVALID');
    });

    it('tells when the port does not speak TLS', async () => {
      const server = await serve({
        onConnection: ({ socket }) => void socket.write(answer(400)),
      });
      const url = new URL(server.url().href.replace('http:', 'https:'));
      const error = await bitsError(make().send(ping(url), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
      expect(error.message).to.include('TLS');
    });

    it('says that the server requires a client certificate, which TLS 1.3 tells after the handshake', async () => {
      const server = await serve({
        ...OK,
        tls: { requestCert: true, rejectUnauthorized: true, ca: tlsCertificate() },
      });
      const tls = { dangerouslyAllowInvalidCertificates: true };
      const error = await bitsError(make({ tls }).send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
      expect(error.message).to.include('client certificate').and.include('CERTIFICATE_REQUIRED');
    });
  });

  it('leaves nothing that keeps a process alive, closed or not', async () => {
    const server = await serve();
    const script = (after: string) => `
      const { createUndiciTransport } = await import('./src/transport/undici.ts');
      const transport = createUndiciTransport();
      const options = { stallTimeoutMs: 60000, answerTimeoutMs: 60000, answerBody: 'discard' };
      const request = { method: 'BITS_POST', url: new URL('${server.url()}'), headers: {} };
      console.log((await transport.send(request, options)).status);
      ${after}`;
    for (const after of ['await transport.close()', '']) {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', script(after)],
        { cwd: new URL('../..', import.meta.url), timeout: 15_000 },
      );
      expect(stdout).to.equal('200\n');
    }
  });

  it('rejects what is no request, and does not throw', async () => {
    const transport = createUndiciTransport();
    for (const request of [undefined, {}, { url: 'http://server.example/' }]) {
      const sent = transport.send(request as never, LONG);
      expect(await rejection(sent)).to.be.an('error');
    }
    await transport.close();
  });

  it('does not load undici before the first request', async () => {
    const script = `
      import { createRequire } from 'node:module';
      const { createUndiciTransport } = await import('./src/transport/undici.ts');
      createUndiciTransport();
      const cache = Object.keys(createRequire(import.meta.url).cache);
      console.log(cache.some((path) => path.includes('node_modules/undici/')));`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { cwd: new URL('../..', import.meta.url), timeout: 15_000 },
    );
    expect(stdout).to.equal('false\n');
  });

  it('refuses options that cannot work', () => {
    for (const options of [
      { connectTimeoutMs: 0 },
      { connectTimeoutMs: 2 ** 31 },
      { userAgent: 'a\r\nb' },
    ]) {
      expect(() => createUndiciTransport(options))
        .to.throw()
        .with.property('code', 'BITS_ERR_ARGUMENT');
    }
  });

  for (const [what, head] of [
    ['ends with the connection', 'HTTP/1.1 200 OK\r\n\r\n'],
    [
      'is followed by its end',
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 400000\r\n\r\n',
    ],
    ['leaves the connection open', 'HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n'],
  ] as const) {
    it(`streams a body that is read slowly and ${what}, and goes on`, async () => {
      const body = pattern(400_000);
      const server = await serve({
        onRequest: ({ connection: { socket }, index }) => {
          if (index > 0) socket.write(answer(201));
          else {
            socket.write(head);
            socket.write(body);
            if (!what.startsWith('leaves')) socket.end();
          }
        },
      });
      const transport = make();
      const response = await transport.send(get(server.url()), { ...LONG, answerBody: 'stream' });
      const chunks: Uint8Array[] = [];
      for await (const chunk of response.body) {
        chunks.push(chunk);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(Buffer.concat(chunks)).to.deep.equal(body);
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(201);
      expect(server.connections).to.have.lengthOf(what.startsWith('leaves') ? 1 : 2);
    });
  }
});

describe('version', () => {
  it('is the one of package.json', () => {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    expect(VERSION).to.equal(JSON.parse(text).version);
  });
});
