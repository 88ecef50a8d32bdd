import { expect } from 'chai';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { tlsCertificate, tlsKey } from '../support/raw-server.js';
import { packet, RawClient } from './raw-client.js';

describe('TLS of the reference server', () => {
  let server: BitsServer;
  let client: RawClient | undefined;
  const tls = { key: tlsKey(), cert: tlsCertificate(), ALPNProtocols: ['h2', 'http/1.1'] };
  const trust = { ca: tlsCertificate(), servername: 'localhost' };
  afterEach(async () => {
    await client?.end();
    await server.close();
  });

  it('serves HTTPS and logs what was negotiated', async () => {
    server = await createBitsServer({ tls });
    expect(server.url).to.match(/^https:/);
    client = await RawClient.connectTls(server, { ...trust, ALPNProtocols: ['http/1.1'] });
    const id = await client.open('/f');
    await client.fragment('/f', id, 0, Buffer.alloc(100_000), 100_000);
    await client.closeSession('/f', id);
    expect(server.log[0]?.tls).to.deep.equal({ protocol: 'TLSv1.3', alpn: 'http/1.1' });
    expect(server.uploads[0]?.url).to.equal('https://localhost/f');
    server.assertNoViolations();
  });

  it('reports a client that chooses HTTP/2', async () => {
    server = await createBitsServer({ tls });
    client = await RawClient.connectTls(server, { ...trust, ALPNProtocols: ['h2', 'http/1.1'] });
    await client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect(server.violations.map(({ code }) => code)).to.deep.equal(['http-version']);
    expect(server.log[0]?.tls?.alpn).to.equal('h2');
  });

  it('can reset a connection', async () => {
    server = await createBitsServer({ tls, faults: [{ on: 'ping', do: 'reset-before' }] });
    client = await RawClient.connectTls(server, trust);
    client.write(packet('/f', 'Ping'));
    expect((await client.closed)?.code).to.equal('ECONNRESET');
  });

  it('survives clients without TLS', async () => {
    server = await createBitsServer({ tls });
    const plain = await RawClient.connect(server);
    plain.write(packet('/f', 'Ping'));
    await plain.closed;
    client = await RawClient.connectTls(server, trust);
    expect((await client.ping('/f')).status).to.equal(200);
  });
});
