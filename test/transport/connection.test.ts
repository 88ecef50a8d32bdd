import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { expect } from 'chai';
import { hadStaleConnection, neverConnected } from '../../src/transport/failure.js';
import type { Transport } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { startHttpProxy } from '../support/http-proxy.js';
import { answer, type RawRequest, type RawServer, tlsCertificate } from '../support/raw-server.js';
import { skipOnWindows } from '../support/skip.js';
import {
  bitsError,
  closedAfterEach,
  collect,
  fragment,
  gate,
  LONG,
  OK,
  pattern,
  ping,
} from './support.js';

describe('the connection of an answer', () => {
  const { keep, serve } = closedAfterEach();
  let transport: Transport;
  beforeEach(() => {
    transport = keep(createUndiciTransport({ tls: { ca: tlsCertificate() } }));
  });

  const connectionTo = async (server: RawServer) =>
    (await transport.send(ping(server.url()), LONG)).connection;

  it('is the same while the socket is, another for another, and tells when it is closed', async () => {
    const server = await serve();
    const first = await connectionTo(server);
    expect(await connectionTo(server)).to.equal(first);
    expect(first?.isOpen).to.equal(true);
    const second = await connectionTo(await serve());
    expect(second).not.to.equal(first);
    expect(first?.peerCertificate).to.equal(undefined);
    await transport.close();
    expect([first?.isOpen, second?.isOpen]).to.deep.equal([false, false]);
  });

  it('is told apart for answers that come at the same time', async () => {
    const two = [await serve(), await serve()];
    const before = await Promise.all(two.map(connectionTo));
    const after = await Promise.all(two.map(connectionTo));
    expect(before[0]).not.to.equal(before[1]);
    expect(after).to.deep.equal(before);
  });

  it("has the server's certificate over TLS", async () => {
    const connection = await connectionTo(await serve({ ...OK, tls: true }));
    const { raw } = new X509Certificate(tlsCertificate());
    expect(Buffer.from(connection?.peerCertificate ?? []).equals(raw)).to.equal(true);
  });
});

