import { once } from 'node:events';
import { expect } from 'chai';
import fc from 'fast-check';
import { HeadReader } from '../../src/testing/http1-head.js';
import type { BitsServerOptions } from '../../src/testing/index.js';
import { gate } from '../transport/support.js';
import {
  client,
  close,
  codes,
  endAfterEach,
  id,
  offsetIn,
  open,
  server,
  start,
} from './harness.js';
import { fragment, head, packet, RawClient } from './raw-client.js';

describe('the framing of the reference server', () => {
  beforeEach(() => start());
  endAfterEach();
  const ping = packet('/f', 'Ping');

  it('reads requests byte by byte', async () => {
    await open();
    client.socket.setNoDelay(true);
    for (const byte of fragment('/f', id, 0, Buffer.from('ab\r\n\r\ncd'), 8)) {
      client.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    expect(offsetIn(await client.read())).to.equal('8');
    server.assertNoViolations();
  });

  it('answers pipelined requests one after another, and reports them', async () => {
    await open();
    const bytes = Buffer.from('abcd');
    client.write(
      Buffer.concat([
        fragment('/f', id, 0, bytes, 8),
        fragment('/f', id, 4, bytes, 8),
        Buffer.from(ping),
      ]),
    );
    expect(offsetIn(await client.read())).to.equal('4');
    expect(offsetIn(await client.read())).to.equal('8');
    expect((await client.read()).status).to.equal(200);
    expect(codes()).to.deep.equal(['pipelined', 'pipelined']);
  });

  it('reads the next request after a body that it refused unread', async () => {
    await start({ maxFragmentBytes: 10 });
    await open();
    const body = Buffer.alloc(3 * 1024 * 1024);
    expect((await client.fragment('/f', id, 0, body, body.length)).status).to.equal(413);
    const small = await client.fragment('/f', id, 0, Buffer.from('a'), body.length);
    expect(small.status).to.equal(200);
    server.assertNoViolations();
  });

  it('takes the rest of a body for no request, after it closed the connection', async () => {
    const faults = [{ on: 'fragment', do: { closeAfterMs: 0 } }] as const;
    await start({ maxFragmentBytes: 10, faults });
    await open();
    const body = Buffer.alloc(3 * 1024 * 1024, '\n');
    await client.fragment('/f', id, 0, body, body.length).catch(() => {});
    await client.closed;
    server.assertNoViolations();
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
    const asked = gate();
    await start({ idleTimeoutMs: 40, onUpload: () => asked.promise });
    const silent = await RawClient.connect(server);
    await open();
    const answer = close();
    await silent.closed;
    await once(client.socket.setTimeout(60), 'timeout');
    asked.open();
    expect((await answer).status).to.equal(200);
  });

  const closesWithin = async (options: BitsServerOptions, act: () => void) => {
    await start(options);
    const timer = setInterval(act, 5);
    await client.closed;
    clearInterval(timer);
  };

  it('closes a connection that never sends a request', () =>
    closesWithin({ headTimeoutMs: 40 }, () => {}));

  it('closes a connection whose head arrives too slowly', () =>
    closesWithin({ headTimeoutMs: 40 }, () => client.write('A')));

  it('closes a connection whose body arrives too slowly', () => {
    let sent = 0;
    const bytes = fragment('/f', '{1}', 0, Buffer.alloc(1000), 1000);
    const headBytes = bytes.length - 1000;
    return closesWithin({ bodyTimeoutMs: 60 }, () => {
      client.write(bytes.subarray(sent, Math.max(sent + 1, headBytes)));
      sent = Math.max(sent + 1, headBytes);
    });
  });

  it('does not count the time in which it does not read a body itself', async () => {
    const faults = [{ on: 'fragment', do: { bytesPerSecond: 800_000 } }] as const;
    await start({ bodyTimeoutMs: 20, faults });
    await open();
    const body = Buffer.alloc(300_000);
    expect((await client.fragment('/f', id, 0, body, body.length)).status).to.equal(200);
  });

  it('reads a head with long runs of blanks in linear time', async () => {
    const startedMs = performance.now();
    const blanks = '\t '.repeat(30_000);
    expect((await client.ping('/f', { 'X-A': `a${blanks}b` })).status).to.equal(400);
    expect((await client.ping('/f', { 'X-A': blanks })).status).to.equal(200);
    expect(performance.now() - startedMs).to.be.below(1000);
  });

  it('reads a head of many pieces in linear time', async () => {
    const started = process.cpuUsage();
    const reader = new HeadReader(500_000);
    const text = Buffer.from(`GET /${'x'.repeat(300_000)} HTTP/1.1\r\nHost: a\r\n\r\n`);
    let complete: ReturnType<HeadReader['take']>;
    for (let at = 0; at < text.length; at++) complete = reader.take(text.subarray(at, at + 1));
    expect(complete?.head).to.include({ method: 'GET' });
    expect(process.cpuUsage(started).user / 1000).to.be.below(2000);
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
