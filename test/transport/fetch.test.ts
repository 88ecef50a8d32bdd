import { expect } from 'chai';
import nock from 'nock';
import { createFetchTransport, type FetchFunction } from '../../src/transport/fetch.js';
import type { WireRequest } from '../../src/transport/transport.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { transportContract } from './contract.js';
import { bitsError, collect, fragment, LONG, pattern, ping } from './support.js';

transportContract('fetch', () => createFetchTransport(fetch));

describe('fetch transport', () => {
  const url = new URL('http://bits.example/vdir/file.bin');
  const codes = (given: FetchFunction) =>
    createFetchTransport(given).limitations.map(({ code }) => code);

  /** A fetch of the test's own, which records how it is called. */
  function fake(reply: (init: RequestInit) => Response | Promise<Response>) {
    const calls: { readonly url: string; readonly init: RequestInit }[] = [];
    const given: FetchFunction = async (target, init) => {
      calls.push({ url: target, init });
      return reply(init);
    };
    return { calls, transport: createFetchTransport(given) };
  }

  it("tells what Node's own fetch cannot do", () => {
    expect(codes(fetch)).to.deep.equal([
      'fragment-buffered',
      'progress-per-fragment',
      'headers-not-exact',
      'content-length-zero-not-guaranteed',
      'connection-per-request',
    ]);
  });

  it('tells what any other fetch may not do', () => {
    expect(codes(async () => new Response())).to.deep.equal([
      'fragment-buffered',
      'progress-per-fragment',
      'headers-not-exact',
      'content-length-zero-not-guaranteed',
      'redirect-target-hidden',
    ]);
  });

  it("tells the truth: Node's own does reconnect, and does leave Content-Length: 0 out", async () => {
    // When this fails, Node's fetch has learnt: the limitations may then go.
    const server = await startRawServer({
      onRequest: ({ connection }) => void connection.socket.write(answer()),
    });
    const transport = createFetchTransport(fetch);
    await transport.send(ping(server.url()), LONG);
    for (let i = 0; i < 3; i++) {
      await transport.send(fragment(server.url(), pattern(1000)), LONG);
      await server.requests.at(-1)?.connection.closed;
    }
    expect(server.requests[0]?.headers).not.to.have.property('content-length');
    expect(server.connections.length).to.be.at.least(3);
    await transport.close();
    await server.close();
  });

  it('asks for no cookies, no cache and no redirects, and gives the body as one', async () => {
    const { transport, calls } = fake(() => new Response(null, { status: 200 }));
    await transport.send(fragment(url, pattern(3), pattern(4)), LONG);
    const [call] = calls;
    expect(call?.url).to.equal(url.href);
    expect(call?.init).to.include({
      method: 'BITS_POST',
      redirect: 'manual',
      credentials: 'omit',
      cache: 'no-store',
    });
    expect(call?.init.body).to.deep.equal(new Uint8Array([...pattern(3), ...pattern(4)]));
    expect(Object.keys(call?.init.headers ?? {})).not.to.include('Content-Length');
  });

  it('gives an empty body where Content-Length: 0 belongs, and none with GET', async () => {
    const { transport, calls } = fake(() => new Response(null, { status: 200 }));
    await transport.send(ping(url), LONG);
    await transport.send({ method: 'GET', url, headers: {} }, LONG);
    expect(calls[0]?.init.body).to.be.instanceOf(Blob).and.to.have.property('size', 0);
    expect(calls[1]?.init).not.to.have.property('body');
  });

  describe('of Electron', () => {
    /** What Electron's net.fetch writes to its request, which has no length without any chunk. */
    async function written(request: WireRequest) {
      const chunks: number[] = [];
      const netFetch: FetchFunction = async (target, init) => {
        const { body } = new Request(target, init);
        for await (const chunk of body ?? []) chunks.push(chunk.byteLength);
        return new Response(null);
      };
      await createFetchTransport(netFetch).send(request, LONG);
      return chunks;
    }

    it('gets an empty body as one empty chunk, so that Content-Length: 0 is sent', async () => {
      expect(await written(ping(url))).to.deep.equal([0]);
      expect(await written({ method: 'GET', url, headers: {} })).to.deep.equal([]);
      expect(await written(fragment(url, pattern(5)))).to.deep.equal([5]);
    });

    it('has redirects that are final, and whose hidden target is told', async () => {
      const { transport } = fake(() => {
        throw new Error('Redirect was cancelled');
      });
      const error = await bitsError(transport.send(ping(url), LONG));
      expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
      expect(error.message).to.include('redirects');
    });
  });

  it('has credentials only when the caller asks for them, and tells so', async () => {
    const sent: unknown[] = [];
    const given: FetchFunction = async (_url, { credentials }) => {
      sent.push(credentials);
      return new Response(null);
    };
    for (const credentials of [undefined, 'omit', 'same-origin', 'include'] as const) {
      const transport = createFetchTransport(given, { credentials });
      await transport.send(ping(url), LONG);
      sent.push(transport.hasCredentials);
    }
    expect(sent).to.deep.equal([
      'omit',
      false,
      'omit',
      false,
      'same-origin',
      true,
      'include',
      true,
    ]);
  });

  it("tells that a request may be sent twice, unless it is Node's own or the caller knows better", () => {
    const other: FetchFunction = async () => new Response();
    expect(createFetchTransport(fetch).mayResend).to.equal(false);
    expect(createFetchTransport(other).mayResend).to.equal(true);
    expect(createFetchTransport(other, { mayResend: false }).mayResend).to.equal(false);
    expect(createFetchTransport(fetch, { mayResend: true }).mayResend).to.equal(true);
  });

  for (const [what, given] of [
    [
      'throws at once',
      () => {
        throw new TypeError('x');
      },
    ],
    [
      'throws something that is no error',
      async () => {
        throw 'x';
      },
    ],
    ['gives nothing', async () => undefined],
    ['gives something else', async () => ({ status: 200 })],
    [
      'gives a body that cannot be read',
      async () => ({ status: 200, headers: new Headers(), body: {} }),
    ],
  ] as const) {
    it(`rejects with an error of this package when the fetch ${what}`, async () => {
      const transport = createFetchTransport(given as unknown as FetchFunction);
      expect(await bitsError(transport.send(ping(url), LONG))).to.include({
        code: 'BITS_ERR_TRANSPORT',
      });
    });
  }

  it('refuses a body over its limit, which can be set', async () => {
    const { transport, calls } = fake(() => new Response(null));
    expect(transport.maxBodyBytes).to.equal(4 * 1024 * 1024);
    const error = await bitsError(transport.send(fragment(url, Buffer.alloc(4_194_305)), LONG));
    expect(error.code).to.equal('BITS_ERR_ARGUMENT');
    expect(calls).to.have.lengthOf(0);
    expect(createFetchTransport(fetch, { maxBodyBytes: 10 }).maxBodyBytes).to.equal(10);
  });

  it('tells that a redirect leads somewhere hidden', async () => {
    const hidden = Object.defineProperties(new Response(null), {
      status: { value: 0 },
      type: { value: 'opaqueredirect' },
    });
    const { transport } = fake(() => hidden);
    const error = await bitsError(transport.send(ping(url), LONG));
    expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: false });
    expect(error.message).to.include('redirects');
  });

  for (const [net, retryable, told] of [
    ['net::ERR_CONNECTION_REFUSED', true, 'refused'],
    ['net::ERR_NAME_NOT_RESOLVED', true, 'DNS'],
    ['net::ERR_CERT_AUTHORITY_INVALID', false, 'certificate'],
    ['net::ERR_INTERNET_DISCONNECTED', true, 'network'],
    ['net::ERR_SSL_PROTOCOL_ERROR', false, 'TLS'],
    ['net::ERR_INVALID_HTTP_RESPONSE', false, 'not HTTP/1.1'],
    ['net::ERR_UNSAFE_PORT', false, 'port'],
    ['net::ERR_BLOCKED_BY_CLIENT', false, 'blocked'],
    ['net::ERR_BLOCKED_BY_ADMINISTRATOR', false, 'administrator'],
    ['net::ERR_INVALID_ARGUMENT', false, 'did not accept'],
    ['net::ERR_TOO_MANY_REDIRECTS', false, 'redirects'],
    ['net::ERR_BAD_SSL_CLIENT_AUTH_CERT', false, 'client certificate'],
    ['net::ERR_NETWORK_IO_SUSPENDED', true, 'sleep'],
    ['net::ERR_PROXY_CONNECTION_FAILED', true, 'proxy'],
    ['net::ERR_TUNNEL_CONNECTION_FAILED', true, 'proxy'],
    ['net::ERR_PROXY_AUTH_REQUESTED', false, 'useSessionCredentials'],
    ['net::ERR_PROXY_OF_THE_FUTURE', true, 'proxy'],
    ['net::ERR_CERT_DATE_INVALID', false, 'clock'],
    ['net::ERR_CERT_OF_THE_FUTURE', false, 'certificate'],
    ['net::ERR_SSL_CLIENT_AUTH_CERT_NEEDED', false, 'client certificate'],
    ['net::ERR_RESPONSE_HEADERS_TOO_BIG', false, 'head'],
    ['net::ERR_HTTP2_PROTOCOL_ERROR', true, 'disable-http2'],
    ['net::ERR_ACCESS_DENIED', true, 'cause'],
  ] as const) {
    it(`knows Chromium's ${net}`, async () => {
      const { transport } = fake(() => {
        throw new Error(net);
      });
      const error = await bitsError(transport.send(ping(url), LONG));
      const ofProxy = /_PROXY_|_TUNNEL_/.test(net) ? 'BITS_ERR_PROXY' : 'BITS_ERR_TRANSPORT';
      const code = /_CERT_|_SSL_/.test(net) ? 'BITS_ERR_TLS' : ofProxy;
      expect(error).to.include({ code, retryable });
      expect(error.message).to.include(told);
    });
  }

  it('does not wait for a fetch that overlooks its signal', async () => {
    const { transport } = fake(() => new Promise<Response>(() => {}));
    const times = { stallTimeoutMs: 20, answerTimeoutMs: 30 };
    const late = await bitsError(transport.send(ping(url), { ...LONG, ...times }));
    expect(late.code).to.equal('BITS_ERR_TIMEOUT');
    expect(late.message).to.include('50 ms').and.to.include('bits.example');
    const controller = new AbortController();
    const sent = transport.send(ping(url), { ...LONG, signal: controller.signal });
    controller.abort();
    expect((await bitsError(sent)).code).to.equal('BITS_ERR_ABORTED');
  });

  it('refuses options that cannot work', () => {
    for (const attempt of [
      () => createFetchTransport(undefined as unknown as FetchFunction),
      () => createFetchTransport(fetch, null as never),
      () => createFetchTransport(fetch, { maxBodyBytes: 0 }),
      () => createFetchTransport(fetch, { userAgent: 'a\nb' }),
      () => createFetchTransport(fetch, { mayResend: 1 as never }),
      () => createFetchTransport(fetch, { credentials: 'some' as never }),
      () => createFetchTransport(fetch, { emptyBody: 'bytes' } as never),
    ]) {
      expect(attempt).to.throw().with.property('code', 'BITS_ERR_ARGUMENT');
    }
  });

  describe('with nock', () => {
    before(() => nock.activate());
    after(() => nock.restore());
    afterEach(() => nock.cleanAll());

    it('meets its interceptors, with the verb and the headers', async () => {
      const scope = nock(url.origin, { reqheaders: { 'bits-packet-type': 'Ping' } })
        .intercept(url.pathname, 'BITS_POST')
        .reply(200, 'hello', { 'BITS-Packet-Type': 'Ack' });
      const transport = createFetchTransport(fetch);
      const response = await transport.send(ping(url), { ...LONG, answerBody: 'stream' });
      expect(response.headers['bits-packet-type']).to.equal('Ack');
      expect((await collect(response.body)).toString()).to.equal('hello');
      scope.done();
    });

    it('cannot reach the network past it', async () => {
      const error = await bitsError(createFetchTransport(fetch).send(ping(url), LONG));
      expect(error.code).to.equal('BITS_ERR_TRANSPORT');
    });
  });
});