describe('a connection', () => {
  const { keep, serve } = closedAfterEach();
  let transport: Transport;
  beforeEach(() => {
    transport = keep(createUndiciTransport());
  });

  for (const [what, delayMs] of [
    ['together with the answer', undefined],
    ['after the answer', 5],
  ] as const) {
    it(`ends when a second answer comes ${what}, and no request gets that`, async () => {
      const server = await serve({
        onRequest: ({ connection: { socket }, index }) => {
          const own = answer(200, { 'X-Index': String(index) });
          if (delayMs === undefined) socket.write(own + own);
          else socket.write(own, () => setTimeout(() => socket.write(own), delayMs));
        },
      });
      for (let i = 0; i < 3; i++) {
        const { headers } = await transport.send(ping(server.url()), LONG);
        expect(headers['x-index']).to.equal(String(i));
        await server.connections[i]?.closed;
      }
    });
  }

  it('is not used again when somebody closes it', async () => {
    const server = await serve();
    const { connection } = await transport.send(ping(server.url()), LONG);
    connection?.close?.();
    expect(connection?.isOpen).to.equal(false);
    await transport.send(ping(server.url()), LONG);
    expect(server.connections).to.have.lengthOf(2);
  });

  it('is not used again when the server ends it with an answer, without saying so', async () => {
    const server = await serve({
      onRequest: ({ connection: { socket, requests } }) => {
        if (requests.length === 3) socket.end(answer());
        else socket.write(answer());
      },
    });
    for (let i = 0; i < 7; i++) await transport.send(ping(server.url()), LONG);
    expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([3, 3, 1]);
  });

  it('fails when another protocol greets, without its text', async () => {
    const greeting = '220 hush ESMTP ready\r\n';
    const server = await serve({ onConnection: ({ socket }) => void socket.write(greeting) });
    const error = await bitsError(transport.send(ping(server.url()), LONG));
    expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
    expect(error.message).to.include('not HTTP/1.1').and.not.to.include('hush');
  });

  for (const answerBody of ['discard', 'stream'] as const) {
    it(`ends with an answer that switches protocols, which is an answer as any (${answerBody})`, async () => {
      const server = await serve({
        onRequest: ({ connection: { socket } }) =>
          void socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello',
            'latin1',
          ),
      });
      const response = await transport.send(ping(server.url()), { ...LONG, answerBody });
      expect(response.status).to.equal(101);
      expect(await collect(response.body)).to.have.lengthOf(0);
      await server.connections[0]?.closed;
    });
  }

  for (const [what, start, more] of [
    ['interim answers', '', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'],
    ['header fields of an interim answer', 'HTTP/1.1 103 Early Hints\r\n', 'Link: x\r\n'],
    ['a reason phrase', 'HTTP/1.1 200 ', 'OK '],
    ['empty lines', '', '\r\n'],
  ] as const) {
    it(`ends when ${what} do not end`.replace('phrase do', 'phrase does'), async () => {
      const server = await serve({
        onRequest: ({ connection: { socket } }) => {
          socket.write(start);
          const flood = () => {
            if (!socket.destroyed) socket.write(more.repeat(50), () => setImmediate(flood));
          };
          flood();
        },
      });
      const error = await bitsError(transport.send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
      expect(error.message).to.include('larger answer head');
      await server.connections[0]?.closed;
    });
  }
});

describe('a connection that was used before and breaks before any byte of the answer', () => {
  const { keep, serve: serveRaw } = closedAfterEach();
  let server: RawServer;
  let transport: Transport;

  /** A server that answers the first request of a connection, and does something with the others. */
  async function serve(others: (request: RawRequest) => void, tls = false, status = 200) {
    server = await serveRaw({
      tls,
      onRequest: (request) => {
        if (request.connection.requests.length > 1) others(request);
        else request.connection.socket.write(answer(status));
      },
    });
    transport = keep(createUndiciTransport({ tls: { ca: tlsCertificate() } }));
  }

  const send = () => transport.send(fragment(server.url(), pattern(1000)), LONG);

  for (const tls of [false, true]) {
    for (const [what, cut] of [
      ['ended', (socket: Socket) => socket.end()],
      ['reset', (socket: Socket) => socket.destroy()],
    ] as const) {
      it(`fails the request with that fact: ${what}${tls ? ', over TLS' : ''}`, async () => {
        await serve(({ connection: { socket } }) => void cut(socket), tls);
        await send();
        const error = await bitsError(send());
        expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
        expect(hadStaleConnection(error)).to.equal(true);
        expect(neverConnected(error)).to.equal(false);
      });
    }
  }

  it('is told apart from a new one, and from one on which the answer had begun', async () => {
    await serve(({ connection: { socket } }) => void socket.end('HTTP/1.1 200'));
    await send();
    expect(hadStaleConnection(await bitsError(send()))).to.equal(false);
    await server.close();
    server = await serveRaw({ onRequest: ({ connection }) => connection.socket.destroy() });
    expect(hadStaleConnection(await bitsError(send()))).to.equal(false);
  });

  it('is told apart from one that was given up', async () => {
    await serve(() => {});
    await send();
    const request = fragment(server.url(), pattern(1000));
    const error = await bitsError(transport.send(request, { ...LONG, answerTimeoutMs: 50 }));
    expect(error.code).to.equal('BITS_ERR_TIMEOUT');
    expect(hadStaleConnection(error)).to.equal(false);
  });

  it('makes the transport use each connection once, when it happens a second time', async () => {
    await serve(({ connection: { socket } }) => void socket.destroy());
    let broken = 0;
    for (let i = 0; i < 10; i++) await send().catch(() => broken++);
    expect(broken).to.equal(2);
    expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([
      2, 2, 1, 1, 1, 1, 1, 1,
    ]);
    for (const { closed } of server.connections) await closed;
  });

  it('lets the answer to a challenge go over the same connection all the same', async () => {
    await serve(({ connection: { socket } }) => void socket.destroy(), false, 401);
    for (let i = 0; i < 4; i++) await send().catch(() => {});
    await send();
    await send().catch(() => {});
    expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([2, 2, 2]);
  });
});

describe('a request that is given up', () => {
  const { keep, serve } = closedAfterEach();
  const trust = { ca: tlsCertificate() };

  /** Passes bytes on, and sees how a connection ends below TLS. */
  async function relayTo(port: number) {
    const ended = gate<string>();
    const relay = net.createServer((socket) => {
      const onward = net.connect(port, '127.0.0.1');
      socket.pipe(onward).pipe(socket);
      socket.on('error', ({ message }) => ended.open(message));
      socket.on('close', () => onward.destroy());
      onward.on('error', () => {});
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    keep({ close: async () => void relay.close() });
    return { ended: ended.promise, port: (relay.address() as net.AddressInfo).port };
  }

  for (const [what, tls, makeProxy] of [
    ['over plain TCP', false, undefined],
    ['over TLS', true, undefined],
    ['to a proxy that gets whole requests', false, () => startHttpProxy()],
    ['over TLS to a proxy that gets whole requests', false, () => startHttpProxy({ tls: true })],
    ['through a tunnel', true, () => startHttpProxy()],
    ['through a tunnel of an https proxy', true, () => startHttpProxy({ tls: true })],
  ] as const) {
    it(`resets its connection ${what}`, async () => {
      const arrived = gate();
      const server = await serve({ tls, onHead: () => arrived.open() });
      const proxy = makeProxy && keep(await makeProxy());
      const relay = await relayTo((proxy ?? server).port);
      const url = server.url();
      if (!proxy) url.port = String(relay.port);
      const isSecure = proxy?.proxyUrl.startsWith('https:');
      const proxyUrl = `${isSecure ? 'https' : 'http'}://127.0.0.1:${relay.port}`;
      const transport = keep(
        createUndiciTransport({
          tls: trust,
          proxy: proxy ? { url: proxyUrl, ...(isSecure && { tls: trust }) } : false,
        }),
      );
      const controller = new AbortController();
      const { signal } = controller;
      const sent = transport.send(ping(url), { ...LONG, signal });
      await arrived.promise;
      controller.abort();
      expect((await bitsError(sent)).code).to.equal('BITS_ERR_ABORTED');
      expect(await relay.ended).to.include('ECONNRESET');
    });
  }

  for (const tls of [false, true]) {
    it(`is forgotten by the system, its body included${tls ? ', over TLS' : ''}`, async function () {
      skipOnWindows(this, 'resets');
      const server = await serve({ tls, paused: true });
      const transport = keep(createUndiciTransport({ tls: trust }));
      let takenBytes = 0;
      const sent = transport.send(fragment(server.url(), Buffer.alloc(64 << 20)), {
        ...LONG,
        stallTimeoutMs: 1000,
        onBytesSent: (bytes) => {
          takenBytes += bytes;
        },
      });
      expect((await bitsError(sent)).code).to.equal('BITS_ERR_TIMEOUT');
      const [door] = server.connections;
      door?.socket.resume();
      await door?.closed;
      expect(door?.received().length).to.be.below(takenBytes / 2);
    });
  }
});
