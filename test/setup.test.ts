import { lookup } from 'node:dns/promises';
import http from 'node:http';
import net from 'node:net';
import { expect } from 'chai';
import nock from 'nock';
import * as undici from 'undici';

/** The code at the bottom of a chain of causes. */
async function rootCode(attempt: Promise<unknown>): Promise<unknown> {
  let error: unknown = await attempt.then(
    () => expect.fail('the network is open'),
    (reason: unknown) => reason,
  );
  while (error instanceof Error && error.cause !== undefined) error = error.cause;
  return (error as { code?: unknown }).code;
}

const SHUT = 'ERR_TEST_NETWORK_SHUT';
const outside = 'http://192.0.2.1/';

describe('the network in tests', () => {
  it('is shut for sockets', async () => {
    const attempt = new Promise((resolve, reject) => {
      net.connect(80, 'bits.example').on('connect', resolve).on('error', reject);
    });
    expect(await rootCode(attempt)).to.equal(SHUT);
  });

  it('is shut for names', async () => {
    expect(await rootCode(lookup('bits.example'))).to.equal(SHUT);
  });

  it('is shut for node:http', async () => {
    const attempt = new Promise((resolve, reject) => {
      http.get(outside).on('response', resolve).on('error', reject);
    });
    expect(await rootCode(attempt)).to.equal(SHUT);
  });

  it('is shut for undici and for fetch, extension methods included', async () => {
    const dispatcher = new undici.Agent();
    const method = 'BITS_POST' as undici.Dispatcher.HttpMethod;
    expect(await rootCode(undici.request(outside, { method, dispatcher }))).to.equal(SHUT);
    expect(await rootCode(undici.fetch(outside, { method, dispatcher }))).to.equal(SHUT);
    expect(await rootCode(fetch(outside, { method }))).to.equal(SHUT);
    await dispatcher.close();
  });

  it('stays shut while nock is on', async () => {
    nock.activate();
    try {
      expect(await rootCode(fetch(outside))).to.equal('ENETUNREACH');
    } finally {
      nock.restore();
    }
  });

  it('follows a name that the test itself points at loopback, and no other', async () => {
    const server = net.createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = (server.address() as net.AddressInfo).port;
    const to = (address: string) =>
      new Promise((resolve, reject) => {
        net
          .connect({
            host: 'web3.example',
            port,
            lookup: (_host, options, done) =>
              options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4),
          })
          .on('connect', resolve)
          .on('error', reject)
          .resume();
      });
    await to('127.0.0.1');
    expect(await rootCode(to('192.0.2.1'))).to.equal(SHUT);
    server.close();
  });
});
