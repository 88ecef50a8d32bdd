import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import net from 'node:net';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { BitsError } from '../../../src/errors.js';
import { type ProxyOption, proxyServer } from '../../../src/transport/proxy/proxy-server.js';
import { openSocksTunnel } from '../../../src/transport/proxy/socks-tunnel.js';
import type { Transport } from '../../../src/transport/transport.js';
import { createUndiciTransport } from '../../../src/transport/undici.js';
import { type HttpProxy, type HttpProxyOptions, startHttpProxy } from '../../support/http-proxy.js';
import { type RawServer, tlsCertificate } from '../../support/raw-server.js';
import {
  type SocksProxy,
  type SocksProxyOptions,
  startSocksProxy,
} from '../../support/socks-proxy.js';
import { basicGuard, digestGuard, ntlmGuard } from '../auth/auth-server.js';
import { bitsError, closedAfterEach, fragment, gate, LONG, OK, pattern, ping } from '../support.js';

const CREDENTIALS = { username: 'User', password: 'Password' };
const NTLM_CREDENTIALS = { username: 'Domain\\User', password: 'Password' };
const TLS = { ca: tlsCertificate() };

let passwords = 0;

/** Another one each time, because ports are used again and refusals are remembered. */
const wrongPassword = () => `hunter2-${++passwords}`;

