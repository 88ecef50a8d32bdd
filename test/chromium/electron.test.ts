import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { createElectronTransport, type ElectronTransportOptions } from '../../src/electron.js';
import { createFetchTransport, type Transport, UploadJob } from '../../src/index.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { closingAfterEach } from '../support/closing.js';
import { standInNet } from '../support/electron/net.js';
import { standInFetch } from '../support/electron/net-fetch.js';
import { startHttpProxy } from '../support/http-proxy.js';
import {
  answer,
  type RawServer,
  type RawServerOptions,
  startRawServer,
} from '../support/raw-server.js';
import { transportContract } from '../transport/contract.js';
import { bitsError, fragment, LONG, pattern, ping } from '../transport/support.js';
import { ChromiumNetwork, launchChromium, needsChromium } from './chromium.js';

describe("On Chromium's network stack", () => {
  let browser: Browser;
  let network: ChromiumNetwork;
  const keep = closingAfterEach();
  const serve = async (options: BitsServerOptions = {}): Promise<BitsServer> =>
    keep(await createBitsServer(options));
  const serveRaw = async (options: RawServerOptions): Promise<RawServer> =>
    keep(await startRawServer(options));
  const netOf = (one: () => ChromiumNetwork) =>
    standInNet((request, loader) => one().start(request, loader));
  const net = netOf(() => network);
  const transportOver = (options: Partial<ElectronTransportOptions> = {}): Transport =>
    keep(createElectronTransport({ net, ...options }));

  before(async function () {
    needsChromium(this);
    browser = await launchChromium();
    network = await ChromiumNetwork.open(browser);
  });

  after(() => browser?.close());

  transportContract('electron', () => createElectronTransport({ net }));

  transportContract("Electron's net.fetch", () => createFetchTransport(standInFetch(net)), {
    hidesRedirects: true,
  });

  describe('an upload over the electron transport', () => {
    const BYTES = pattern(50_000);

    const jobTo = (server: BitsServer, transport = transportOver()) =>
      new UploadJob({
        url: `${server.url}a.bin`,
        source: BYTES,
        fragmentBytes: 20_000,
        retry: { minDelayMs: 1 },
        transport,
      });

    const expectArrived = async (server: BitsServer) => {
      const arrived = await readFile(join(server.root, 'a.bin'));
      expect(arrived.equals(BYTES)).to.equal(true);
      server.assertFaultsConsumed();
    };

    const packets = (server: BitsServer) => server.log.map(({ packet }) => packet);

    it('sends each packet with a Content-Length, over one connection', async () => {
      const server = await serve();
      await jobTo(server).start();
      server.assertNoViolations();
      const sent = server.log.map(({ packet, rawHeaders, connection, httpVersion }) => {
        const framing = rawHeaders.flatMap((name, i) =>
          /^(content-length|transfer-encoding)$/i.test(name) && i % 2 === 0
            ? [`${name}: ${rawHeaders[i + 1]}`]
            : [],
        );
        return [packet, ...framing, connection, httpVersion];
      });
      expect(sent).to.deep.equal([
        ['create-session', 'Content-Length: 0', 1, '1.1'],
        ['fragment', 'Content-Length: 20000', 1, '1.1'],
        ['fragment', 'Content-Length: 20000', 1, '1.1'],
        ['fragment', 'Content-Length: 10000', 1, '1.1'],
        ['close-session', 'Content-Length: 0', 1, '1.1'],
      ]);
      await expectArrived(server);
    });

    for (const on of ['create-session', 'fragment', 'close-session'] as const) {
      for (const fault of ['reset-before', 'reset-mid', 'reset-after-commit'] as const) {
        it(`survives ${fault} on a ${on}`, async () => {
          const server = await serve();
          server.addFault({ on, nth: on === 'fragment' ? 2 : 1, do: fault });
          await jobTo(server).start();
          await expectArrived(server);
        });
      }
    }

    it('completes though Chromium sent its Close-Session twice, and the first one counted', async () => {
      const server = await serve();
      server.addFault({ on: 'close-session', do: 'reset-after-commit' });
      const { closed } = await jobTo(server).start();
      expect(packets(server).filter((packet) => packet === 'close-session')).to.have.lengthOf(2);
      expect(closed).to.equal('presumed');
      await expectArrived(server);
    });

    it('continues where the server stands though Chromium sent a fragment twice', async () => {
      const server = await serve();
      server.addFault({ on: 'fragment', nth: 2, do: 'reset-after-commit' });
      await jobTo(server).start();
      const ranges = server.log.flatMap(({ range }) => (range ? [range.start] : []));
      expect(ranges.slice(0, 3)).to.deep.equal([0, 20_000, 20_000]);
      await expectArrived(server);
    });

    it('follows a redirect of its first packet', async () => {
      const server = await serve();
      server.addFault({ on: 'create-session', do: { redirect: `${server.url}a.bin` } });
      await jobTo(server).start();
      expect(packets(server).slice(0, 3)).to.deep.equal([
        'create-session',
        'create-session',
        'fragment',
      ]);
      await expectArrived(server);
    });

    it('gets a reply', async () => {
      const reply = pattern(300_000, 7);
      const server = await serve({ reply: () => reply });
      const job = new UploadJob({
        url: `${server.url}a.bin`,
        source: BYTES,
        reply: true,
        transport: transportOver(),
      });
      const { reply: stored } = await job.start();
      expect(Buffer.from(stored?.data ?? []).equals(reply)).to.equal(true);
      server.assertNoViolations();
    });

    it('can be suspended in a fragment, and resumed', async () => {
      const server = await serve();
      server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
      const job = jobTo(server);
      const result = job.start();
      await server.waitForRequest('fragment', 2);
      await job.suspend();
      expect(job.state).to.equal('suspended');
      job.resume();
      await result;
      await expectArrived(server);
    });
  });

  describe('a request of the electron transport', () => {
    it('reports its bytes while they are sent', async () => {
      const server = await serveRaw({ paused: true });
      let sent = 0;
      const controller = new AbortController();
      const sending = transportOver({ maxBodyBytes: 2 ** 24 }).send(
        fragment(server.url(), Buffer.alloc(8 * 2 ** 20)),
        {
          ...LONG,
          signal: controller.signal,
          onBytesSent: (bytes) => {
            sent += bytes;
            controller.abort();
          },
        },
      );
      expect((await bitsError(sending)).code).to.equal('BITS_ERR_ABORTED');
      expect(sent).to.be.within(1, 8 * 2 ** 20 - 1);
    });

    for (const [what, url, code, retryable] of [
      ['a port that is not safe', 'http://127.0.0.1:6667/x', 'BITS_ERR_TRANSPORT', false],
      ['a host without an address', 'http://nowhere.invalid/x', 'BITS_ERR_TRANSPORT', true],
    ] as const) {
      it(`tells of ${what}`, async () => {
        const error = await bitsError(transportOver().send(ping(new URL(url)), LONG));
        expect(error).to.include({ code, retryable });
      });
    }

    it('tells of a certificate that is not trusted', async () => {
      const server = await serveRaw({ tls: true });
      const error = await bitsError(transportOver().send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
      expect(error.message).to.include('net::ERR_CERT_AUTHORITY_INVALID');
    });

    it('tells of a proxy that does not answer', async () => {
      const proxy = { server: 'http://127.0.0.1:9', bypass: '<-loopback>' };
      const other = keep(await ChromiumNetwork.open(browser, { proxy }));
      const transport = transportOver({ net: netOf(() => other) });
      const error = await bitsError(transport.send(ping(new URL('http://127.0.0.1:8/x')), LONG));
      expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: true });
    });

    describe('with credentials', () => {
      const BASIC = `Basic ${Buffer.from('user:secret').toString('base64')}`;
      const login = () => ({ username: 'user', password: 'secret' });
      let asked: ChromiumNetwork;

      /** Its page is open, for Chromium asks no user for the sake of another origin. */
      async function guarded() {
        const server = await serveRaw({
          onRequest: ({ connection: { socket }, headers, method }) => {
            const isOpen = method === 'GET' || headers.authorization === BASIC;
            socket.write(
              isOpen ? answer() : answer(401, { 'WWW-Authenticate': 'Basic realm="r"' }),
            );
          },
        });
        await asked.page.goto(server.url().href);
        return server;
      }

      beforeEach(async () => {
        asked = keep(await ChromiumNetwork.open(browser));
        await asked.askForPasswords();
      });

      it('authenticates to a server that asks', async () => {
        const server = await guarded();
        const transport = transportOver({ net: netOf(() => asked), login });
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
        expect((await transport.send(fragment(server.url(), pattern(9)), LONG)).status).to.equal(
          200,
        );
      });

      it('hands over the refusal of a server when there is no password for it', async () => {
        const server = await guarded();
        for (const options of [{ login: () => undefined }, { useSessionCredentials: true }, {}]) {
          const transport = transportOver({ net: netOf(() => asked), ...options });
          expect((await transport.send(ping(server.url()), LONG)).status).to.equal(401);
        }
      });

      it('gives a wrong password once', async () => {
        const server = await guarded();
        const wrong = () => ({ username: 'user', password: 'wrong' });
        const transport = transportOver({ net: netOf(() => asked), login: wrong });
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(401);
        const proofs = server.requests.filter(({ headers }) => headers.authorization);
        expect(proofs).to.have.lengthOf(1);
      });

      it('authenticates to a proxy that asks', async () => {
        const server = await serve();
        const proxy = keep(
          await startHttpProxy({
            guard: ({ headers }) =>
              headers.authorization === BASIC ? undefined : ['Basic realm="p"'],
          }),
        );
        const behind = keep(
          await ChromiumNetwork.open(browser, {
            proxy: { server: `http://127.0.0.1:${proxy.port}`, bypass: '<-loopback>' },
          }),
        );
        await behind.askForPasswords();
        const told: boolean[] = [];
        const transport = transportOver({
          net: netOf(() => behind),
          login: ({ isProxy }) => {
            told.push(isProxy);
            return login();
          },
        });
        await new UploadJob({ url: `${server.url}a.bin`, source: pattern(9), transport }).start();
        expect(told).to.deep.equal([true]);
        server.assertNoViolations();
      });
    });
  });

  describe('HTTP/2', () => {
    const tls = { ALPNProtocols: ['h2', 'http/1.1'] };

    async function protocolWith(switches: readonly string[]): Promise<unknown> {
      const server = await serveRaw({ tls, onConnection: ({ socket }) => void socket.end() });
      const other = await launchChromium(['--ignore-certificate-errors', ...switches]);
      try {
        const { start } = await ChromiumNetwork.open(other);
        await bitsError(transportOver({ net: standInNet(start) }).send(ping(server.url()), LONG));
        return server.connections[0]?.alpn;
      } finally {
        await other.close();
      }
    }

    it('is taken where a server offers it, as the limitation http2-possible says', async () => {
      expect(await protocolWith([])).to.equal('h2');
    });

    it('is not taken with the switch that the limitation names', async () => {
      expect(await protocolWith(['--disable-http2'])).to.equal('http/1.1');
    });
  });

  // When one of these fails, Chromium has learnt: what is done for its sake may then go.
  describe('it is still true of Chromium that', () => {
    it('without a body it sends no Content-Length, and with an empty one it does', async () => {
      const server = await serveRaw({
        onRequest: ({ connection }) => void connection.socket.write(answer()),
      });
      const { href } = server.url();
      await network.page.evaluate(async (url) => {
        for (const body of [undefined, null, '', new Uint8Array(0), new Blob([])]) {
          await fetch(url, { method: 'BITS_POST', ...(body !== undefined && { body }) });
        }
      }, href);
      const lengths = server.requests.map(({ headers }) => headers['content-length']);
      expect(lengths).to.deep.equal([undefined, undefined, '0', '0', '0']);
    });

    it('it sends a request again when a connection that was used before is reset', async () => {
      const server = await serveRaw({
        onRequest: ({ connection, index }) => {
          if (index === 1) connection.socket.resetAndDestroy();
          else connection.socket.write(answer());
        },
      });
      const transport = transportOver();
      await transport.send(ping(server.url()), LONG);
      const body = pattern(1000);
      expect((await transport.send(fragment(server.url(), body), LONG)).status).to.equal(200);
      const bodies = server.requests.map((request) => request.body.byteLength);
      expect(bodies).to.deep.equal([0, 1000, 1000]);
    });
  });
});
