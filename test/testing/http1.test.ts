import { once } from 'node:events';
import { expect } from 'chai';
import fc from 'fast-check';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { fragment, head, packet, RawClient } from './raw-client.js';

describe('the framing of the reference server', () => {
  let server: BitsServer;
  let client: RawClient;
  beforeEach(async () => {
    server = await createBitsServer();
    client = await RawClient.connect(server);
  });
  afterEach(async () => {
    await client.end();
    await server.close();
  });
  const codes = () => server.violations.map(({ code }) => code);
  const ping = packet('/f', 'Ping');

  it('reads requests byte by byte', async () => {
    const id = await client.open('/f');
    client.socket.setNoDelay(true);
    for (const byte of fragment('/f', id, 0, Buffer.from('ab\r\n\r\ncd'), 8)) {
      client.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    expect((await client.read()).headers['bits-received-content-range']).to.equal('8');
    server.assertNoViolations();
  });

  it('answers pipelined requests one after another, and reports them', async () => {
    const id = await client.open('/f');
    const bytes = Buffer.from('abcd');
    client.write(
      Buffer.concat([
        fragment('/f', id, 0, bytes, 8),
        fragment('/f', id, 4, bytes, 8),
        Buffer.from(ping),
      ]),
    );
    expect((await client.read()).headers['bits-received-content-range']).to.equal('4');
    expect((await client.read()).headers['bits-received-content-range']).to.equal('8');
    expect((await client.read()).status).to.equal(200);
    expect(codes()).to.deep.equal(['pipelined', 'pipelined']);
  });

  it('reads the next request after a body that it refused unread', async () => {
    const small = await createBitsServer({ maxFragmentBytes: 10 });
    const other = await RawClient.connect(small);
    const id = await other.open('/f');
    const body = Buffer.alloc(3 * 1024 * 1024);
    const refused = await other.fragment('/f', id, 0, body, body.length);
    expect(refused.status).to.equal(413);
    expect((await other.fragment('/f', id, 0, Buffer.from('a'), body.length)).status).to.equal(200);
    small.assertNoViolations();
    await other.end();
    await small.close();
  });

  it('answers a client that closed its sending half', async () => {
    client.socket.end(ping);
    expect((await client.read()).status).to.equal(200);
    await client.closed;
  });

  it('skips empty lines before a request', async () => {
    expect((await client.send(`\r\n\r\n${ping}`)).status).to.equal(200);
  });

  const rejections: [string, string, number, string][] = [
    ['a bare line feed', ping.replace('\r\n', '\n'), 400, 'framing'],
    ['a bare carriage return', ping.replace('localhost', 'a\rb'), 400, 'framing'],
    ['a folded header', ping.replace('localhost', 'a\r\n b'), 400, 'framing'],
    ['a space before the colon', ping.replace('Host:', 'Host :'), 400, 'framing'],
    ['no Host', ping.replace('Host', 'X-Host'), 400, 'framing'],
    ['two Hosts', ping.replace('Host:', 'Host: a\r\nHost:'), 400, 'framing'],
    ['a control character', ping.replace('localhost', 'a\u0001'), 400, 'framing'],
    ['no request line', 'nonsense\r\n\r\n', 400, 'framing'],
    ['two equal lengths', packet('/f', 'Ping', { 'content-length': '0' }), 400, 'content-length'],
    ['two lengths', packet('/f', 'Ping', { 'content-length': '5' }), 400, 'content-length'],
    ['a signed length', packet('/f', 'Ping', { 'Content-Length': '+0' }), 400, 'content-length'],
    ['both lengths', packet('/f', 'Ping', { 'Transfer-Encoding': 'chunked' }), 400, 'framing'],
    ['a chunked body', head('BITS_POST', '/f', { 'Transfer-Encoding': 'chunked' }), 411, 'chunked'],
    ['Expect', packet('/f', 'Ping', { Expect: '100-continue' }), 417, 'expect'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'http-version'],
    ['a huge head', `GET /${'x'.repeat(70_000)}`, 431, 'head-too-large'],
    [
      'too many headers',
      ping.replace('Host', `${'A: b\r\n'.repeat(200)}Host`),
      431,
      'head-too-large',
    ],
  ];
  for (const [what, bytes, status, violation] of rejections) {
    it(`refuses ${what} with ${status} and closes`, async () => {
      const answer = await client.send(Buffer.from(bytes, 'latin1'));
      expect(answer.status).to.equal(status);
      expect(answer.headers.connection).to.equal('close');
      client.socket.end();
      await client.closed;
      expect(codes()).to.deep.equal([violation]);
    });
  }

  it('refuses a request without Content-Length, and closes', async () => {
    const answer = await client.send(head('BITS_POST', '/f', { 'BITS-Packet-Type': 'Ping' }));
    expect(answer.status).to.equal(400);
    expect(answer.headers['bits-error-code']).to.equal('0x80070057');
    client.socket.end();
    await client.closed;
    expect(codes()).to.deep.equal(['content-length']);
  });

  it('refuses HTTP/1.0 with 400', async () => {
    expect((await client.send(ping.replace('HTTP/1.1', 'HTTP/1.0'))).status).to.equal(400);
    expect(codes()).to.deep.equal(['http-version']);
  });

  it('closes the connection on Connection: close', async () => {
    await client.send(packet('/f', 'Ping', { Connection: 'close' }));
    await client.closed;
  });

  it('drops silent clients, but not those that wait for an answer', async () => {
    let release = () => {};
    const asked = new Promise<void>((resolve) => {
      release = resolve;
    });
    const impatient = await createBitsServer({ idleTimeoutMs: 40, onUpload: () => asked });
    const silent = await RawClient.connect(impatient);
    const waiting = await RawClient.connect(impatient);
    const id = await waiting.open('/f');
    const answer = waiting.closeSession('/f', id);
    await silent.closed;
    await once(waiting.socket.setTimeout(60), 'timeout');
    release();
    expect((await answer).status).to.equal(200);
    await waiting.end();
    await impatient.close();
  });

  it('survives any garbage', async () => {
    const shape = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.nat(ping.length), fc.uint8Array({ maxLength: 5 }))
        .map(([at, bytes]) =>
          Buffer.concat([Buffer.from(ping.slice(0, at)), bytes, Buffer.from(ping.slice(at))]),
        ),
    );
    await fc.assert(
      fc.asyncProperty(shape, async (bytes) => {
        const garbler = await RawClient.connect(server);
        garbler.socket.end(bytes);
        await garbler.closed;
      }),
      { numRuns: 200 },
    );
    expect((await client.send(ping)).status).to.equal(200);
  });
});