describe('a proxy', () => {
  const { keep, serve: serveRaw } = closedAfterEach();
  const serve = (tls = false) => serveRaw({ ...OK, tls });
  const proxied = async (options?: HttpProxyOptions): Promise<HttpProxy> =>
    keep(await startHttpProxy(options));
  const socks = async (options?: SocksProxyOptions): Promise<SocksProxy> =>
    keep(await startSocksProxy(options));
  const make = (proxy: ProxyOption, noProxy?: string): Transport =>
    keep(createUndiciTransport({ proxy, noProxy, tls: TLS, connectTimeoutMs: 5_000 }));

  /** A small upload: what matters is on the wire. */
  async function upload(transport: Transport, url: URL): Promise<void> {
    await transport.send(ping(url), LONG);
    for (let i = 0; i < 5; i++) {
      await transport.send(fragment(url, pattern(300_000, i + 1)), LONG);
    }
    await transport.send(ping(url), LONG);
  }

  function expectUploaded(server: RawServer): void {
    expect(server.connections, 'connections').to.have.lengthOf(1);
    expect(server.requests).to.have.lengthOf(7);
    for (const [i, request] of server.requests.entries()) {
      const expected = i === 0 || i === 6 ? Buffer.alloc(0) : pattern(300_000, i);
      expect(request.body.equals(expected)).to.equal(true);
      expect(request.method).to.equal('BITS_POST');
      expect(request.target).to.equal('/vdir/file.bin');
      expect(request.headers['content-length']).to.equal(String(expected.length));
      expect(request.headers).not.to.have.any.keys('proxy-authorization', 'transfer-encoding');
    }
  }

  const kinds: readonly [string, boolean, (proxy: HttpProxy) => ProxyOption, HttpProxyOptions][] = [
    ['a tunnel for https', true, ({ proxyUrl }) => proxyUrl, {}],
    ['a tunnel for http', false, ({ proxyUrl }) => ({ url: proxyUrl, tunnel: true }), {}],
    ['absolute form for http', false, ({ proxyUrl }) => proxyUrl, {}],
    [
      'a tunnel for https, over TLS to the proxy',
      true,
      ({ proxyUrl }) => ({ url: proxyUrl, tls: TLS }),
      { tls: true },
    ],
    [
      'absolute form for http, over TLS to the proxy',
      false,
      ({ proxyUrl }) => ({ url: proxyUrl, tls: TLS }),
      { tls: true },
    ],
  ];

  for (const [name, tls, option, proxyOptions] of kinds) {
    it(`carries all packets, with Content-Length: 0 where needed, over one connection: ${name}`, async () => {
      const server = await serve(tls);
      const proxy = await proxied(proxyOptions);
      await upload(make(option(proxy)), server.url());
      expectUploaded(server);
      expect(proxy.connections).to.have.lengthOf(1);
    });
  }

  it('receives the host, the port and the user agent with CONNECT', async () => {
    const server = await serve(true);
    const proxy = await proxied();
    await make(proxy.proxyUrl).send(ping(server.url()), LONG);
    const target = `127.0.0.1:${server.port}`;
    const [head = ''] = proxy.requests.map((request) => request.head);
    expect(head.split('\r\n')).to.include.members([
      `CONNECT ${target} HTTP/1.1`,
      `Host: ${target}`,
    ]);
    expect(head).to.match(/user-agent: bits-upload/i);
  });

  it('receives the URL in absolute form, and the server as Host', async () => {
    const server = await serve();
    const proxy = await proxied();
    const url = server.url('/a%20b?x=1');
    await make(proxy.proxyUrl).send(ping(url), LONG);
    const [request] = proxy.requests;
    expect(request?.head.split('\r\n')[0]).to.equal(`BITS_POST ${url.href} HTTP/1.1`);
    expect(request?.headers.host).to.equal(url.host);
    expect(request?.headers['content-length']).to.equal('0');
  });

  it('is not used for the hosts in noProxy', async () => {
    const [through, past] = [await serve(), await serve()];
    const proxy = await proxied();
    const transport = make(proxy.proxyUrl, `127.0.0.1:${past.port}`);
    await transport.send(ping(through.url()), LONG);
    await transport.send(ping(past.url()), LONG);
    expect(proxy.log).to.have.lengthOf(1);
    expect(past.requests).to.have.lengthOf(1);
  });

  describe('that requires authentication', () => {
    for (const [name, tls] of [
      ['for a tunnel', true],
      ['in absolute form', false],
    ] as const) {
      const rounds = (proxy: HttpProxy) => proxy.log.filter((line) => line.endsWith('407')).length;

      it(`receives the password at once with Basic, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: basicGuard() });
        await upload(make({ url: proxy.proxyUrl, ...CREDENTIALS }), server.url());
        expectUploaded(server);
        expect(rounds(proxy)).to.equal(0);
      });

      it(`receives the user of the URL, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: basicGuard('pass:w@rd') });
        const url = proxy.proxyUrl.replace('//', '//User:pass%3Aw%40rd@');
        await upload(make(url), server.url());
        expectUploaded(server);
      });

      it(`receives Digest when it does not offer Basic, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: digestGuard() });
        await upload(make({ url: proxy.proxyUrl, ...CREDENTIALS }), server.url());
        expectUploaded(server);
        expect(rounds(proxy)).to.equal(1);
        expect(proxy.connections).to.have.lengthOf(1);
      });

      it(`receives nothing before its challenge with the option auth, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: digestGuard() });
        const auth = { credentials: CREDENTIALS };
        await upload(make({ url: proxy.proxyUrl, auth }), server.url());
        expectUploaded(server);
        expect(proxy.requests[0]?.headers).not.to.have.property('proxy-authorization');
        expect(rounds(proxy)).to.equal(1);
      });

      it(`receives the NTLM proof on the same connection, ${name}`, async () => {
        const server = await serve(tls);
        const guard = ntlmGuard();
        const proxy = await proxied({ guard });
        const auth = { credentials: NTLM_CREDENTIALS };
        await upload(make({ url: proxy.proxyUrl, auth }), server.url());
        expectUploaded(server);
        expect(proxy.connections).to.have.lengthOf(1);
        expect(guard.answers()).to.equal(1);
      });

      it(`is asked again on a new connection when it closes the old one, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: digestGuard(), closesAfter407: true });
        await upload(make({ url: proxy.proxyUrl, ...CREDENTIALS }), server.url());
        expectUploaded(server);
        expect(proxy.connections).to.have.lengthOf(2);
      });

      it(`may send the page of a 407 in chunks, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: digestGuard(), chunkedPages: true });
        await upload(make({ url: proxy.proxyUrl, ...CREDENTIALS }), server.url());
        expectUploaded(server);
        expect(proxy.connections).to.have.lengthOf(1);
      });

      for (const [scheme, guard] of [
        ['Basic', () => basicGuard()],
        ['Digest', () => digestGuard()],
      ] as const) {
        it(`receives a wrong password only once: ${scheme}, ${name}`, async () => {
          const server = await serve(tls);
          const proxy = await proxied({ guard: guard() });
          const own = { username: 'User', password: wrongPassword() };
          const transport = make({ url: proxy.proxyUrl, auth: undefined, ...own });
          const error = await bitsError(transport.send(ping(server.url()), LONG));
          expect(error).to.include({ code: 'BITS_ERR_AUTH', status: 407, retryable: false });
          expect(error.message).to.include(`proxy 127.0.0.1:${proxy.port}`);
          expectNoSecret(error, own.password);
          const asked = proxy.log.length;
          const other = make({ url: proxy.proxyUrl, auth: { credentials: own } });
          for (const next of [transport, other]) {
            const again = await bitsError(next.send(ping(server.url()), LONG));
            expect(again.code).to.equal('BITS_ERR_AUTH');
            expect(again.message).to.match(/^The proxy .*before.*not sent again/);
          }
          expect(proxy.log).to.have.lengthOf(asked);
          expect(server.requests).to.have.lengthOf(0);
        });
      }

      for (const [scheme, guard] of [
        ['Basic', basicGuard],
        ['Digest', digestGuard],
        ['NTLM', ntlmGuard],
      ] as const) {
        it(`receives a wrong password once for twelve transports: ${scheme}, ${name}`, async () => {
          const server = await serve(tls);
          const proxy = await proxied({ guard: guard() });
          const own = { username: 'User', password: wrongPassword() };
          const errors = await Promise.all(
            Array.from({ length: 12 }, () =>
              bitsError(make({ url: proxy.proxyUrl, ...own }).send(ping(server.url()), LONG)),
            ),
          );
          expect(new Set(errors.map(({ code }) => code))).to.deep.equal(new Set(['BITS_ERR_AUTH']));
          const values = proxy.requests.map(({ headers }) => headers['proxy-authorization'] ?? '');
          const proofs = values.filter(
            (value) =>
              value.startsWith(`${scheme} `) &&
              (scheme !== 'NTLM' || value.includes('TlRMTVNTUAAD')),
          );
          expect(proofs).to.have.lengthOf(1);
        });
      }

      it(`does not delay an abort with a function that does not answer, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: basicGuard() });
        const [asked, answered] = [gate(), gate()];
        const credentials = async () => {
          asked.open();
          await answered.promise;
          return CREDENTIALS;
        };
        const transport = make({ url: proxy.proxyUrl, auth: { credentials } });
        const aborting = new AbortController();
        const { signal } = aborting;
        const failed = bitsError(transport.send(ping(server.url()), { ...LONG, signal }));
        await asked.promise;
        aborting.abort();
        expect((await failed).code).to.equal('BITS_ERR_ABORTED');
        answered.open();
        expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
      });

      it(`leads to an error that says where to give credentials, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ guard: basicGuard() });
        const error = await bitsError(make(proxy.proxyUrl).send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_AUTH', status: 407, retryable: false });
        expect(error.message).to.match(/proxy 127.*407, basic.*username/);
      });
    }

    it('receives a Ping and not a fragment for the NTLM handshake', async () => {
      const server = await serve();
      const proxy = await proxied({ guard: ntlmGuard() });
      const auth = { credentials: NTLM_CREDENTIALS };
      const url = server.url();
      await make({ url: proxy.proxyUrl, auth }).send(fragment(url, pattern(400_000)), LONG);
      const lengths = proxy.requests.map(({ headers }) => headers['content-length']);
      expect(lengths).to.deep.equal(['400000', '0', '0', '400000']);
    });
  });

  describe('that fails', () => {
    for (const [status, retryable, told] of [
      [403, false, /rules/],
      [405, false, /CONNECT/],
      [502, true, /could not reach the server/],
      [504, true, /could not reach the server/],
      [500, true, /log/],
      [302, false, /check the proxy/],
    ] as const) {
      it(`leads to an error that explains the status ${status}`, async () => {
        const server = await serve(true);
        const proxy = await proxied({ refuse: () => status });
        const error = await bitsError(make(proxy.proxyUrl).send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable });
        expect(error.message).to.match(told).and.to.include(`proxy 127.0.0.1:${proxy.port}`);
        expect(error.message).to.include(`127.0.0.1:${server.port}`).and.to.include(String(status));
      });
    }

    for (const [name, tls] of [
      ['for a tunnel', true],
      ['in absolute form', false],
    ] as const) {
      it(`is named in the error when it cannot be reached, ${name}`, async () => {
        const server = await serve(tls);
        const closed = await startHttpProxy();
        await closed.close();
        const url = `http://User:hunter2@127.0.0.1:${closed.port}`;
        const error = await bitsError(make(url).send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: true });
        expect(error.message).to.match(/^The proxy 127\.0\.0\.1:\d+ refused the connection/);
        expectNoSecret(error, 'hunter2');
      });

      it(`is not trusted without its authority, ${name}`, async () => {
        const server = await serve(tls);
        const proxy = await proxied({ tls: true });
        const error = await bitsError(make(proxy.proxyUrl).send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: false });
        expect(error.message).to.match(/^The proxy .* proxy\.tls\.ca/);
      });
    }

    it('is distinguished from other servers', async () => {
      const server = await serve(true);
      const smtp = await serveRaw({
        onConnection: ({ socket }) => void socket.write('220 mail.example ESMTP\r\n'),
      });
      const url = `http://127.0.0.1:${smtp.port}`;
      const error = await bitsError(make(url).send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: false });
      expect(error.message).to.include('HTTP proxy');
    });

    it('does not hide a server certificate for another name', async () => {
      const server = await serve(true);
      const proxy = await proxied();
      const transport = keep(createUndiciTransport({ proxy: proxy.proxyUrl }));
      const error = await bitsError(transport.send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
      expect(error.message).to.match(new RegExp(`^127\\.0\\.0\\.1:${server.port}`));
    });

    for (const speaks of ['http', 'socks5h'] as const) {
      it(`does not exceed the time limit when it does not answer: ${speaks}`, async () => {
        const silent = net.createServer((socket) => void socket.resume().on('error', () => {}));
        silent.listen(0, '127.0.0.1');
        await once(silent, 'listening');
        const { port } = silent.address() as net.AddressInfo;
        const transport = keep(
          createUndiciTransport({ proxy: `${speaks}://127.0.0.1:${port}`, connectTimeoutMs: 200 }),
        );
        const gone = once(silent, 'connection').then(([socket]) =>
          once(socket as net.Socket, 'close'),
        );
        const error = await bitsError(transport.send(ping(new URL('https://bits.example/')), LONG));
        expect(error.message).to.match(
          new RegExp(
            `^The proxy 127\\.0\\.0\\.1:${port} made no connection to bits\\.example within 200 ms`,
          ),
        );
        expect(error.message).to.include(`127.0.0.1:${port}`);
        await gone;
        silent.close();
      });
    }

    it('loses its connection at once when the request is aborted', async () => {
      const silent = await serveRaw({});
      const transport = make(`http://127.0.0.1:${silent.port}`);
      const aborting = new AbortController();
      const sent = transport.send(ping(new URL('https://bits.example/')), {
        ...LONG,
        signal: aborting.signal,
      });
      const failed = bitsError(sent);
      while (silent.requests.length === 0) await new Promise((go) => setImmediate(go));
      aborting.abort();
      expect((await failed).code).to.equal('BITS_ERR_ABORTED');
      await silent.connections[0]?.closed;
    });
  });

  describe('for SOCKS5', () => {
    for (const tls of [true, false]) {
      it(`carries all packets over one connection, ${tls ? 'https' : 'http'}`, async () => {
        const server = await serve(tls);
        const proxy = await socks();
        await upload(make(`socks5h://127.0.0.1:${proxy.port}`), server.url());
        expectUploaded(server);
        expect(proxy.connections()).to.equal(1);
        expect(proxy.targets).to.deep.equal([`127.0.0.1:${server.port}`]);
      });
    }

    it('receives a user name and password', async () => {
      const server = await serve(true);
      const proxy = await socks({ credentials: CREDENTIALS });
      await upload(make(`socks5h://User:Password@127.0.0.1:${proxy.port}`), server.url());
      expectUploaded(server);
    });

    it('receives host names with socks5h, and addresses with socks5', async () => {
      const server = await serve();
      const proxy = await socks({ lookup: () => '127.0.0.1' });
      const url = server.url();
      url.hostname = 'localhost';
      await make(`socks5h://127.0.0.1:${proxy.port}`).send(ping(url), LONG);
      await make(`socks5://127.0.0.1:${proxy.port}`).send(ping(url), LONG);
      expect(proxy.targets[0]).to.equal(`localhost:${server.port}`);
      expect(proxy.targets[1]).not.to.include('localhost');
    });

    for (const [name, options, code, retryable, told] of [
      ['a wrong password', { credentials: CREDENTIALS }, 'BITS_ERR_AUTH', false, /password/],
      ['a rule', { reply: 2 }, 'BITS_ERR_PROXY', false, /rules/],
      ['a server that cannot be reached', { reply: 5 }, 'BITS_ERR_PROXY', true, /could not reach/],
    ] as const) {
      it(`leads to an error about ${name}`, async () => {
        const server = await serve();
        const proxy = await socks(options);
        const user = 'credentials' in options ? `User:${wrongPassword()}@` : '';
        const url = `socks5h://${user}127.0.0.1:${proxy.port}`;
        const error = await bitsError(make(url).send(ping(server.url()), LONG));
        expect(error).to.include({ code, retryable });
        expect(error.message).to.match(told).and.to.include(`proxy 127.0.0.1:${proxy.port}`);
        expectNoSecret(error, 'hunter2');
      });
    }

    it('receives a wrong password once for twelve transports', async () => {
      const server = await serve();
      const proxy = await socks({ credentials: CREDENTIALS });
      const url = `socks5h://User:${wrongPassword()}@127.0.0.1:${proxy.port}`;
      const errors = await Promise.all(
        Array.from({ length: 12 }, () => bitsError(make(url).send(ping(server.url()), LONG))),
      );
      expect(new Set(errors.map(({ code }) => code))).to.deep.equal(new Set(['BITS_ERR_AUTH']));
      expect(proxy.attempts()).to.equal(1);
    });

    it('lets many transports in at the same time with the right password', async () => {
      const server = await serve();
      const proxy = await socks({ credentials: CREDENTIALS });
      const url = `socks5h://User:Password@127.0.0.1:${proxy.port}`;
      const answers = await Promise.all(
        Array.from({ length: 12 }, () => make(url).send(ping(server.url()), LONG)),
      );
      expect(answers.map(({ status }) => status)).to.deep.equal(Array(12).fill(200));
    });

    for (const [banner, retryable] of [
      ['SSH-2.0-x\r\n', false],
      ['HTTP/1.1 503 Busy\r\n\r\n', true],
    ] as const) {
      it(`fails when it sends ${banner.slice(0, 6)} behind its reply`, async () => {
        const server = await serve();
        const proxy = await socks({ banner });
        const url = `socks5h://127.0.0.1:${proxy.port}`;
        const error = await bitsError(make(url).send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable });
        expect(proxy.connections()).to.equal(1);
      });
    }

    it('leads to an error that requests a user name and password when none was given', async () => {
      const server = await serve();
      const proxy = await socks({ credentials: CREDENTIALS });
      const url = `socks5h://127.0.0.1:${proxy.port}`;
      const error = await bitsError(make(url).send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
      expect(error.message).to.include('user name and password');
    });

    it('keeps no connection in memory that has ended, once its time limit is over', async () => {
      const server = await serve();
      const proxy = await socks();
      const url = `socks5h://127.0.0.1:${proxy.port}`;
      const sockets: WeakRef<net.Socket>[] = [];
      const note = (message: unknown) =>
        sockets.push(new WeakRef((message as { socket: net.Socket }).socket));
      subscribe('net.client.socket', note);
      const transport = createUndiciTransport({ proxy: url, connectTimeoutMs: 100 });
      await transport.send(ping(server.url()), LONG);
      await transport.close();
      unsubscribe('net.client.socket', note);
      setFlagsFromString('--expose-gc');
      const collectGarbage = runInNewContext('gc') as () => void;
      const isHeld = () => sockets.some((socket) => socket.deref() !== undefined);
      for (const startedMs = performance.now(); isHeld(); collectGarbage()) {
        if (performance.now() - startedMs > 5_000) expect.fail('it is held');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(sockets).not.to.be.empty;
    });

    it('leads to a time-out that may pass when its handshake takes too long', async () => {
      const silent = await serveRaw({});
      const socket = net.connect(silent.port, '127.0.0.1');
      const proxy = proxyServer(`socks5h://127.0.0.1:${silent.port}`);
      const { signal } = new AbortController();
      const target = { hostname: 'bits.example', port: 80 };
      const error = await bitsError(openSocksTunnel(socket, target, proxy, signal, 20));
      expect(error).to.include({ code: 'BITS_ERR_TIMEOUT', retryable: true });
    });

    it('is distinguished from other servers', async () => {
      const server = await serve();
      const http = await serve();
      const url = `socks5h://127.0.0.1:${http.port}`;
      const transport = keep(createUndiciTransport({ proxy: url, connectTimeoutMs: 300 }));
      const error = await bitsError(transport.send(ping(server.url()), LONG));
      expect(['BITS_ERR_PROXY', 'BITS_ERR_TIMEOUT']).to.include(error.code);
      expect(error.message).to.include(`127.0.0.1:${http.port}`);
    });
  });
});

function expectNoSecret(error: BitsError, secret: string): void {
  const shown = inspect(error, { depth: 10, showHidden: true });
  expect(shown).not.to.include(secret);
  expect(shown).not.to.include(Buffer.from(`User:${secret}`).toString('base64'));
}
