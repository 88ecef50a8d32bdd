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
import { LONG, ping } from './support.js';

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
