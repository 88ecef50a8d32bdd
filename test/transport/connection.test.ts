import { X509Certificate } from 'node:crypto';
import { expect } from 'chai';
import type { Transport } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import {
  answer,
  type RawServer,
  type RawServerOptions,
  startRawServer,
  tlsCertificate,
} from '../support/raw-server.js';
import { bitsError, LONG, ping } from './support.js';

describe('the connection of an answer', () => {
  let transport: Transport;
  let servers: RawServer[];
  beforeEach(() => {
    transport = createUndiciTransport({ tls: { ca: tlsCertificate() } });
    servers = [];
  });
  afterEach(async () => {
    await transport.close();
    await Promise.all(servers.map((server) => server.close()));
  });

  async function serve(options: RawServerOptions = {}): Promise<RawServer> {
    const server = await startRawServer({
      onRequest: ({ connection }) => connection.socket.write(answer()),
      ...options,
    });
    servers.push(server);
    return server;
  }

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
    const connection = await connectionTo(await serve({ tls: true }));
    const { raw } = new X509Certificate(tlsCertificate());
    expect(Buffer.from(connection?.peerCertificate ?? []).equals(raw)).to.equal(true);
  });
});

describe('a connection', () => {
  const servers: RawServer[] = [];
  let transport: Transport;
  beforeEach(() => {
    transport = createUndiciTransport();
  });
  afterEach(async () => {
    await transport.close();
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  async function serve(options: RawServerOptions): Promise<RawServer> {
    const server = await startRawServer(options);
    servers.push(server);
    return server;
  }

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
