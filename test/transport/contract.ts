import { once } from 'node:events';
import net from 'node:net';
import { expect } from 'chai';
import type { SendOptions, Transport } from '../../src/transport/transport.js';
import { answer } from '../support/raw-server.js';
import {
  bitsError,
  closedAfterEach,
  collect,
  fragment,
  gate,
  get,
  LONG,
  pattern,
  ping,
  rejection,
  withBody,
} from './support.js';

const STREAM: SendOptions = { ...LONG, answerBody: 'stream' };

export interface TransportTraits {
  /** Whether it cannot tell where a redirect leads, and fails instead. @default false */
  readonly hidesRedirects?: boolean;
}

/** What every transport does, against raw sockets. */
export function transportContract(
  name: string,
  make: () => Transport,
  { hidesRedirects = false }: TransportTraits = {},
): void {
  describe(`${name}: the transport contract`, () => {
    const { keep, serve } = closedAfterEach();
    let transport: Transport;

    /** Answers everything in one way. */
    const always = (text: string) =>
      serve({ onRequest: ({ connection }) => void connection.socket.write(text) });

    beforeEach(() => {
      transport = keep(make());
    });

    it('sends verb, target and headers, and the body by its length', async () => {
      const server = await serve();
      const url = server.url('/vdir/a%20b.bin?x=1&y=%7B');
      await transport.send(fragment(url, pattern(70_000), pattern(30_000, 2)), LONG);
      const [request] = server.requests;
      expect(request?.method).to.equal('BITS_POST');
      expect(request?.target).to.equal('/vdir/a%20b.bin?x=1&y=%7B');
      expect(request?.headers).to.include({
        host: url.host,
        'bits-packet-type': 'Fragment',
        'content-range': 'bytes 0-1/2',
        'content-length': '100000',
      });
      expect(request?.headers).not.to.have.any.keys('transfer-encoding', 'expect', 'cookie');
      expect(request?.body).to.deep.equal(Buffer.concat([pattern(70_000), pattern(30_000, 2)]));
    });

    it('sends no content length with GET', async () => {
      const server = await serve();
      await transport.send(get(server.url()), LONG);
      expect(server.requests[0]?.headers).not.to.have.any.keys(
        'content-length',
        'transfer-encoding',
      );
    });

    it('names the package in User-Agent, unless the caller does', async () => {
      const server = await serve();
      await transport.send(ping(server.url()), LONG);
      await transport.send(ping(server.url(), { 'user-agent': 'Microsoft BITS/7.8' }), LONG);
      expect(server.requests.map(({ headers }) => headers['user-agent'])).to.deep.equal([
        `bits-upload/${process.env.npm_package_version ?? '0.1.0'}`,
        'Microsoft BITS/7.8',
      ]);
    });

    it('gives status and headers: lower case, repeated ones joined, no prototype', async () => {
      const server = await always(
        'HTTP/1.1 200 OK\r\nBITS-Packet-Type: Ack\r\nX-Two: 1\r\nx-two: 2\r\n' +
          '__proto__: oops\r\nBITS-Session-Id:  {ABC}  \r\nContent-Length: 0\r\n\r\n',
      );
      const { status, headers, body } = await transport.send(ping(server.url()), LONG);
      expect(status).to.equal(200);
      expect(Object.getPrototypeOf(headers)).to.equal(null);
      expect({ ...headers }).to.deep.equal({
        'bits-packet-type': 'Ack',
        'x-two': '1, 2',
        ['__proto__']: 'oops',
        'bits-session-id': '{ABC}',
        'content-length': '0',
      });
      expect(await collect(body)).to.have.lengthOf(0);
    });

    it('keeps header values as they are, odd bytes included', async () => {
      const server = await serve({
        onRequest: ({ connection }) => {
          connection.socket.write(
            'HTTP/1.1 200 OK\r\nX-Odd: caf\xe9 \xff\r\nContent-Length: 0\r\n\r\n',
            'latin1',
          );
        },
      });
      const { headers } = await transport.send(ping(server.url()), LONG);
      expect(headers['x-odd']).to.equal('caf\xe9 \xff');
    });

    for (const status of [204, 304, 400, 403, 416, 500, 501, 503]) {
      it(`resolves with ${status} as with any status`, async () => {
        const text = `HTTP/1.1 ${status} Status\r\nBITS-Error-Code: 0x80070005\r\n${
          status === 204 || status === 304 ? '' : 'Content-Length: 0\r\n'
        }\r\n`;
        const server = await always(text);
        const response = await transport.send(ping(server.url()), LONG);
        expect(response.status).to.equal(status);
        expect(response.headers['bits-error-code']).to.equal('0x80070005');
      });
    }

    it('follows no redirect', async () => {
      const server = await always(answer(307, { Location: '/elsewhere' }));
      const sent = transport.send(ping(server.url()), LONG);
      if (hidesRedirects) {
        const error = await bitsError(sent);
        expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
        expect(error.message).to.include('redirects');
      } else {
        const { status, headers } = await sent;
        expect([status, headers.location]).to.deep.equal([307, '/elsewhere']);
      }
      expect(server.requests).to.have.lengthOf(1);
    });

    it('overlooks answers that only announce another', async () => {
      const server = await always(
        `HTTP/1.1 102 Processing\r\nX: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${answer(403)}`,
      );
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(403);
    });

    it('streams an answer body', async () => {
      const body = pattern(300_000);
      const server = await serve({
        onRequest: ({ connection }) => {
          connection.socket.write(`HTTP/1.1 206 Partial\r\nContent-Length: ${body.length}\r\n\r\n`);
          connection.socket.write(body);
        },
      });
      const response = await transport.send(get(server.url()), STREAM);
      expect(response.status).to.equal(206);
      expect(await collect(response.body)).to.deep.equal(body);
    });

    it('streams a body that ends with the connection', async () => {
      const server = await serve({
        onRequest: ({ connection }) =>
          void connection.socket.end('HTTP/1.1 200 OK\r\n\r\nuntil it ends'),
      });
      const response = await transport.send(get(server.url()), STREAM);
      expect((await collect(response.body)).toString()).to.equal('until it ends');
    });

    it('reads no faster than the one who reads the body', async () => {
      const block = Buffer.alloc(1 << 20);
      const total = 256;
      let accepted = 0;
      const server = await serve({
        onRequest: async ({ connection: { socket } }) => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total * block.length}\r\n\r\n`);
          const closed = once(socket, 'close');
          while (accepted < total && !socket.destroyed) {
            if (!socket.write(block)) await Promise.race([once(socket, 'drain'), closed]);
            accepted++;
          }
        },
      });
      const response = await transport.send(get(server.url()), STREAM);
      const iterator = response.body[Symbol.asyncIterator]();
      await iterator.next();
      // The server gets rid of nothing more, or of everything.
      for (let before = -1; before !== accepted && accepted < total; ) {
        before = accepted;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(accepted).to.be.below(total / 2);
      await iterator.return?.();
    });

    it('cuts the connection when a body is left early, and goes on', async () => {
      const server = await serve({
        onRequest: ({ connection, target }) => {
          if (target === '/endless') {
            connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nsome');
          } else connection.socket.write(answer(201));
        },
      });
      const response = await transport.send(get(server.url('/endless')), STREAM);
      for await (const chunk of response.body) {
        expect(Buffer.from(chunk).toString()).to.equal('some');
        break;
      }
      await server.connections[0]?.closed;
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(201);
    });

    it('fails the body when the answer is cut short', async () => {
      const server = await serve({
        onRequest: ({ connection }) =>
          void connection.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort'),
      });
      const response = await transport.send(get(server.url()), STREAM);
      const error = await bitsError(collect(response.body));
      expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
    });

    describe('with a body that nobody reads', () => {
      it('resolves on a head without length, and goes on', async () => {
        const server = await serve({
          onRequest: ({ connection, index }) =>
            void connection.socket.write(
              index === 0 ? 'HTTP/1.1 500 Oops\r\nX: y\r\n\r\nnever ends' : answer(200),
            ),
        });
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(500);
        await server.connections[0]?.closed;
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
      });

      it('resolves on a head whose body never comes, and the next request does not wait', async () => {
        const server = await serve({
          onRequest: ({ connection, index }) =>
            void connection.socket.write(
              index === 0 ? 'HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\n' : answer(200),
            ),
        });
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(500);
        const before = performance.now();
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
        expect(performance.now() - before).to.be.below(700);
      });

      it('gives an endless one up', async () => {
        const server = await serve({
          onRequest: ({ connection: { socket } }) => {
            socket.write('HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n');
            const chunk = Buffer.alloc(16 * 1024);
            const more = () => {
              if (socket.destroyed) return;
              socket.write('4000\r\n');
              socket.write(chunk);
              socket.write('\r\n', () => setImmediate(more));
            };
            more();
          },
        });
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(500);
        await server.connections[0]?.closed;
      });
    });

    it('returns an answer that comes before the body is sent, and sends no more of it', async () => {
      const server = await serve({
        onHead: ({ connection, target }) => {
          if (target === '/large') connection.socket.write(answer(413));
        },
        onRequest: ({ connection }) => void connection.socket.write(answer(200)),
        paused: false,
      });
      let asked = 0;
      const piece = Buffer.alloc(64 * 1024);
      const answered = gate();
      const request = withBody(server.url('/large'), {
        byteLength: transport.maxBodyBytes ?? 64 * 1024 * 1024,
        async *pieces() {
          const pieces = this.byteLength / piece.byteLength;
          while (asked < pieces) {
            asked++;
            // A fetch takes the whole body at once: only a transport that streams can be stopped.
            if (transport.maxBodyBytes === undefined && asked === 4) await answered.promise;
            yield piece;
          }
        },
      });
      expect((await transport.send(request, LONG)).status).to.equal(413);
      answered.open();
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
      if (transport.maxBodyBytes === undefined) expect(asked).to.equal(4);
    });

    it('reports every body byte as sent, once', async () => {
      const server = await serve();
      let sent = 0;
      await transport.send(fragment(server.url(), pattern(500_000), pattern(3)), {
        ...LONG,
        onBytesSent: (bytes) => {
          sent += bytes;
        },
      });
      expect(sent).to.equal(500_003);
    });

    describe('when something goes wrong', () => {
      it('rejects with the very error of the source', async () => {
        const server = await serve();
        const error = new TypeError('the disk is on fire');
        const request = withBody(server.url(), {
          byteLength: 10,
          async *pieces() {
            yield Buffer.from('12345');
            throw error;
          },
        });
        expect(await rejection(transport.send(request, LONG))).to.equal(error);
      });

      it('rejects with the very error that a source throws at its end', async () => {
        const server = await serve();
        const error = new TypeError('the file has changed');
        const request = withBody(server.url(), {
          byteLength: 5,
          async *pieces() {
            yield Buffer.from('12345');
            throw error;
          },
        });
        expect(await rejection(transport.send(request, LONG))).to.equal(error);
      });

      for (const [what, pieces] of [
        ['less', ['123']],
        ['more, in one piece,', ['1234567']],
        ['more, in another piece,', ['12345', '6']],
      ] as const) {
        it(`refuses a source that gives ${what} than it announced`, async () => {
          const server = await serve();
          const request = withBody(server.url(), {
            byteLength: 5,
            async *pieces() {
              for (const piece of pieces) yield Buffer.from(piece);
            },
          });
          const error = await bitsError(transport.send(request, LONG));
          expect(error.code).to.equal('BITS_ERR_SOURCE');
        });
      }

      it('lets the source go when the request fails', async () => {
        const server = await serve({ onHead: ({ connection }) => connection.socket.destroy() });
        const letGo = gate();
        const request = withBody(server.url(), {
          byteLength: 4_000_000,
          async *pieces() {
            try {
              for (let i = 0; i < 40; i++) yield Buffer.alloc(100_000);
            } finally {
              letGo.open();
            }
          },
        });
        await bitsError(transport.send(request, LONG));
        await letGo.promise;
      });

      it('tells that nobody listens', async () => {
        const server = await serve();
        const url = server.url('/secret?token=hush');
        await server.close();
        const error = await bitsError(transport.send(ping(url), LONG));
        expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
        expect(error.message).to.include(url.host).and.to.include('refused');
        expect(error.message).not.to.match(/secret|hush/);
      });

      it('tells that the connection was closed instead of an answer', async () => {
        const server = await serve({ onRequest: ({ connection }) => void connection.socket.end() });
        const error = await bitsError(transport.send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
        expect(error.message).to.include('closed the connection');
      });

      it('tells that the answer is not HTTP, without its text', async () => {
        const server = await serve({
          onRequest: ({ connection }) => void connection.socket.end('220 hush ESMTP ready\r\n'),
        });
        const error = await bitsError(transport.send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
        expect(error.message).to.include('not HTTP/1.1').and.not.to.include('hush');
      });

      it('refuses a flood of headers', async () => {
        const server = await serve({
          onRequest: ({ connection: { socket } }) => {
            socket.write(`HTTP/1.1 200 OK\r\n${`X-Flood: ${'x'.repeat(1000)}\r\n`.repeat(400)}`);
          },
        });
        const error = await bitsError(transport.send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
        await server.connections[0]?.closed;
      });

      it('refuses what cannot stand in a request, before it is sent', async () => {
        const server = await serve();
        const url = server.url();
        for (const [header, value] of [
          ['X-Split', 'a\r\nX-Other: b'],
          ['X-Nul', 'a\0b'],
          ['X-Wide', 'Ω'],
          ['X Space', 'a'],
          ['Content-Length', '5'],
          ['Transfer-Encoding', 'chunked'],
          ['Host', 'other'],
          ['Expect', '100-continue'],
        ] as const) {
          const error = await bitsError(transport.send(ping(url, { [header]: value }), LONG));
          expect(error.code, header).to.equal('BITS_ERR_ARGUMENT');
          expect(error.message).not.to.include('X-Other');
        }
        const file = ping(new URL('file:///etc/passwd'));
        expect((await bitsError(transport.send(file, LONG))).code).to.equal('BITS_ERR_ARGUMENT');
        expect(server.connections).to.have.lengthOf(0);
      });
    });

    describe('time', () => {
      it('ends when the server takes the request and never answers', async () => {
        const server = await serve({});
        const error = await bitsError(
          transport.send(ping(server.url('/secret')), {
            ...LONG,
            stallTimeoutMs: 60,
            answerTimeoutMs: 80,
          }),
        );
        expect(error).to.include({ code: 'BITS_ERR_TIMEOUT', retryable: true });
        expect(error.message)
          .to.include(server.url().host)
          .and.to.include('timeouts.answerMs')
          .and.not.to.include('secret');
        await server.connections[0]?.closed;
      });

      it('ends when an answer body stops coming', async () => {
        const server = await always('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome');
        const response = await transport.send(get(server.url()), {
          ...STREAM,
          answerTimeoutMs: 100,
        });
        const error = await bitsError(collect(response.body));
        expect(error.code).to.equal('BITS_ERR_TIMEOUT');
        expect(error.message).to.include('100 ms');
        await server.connections[0]?.closed;
      });

      it('does not count while the one who reads the body is busy', async () => {
        const server = await serve({
          onRequest: ({ connection }) => {
            connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsome');
          },
        });
        const response = await transport.send(get(server.url()), {
          ...STREAM,
          answerTimeoutMs: 250,
        });
        const read: string[] = [];
        for await (const chunk of response.body) {
          read.push(Buffer.from(chunk).toString());
          if (read.length > 1) break;
          await new Promise((resolve) => setTimeout(resolve, 400));
          server.connections[0]?.socket.write('more');
        }
        expect(read).to.deep.equal(['some', 'more']);
      });

      it('does not count while the source is slow', async () => {
        const server = await serve();
        const request = withBody(server.url(), {
          byteLength: 2,
          async *pieces() {
            yield Buffer.from('1');
            await new Promise((resolve) => setTimeout(resolve, 150));
            yield Buffer.from('2');
          },
        });
        const response = await transport.send(request, { ...LONG, stallTimeoutMs: 60 });
        expect(response.status).to.equal(200);
      });
    });

    describe('abort', () => {
      it('sends nothing when the signal is aborted already', async () => {
        const server = await serve();
        const signal = AbortSignal.abort();
        const error = await bitsError(transport.send(ping(server.url()), { ...LONG, signal }));
        expect(error.code).to.equal('BITS_ERR_ABORTED');
        expect(server.connections).to.have.lengthOf(0);
      });

      it('cuts the wire while the answer is waited for, and goes on', async () => {
        const controller = new AbortController();
        const server = await serve({
          onRequest: ({ connection, index }) => {
            if (index === 0) controller.abort(new Error('a reason of the caller'));
            else connection.socket.write(answer());
          },
        });
        const error = await bitsError(
          transport.send(ping(server.url()), { ...LONG, signal: controller.signal }),
        );
        expect(error.code).to.equal('BITS_ERR_ABORTED');
        await server.connections[0]?.closed;
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
      });

      it('cuts the wire in the middle of a streamed answer', async () => {
        const controller = new AbortController();
        const server = await always('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome');
        const response = await transport.send(get(server.url()), {
          ...STREAM,
          signal: controller.signal,
        });
        const iterator = response.body[Symbol.asyncIterator]();
        await iterator.next();
        const next = iterator.next();
        controller.abort();
        expect((await bitsError(next as Promise<unknown>)).code).to.equal('BITS_ERR_ABORTED');
        await server.connections[0]?.closed;
      });
    });

    describe('close', () => {
      it('ends what is under way', async () => {
        const server = await serve({ onRequest: () => void transport.close() });
        const error = await bitsError(transport.send(ping(server.url()), LONG));
        expect(error.code).to.equal('BITS_ERR_ABORTED');
        await server.connections[0]?.closed;
      });

      it('refuses requests afterwards, and may be called twice', async () => {
        await transport.close();
        await transport.close();
        const error = await bitsError(transport.send(ping(new URL('http://127.0.0.1:9/')), LONG));
        expect(error.code).to.equal('BITS_ERR_STATE');
      });
    });

    it('speaks to IPv6 hosts', async function () {
      const server = net.createServer((socket) => {
        socket.on('data', () => socket.end(answer(202, { Connection: 'close' })));
      });
      server.listen(0, '::1');
      const listening = await Promise.race([
        once(server, 'listening').then(() => true),
        once(server, 'error').then(() => false),
      ]);
      if (!listening) this.skip();
      const { port } = server.address() as net.AddressInfo;
      const response = await transport.send(ping(new URL(`http://[::1]:${port}/x`)), LONG);
      expect(response.status).to.equal(202);
      server.close();
    });
  });
}
