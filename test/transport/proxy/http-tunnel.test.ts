import { expect } from 'chai';
import { Authenticator } from '../../../src/transport/auth/authenticator.js';
import type { ProxyOptions } from '../../../src/transport/proxy/proxy-server.js';
import type { Transport } from '../../../src/transport/transport.js';
import { createUndiciTransport } from '../../../src/transport/undici.js';
import { startHttpProxy } from '../../support/http-proxy.js';
import { answer, type RawServer } from '../../support/raw-server.js';
import { bitsError, closedAfterEach, LONG, ping } from '../support.js';

const TARGET = new URL('http://bits.example/vdir/file.bin');
const USER = { username: 'User', password: 'Password' };
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';
const CHALLENGE =
  'HTTP/1.1 407 X\r\nProxy-Authenticate: Digest realm="x", nonce="1", qop="auth"\r\n';

describe('a tunnel through an HTTP proxy', () => {
  const { keep, serve } = closedAfterEach();

  /** A proxy that answers each request, CONNECT and what follows, with the next bytes; then 200. */
  const scripted = async (...script: readonly string[]): Promise<RawServer> => {
    let count = 0;
    return serve({
      onRequest: ({ connection }) => {
        connection.socket.write(script[count++] ?? answer(), 'latin1');
      },
    });
  };

  /** A proxy that sends the beginning, and then the rest again and again. */
  const endless = async (beginning: string, rest: string): Promise<RawServer> =>
    serve({
      onRequest: ({ connection: { socket } }) => {
        const more = () => {
          while (socket.writable && socket.write(rest, 'latin1'));
        };
        socket.write(beginning, 'latin1');
        socket.on('drain', more);
        more();
      },
    });

  const through = ({ port }: RawServer, more: Partial<ProxyOptions> = {}): Transport =>
    keep(
      createUndiciTransport({
        proxy: { url: `http://127.0.0.1:${port}`, tunnel: true, ...more },
        noProxy: '',
        connectTimeoutMs: 10_000,
      }),
    );

  it('is made in spite of interim answers', async () => {
    const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n';
    const proxy = await scripted(interim + ESTABLISHED);
    expect((await through(proxy).send(ping(TARGET), LONG)).status).to.equal(200);
    expect(proxy.requests.map(({ method }) => method)).to.deep.equal(['CONNECT', 'BITS_POST']);
  });

  it('is made whatever framing the headers of the answer announce', async () => {
    const proxy = await scripted('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    expect((await through(proxy).send(ping(TARGET), LONG)).status).to.equal(200);
  });

  for (const [data, retryable, reason] of [
    ['SSH-2.0-x\r\n', false, 'which no later attempt changes'],
    ['HTTP/1.1 503 Busy\r\n\r\n', true, 'which may be a server that is busy'],
  ] as const) {
    it(`is refused when it begins with ${data.slice(0, 6)}, ${reason}`, async () => {
      const proxy = await scripted(ESTABLISHED + data);
      const error = await bitsError(through(proxy).send(ping(TARGET), LONG));
      expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable });
      expect(error.message).to.include('data of its own');
      expect(proxy.connections).to.have.length(1);
      await proxy.connections[0]?.closed;
    });
  }

  for (const [what, beginning, rest] of [
    ['interim answers', '', 'HTTP/1.1 103 X\r\n\r\n'],
    ['headers', 'HTTP/1.1 200 OK\r\n', 'X-Long: x\r\n'],
    ['a reason phrase', 'HTTP/1.1 200 ', 'x'],
    ['something else than HTTP', '', '220 mail.example ESMTP\r\n'],
  ] as const) {
    it(`fails without an endless wait when the proxy keeps sending ${what}`, async () => {
      const proxy = await endless(beginning, rest.repeat(100));
      const error = await bitsError(through(proxy).send(ping(TARGET), LONG));
      expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: false });
      expect(proxy.connections).to.have.length(1);
      await proxy.connections[0]?.closed;
    });
  }

  for (const [what, framing, rest] of [
    ['a length', 'Content-Length: 999999999\r\n\r\n', 'x'.repeat(1000)],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n', `3e8\r\n${'x'.repeat(1000)}\r\n`],
    ['neither', '\r\n', 'x'.repeat(1000)],
  ] as const) {
    it(`is given up when the page of a 407 does not end, with ${what}`, async () => {
      const proxy = await endless(CHALLENGE + framing, rest);
      const error = await bitsError(through(proxy, USER).send(ping(TARGET), LONG));
      expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
      // One for Basic, which is not offered, and one for Digest, which is refused.
      expect(proxy.connections).to.have.length(2);
      for (const { closed } of proxy.connections) await closed;
    });
  }

  it('is asked for again when the page of a 407 is cut', async () => {
    const proxy = await serve({
      onRequest: ({ connection: { socket }, index }) => {
        if (index === 0) socket.end(`${CHALLENGE}Content-Length: 100\r\n\r\nx`);
        else socket.write(index === 1 ? ESTABLISHED : answer());
      },
    });
    expect((await through(proxy, USER).send(ping(TARGET), LONG)).status).to.equal(200);
    expect(proxy.connections).to.have.length(2);
  });

  it('can be tried again later when the answer is cut', async () => {
    const proxy = await serve({
      onRequest: ({ connection: { socket } }) => void socket.end('HTTP/1.1 200 OK\r\nX-'),
    });
    const error = await bitsError(through(proxy).send(ping(TARGET), LONG));
    expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: true });
  });

  it('is not what a proxy makes that switches protocols', async () => {
    const proxy = await scripted('HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n');
    const error = await bitsError(through(proxy).send(ping(TARGET), LONG));
    expect(error).to.include({ code: 'BITS_ERR_PROXY', retryable: false });
    expect(error.message).to.include('101');
  });

  it('never carries the credentials for the server to a proxy that answers 401', async () => {
    const proxy = await scripted(answer(401, { 'WWW-Authenticate': 'Basic realm="x"' }));
    const transport = new Authenticator(through(proxy), {
      server: { credentials: USER },
      mayAuthenticate: () => true,
      allowInsecureAuth: true,
    });
    const error = await bitsError(transport.send(ping(TARGET), LONG));
    expect(error.code).to.equal('BITS_ERR_PROXY');
    expect(proxy.requests.map(({ method }) => method)).to.deep.equal(['CONNECT']);
  });

  it('never carries credentials to a server that answers 407', async () => {
    const server = await serve({
      onRequest: ({ connection: { socket } }) =>
        void socket.write(answer(407, { 'Proxy-Authenticate': 'Basic realm="x"' })),
    });
    const proxy = keep(await startHttpProxy());
    const transport = new Authenticator(through(proxy, USER), {
      server: { credentials: USER },
      mayAuthenticate: () => true,
    });
    expect((await transport.send(ping(server.url()), LONG)).status).to.equal(407);
    expect(server.requests).to.have.length(1);
    expect(server.requests[0]?.headers).not.to.have.any.keys(
      'authorization',
      'proxy-authorization',
    );
  });
});
