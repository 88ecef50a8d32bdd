import { expect } from 'chai';
import { createElectronTransport, type ElectronTransportOptions } from '../../src/electron.js';
import { UploadJob } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { type Loader, type LoaderRequest, standInNet } from '../support/electron/net.js';
import { startNodeLoader } from '../support/electron/node-loader.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { transportContract } from './contract.js';
import { bitsError, collect, fragment, gate, get, LONG, pattern, ping } from './support.js';

const nodeNet = standInNet(startNodeLoader);

transportContract('electron', () => createElectronTransport({ net: nodeNet }));

describe('electron transport', () => {
  const url = new URL('http://bits.example/vdir/file.bin');

  /** A transport over a network stack that does what a test says, and what it was asked for. */
  function scripted(
    script: (loader: Loader, request: LoaderRequest) => void,
    options: Omit<ElectronTransportOptions, 'net'> = {},
  ) {
    const calls: { readonly request: LoaderRequest; readonly loader: Loader }[] = [];
    let cancelled = 0;
    const net = standInNet((request, loader) => {
      calls.push({ request, loader });
      loader.cancel = () => {
        cancelled++;
      };
      script(loader, request);
    });
    const transport = createElectronTransport({ net, ...options });
    return { transport, calls, cancelled: () => cancelled };
  }

  const ok = (loader: Loader) => {
    loader.emit('response', 200, []);
    loader.emit('complete');
  };

  it('sends Content-Length: 0 with a packet that has no body', async () => {
    const server = await startRawServer({
      onRequest: ({ connection }) => void connection.socket.write(answer()),
    });
    const transport = createElectronTransport({ net: nodeNet });
    await transport.send(ping(server.url()), LONG);
    expect(server.requests[0]?.head.toLowerCase()).to.match(/\r\ncontent-length: 0(\r\n|$)/);
    await transport.close();
    await server.close();
  });

  it('hands over an empty chunk where Content-Length: 0 belongs, and no header of that name', async () => {
    const { transport, calls } = scripted(ok);
    await transport.send(ping(url), LONG);
    await transport.send(get(url), LONG);
    expect(calls.map(({ request }) => request.body)).to.deep.equal([Buffer.alloc(0), undefined]);
    const names = calls.flatMap(({ request }) => Object.keys(request.headers));
    expect(names.map((name) => name.toLowerCase())).not.to.include('content-length');
  });

  it('uses nothing of the session but its network, unless asked to', async () => {
    const session = {};
    const login = () => undefined;
    const given: unknown[] = [];
    for (const options of [{}, { session }, { useSessionCredentials: true }, { login }]) {
      const { transport, calls } = scripted(ok, options);
      await transport.send(ping(url), LONG);
      const request = calls[0]?.request;
      given.push([request?.credentials, request?.session, transport.hasCredentials]);
    }
    expect(given).to.deep.equal([
      ['omit', undefined, false],
      ['omit', session, false],
      ['include', undefined, true],
      ['include', undefined, true],
    ]);
  });

  it('tells what it cannot do, and that a request may be sent twice', () => {
    const { transport } = scripted(ok);
    expect(transport.limitations.map(({ code }) => code)).to.deep.equal([
      'fragment-buffered',
      'headers-not-exact',
      'http2-possible',
    ]);
    expect(transport.mayResend).to.equal(true);
    expect(transport.maxBodyBytes).to.equal(4 * 1024 * 1024);
  });

  it('makes a job refuse to avoid a fragment that is sent twice', async () => {
    const { transport, calls } = scripted(ok);
    const job = new UploadJob({
      url,
      source: new Uint8Array(9),
      transport,
      onUncertainFragment: 'restart',
    });
    expect((await bitsError(job.start())).code).to.equal('BITS_ERR_ARGUMENT');
    expect(calls).to.have.lengthOf(0);
  });

  it('refuses to work before the app is ready, and says when it will', async () => {
    const net = {
      request: () => {
        throw new Error('net module can only be used after app is ready');
      },
    };
    const transport = createElectronTransport({ net });
    const error = await bitsError(transport.send(ping(url), LONG));
    expect(error).to.include({ code: 'BITS_ERR_STATE', retryable: false });
    expect(error.message).to.include('app.whenReady()');
  });

  it('tells that Electron did not accept the request', async () => {
    const net = {
      request: () => {
        throw new TypeError('`session` should be an instance of the Session class');
      },
    };
    const transport = createElectronTransport({ net, session: {} });
    const error = await bitsError(transport.send(ping(url), LONG));
    expect(error.code).to.equal('BITS_ERR_ARGUMENT');
    expect(error.message).to.include('session');
  });

  it('gives a redirect as an answer, with where it leads', async () => {
    const { transport, cancelled } = scripted((loader) =>
      loader.emit('redirect', 307, 'http://other.example/x', {
        location: ['//other.example/x'],
        'x-two': ['1', '2'],
      }),
    );
    const { status, headers } = await transport.send(ping(url), LONG);
    expect(status).to.equal(307);
    expect({ ...headers }).to.deep.equal({ location: '//other.example/x', 'x-two': '1, 2' });
    expect(cancelled()).to.be.at.least(1);
  });

  it('takes the headers as Electron groups them when Chromium does not tell them as they came', async () => {
    const net = standInNet((_request, loader) => ok(loader));
    const request: typeof net.request = (options) => {
      const made = net.request(options);
      made.on('response', (response) => {
        Object.defineProperty(response, 'headers', { value: { 'x-two': ['1', '2'], a: 'b' } });
      });
      return made;
    };
    const transport = createElectronTransport({ net: { request } });
    const { headers } = await transport.send(ping(url), LONG);
    expect({ ...headers }).to.deep.equal({ 'x-two': '1, 2', a: 'b' });
  });

  for (const [when, script] of [
    ['instead of an answer', (loader: Loader) => loader.emit('error', 'net::ERR_CONNECTION_RESET')],
    [
      'after the head of an answer',
      (loader: Loader) => {
        loader.emit('response', 200, []);
        setImmediate(() => loader.emit('error', 'net::ERR_CONNECTION_RESET'));
      },
    ],
  ] as const) {
    it(`knows the error that comes ${when}`, async () => {
      const { transport } = scripted(script);
      const error = await bitsError(
        (async () => {
          const { body } = await transport.send(get(url), { ...LONG, answerBody: 'stream' });
          await collect(body);
        })(),
      );
      expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
      expect(error.message).to.include('net::ERR_CONNECTION_RESET');
    });
  }

  describe('while a body is sent', () => {
    const HALF_A_SECOND = 500;

    it('reports the bytes that Chromium has sent, and none twice', async () => {
      const sent: number[] = [];
      const halfway = gate();
      const { transport, calls } = scripted((loader) => void loader.emit('progress', 400));
      const sending = transport.send(fragment(url, pattern(1000)), {
        ...LONG,
        onBytesSent: (bytes) => {
          sent.push(bytes);
          halfway.open();
        },
      });
      await halfway.promise;
      // Chromium has lost the connection, and sends the body again.
      const loader = calls[0]?.loader;
      loader?.emit('progress', 100);
      await new Promise((resolve) => setTimeout(resolve, HALF_A_SECOND / 2));
      if (loader) ok(loader);
      await sending;
      expect(sent).to.deep.equal([400, 600]);
    });

    it('ends when no byte moves for stallTimeoutMs', async () => {
      const server = await startRawServer({ paused: true });
      const transport = createElectronTransport({ net: nodeNet, maxBodyBytes: 2 ** 30 });
      const request = fragment(server.url(), Buffer.alloc(64 * 1024 * 1024));
      const error = await bitsError(transport.send(request, { ...LONG, stallTimeoutMs: 1_100 }));
      expect(error).to.include({ code: 'BITS_ERR_TIMEOUT', retryable: true });
      expect(error.message).to.include('No byte').and.to.include('1100 ms (timeouts.stallMs)');
      await server.close();
    });

    it('gives the answer its own time once the body is sent', async () => {
      const { transport } = scripted((loader) => void loader.emit('progress', 1000));
      const error = await bitsError(
        transport.send(fragment(url, pattern(1000)), { ...LONG, answerTimeoutMs: 50 }),
      );
      expect(error.code).to.equal('BITS_ERR_TIMEOUT');
      expect(error.message).to.include(
        'did not answer within 50 ms (timeouts.answerMs, or timeouts.replyMs)',
      );
    });

    it('does not end while bytes move', async () => {
      const { transport, calls } = scripted(() => {});
      const sending = transport.send(fragment(url, pattern(1000)), {
        ...LONG,
        stallTimeoutMs: 1_000,
      });
      for (let bytes = 100; bytes <= 400; bytes += 100) {
        await new Promise((resolve) => setTimeout(resolve, HALF_A_SECOND));
        calls[0]?.loader.emit('progress', bytes);
      }
      const loader = calls[0]?.loader;
      if (loader) ok(loader);
      expect((await sending).status).to.equal(200);
    });
  });

  describe('when it is aborted', () => {
    it('leaves nothing on its way that was ended in the same turn', async () => {
      const controller = new AbortController();
      const net = standInNet((_request, loader) => {
        loader.cancel = () => cancelled.open();
      });
      const cancelled = gate();
      const request: typeof net.request = (options) => {
        const made = net.request(options);
        const end = made.end.bind(made);
        made.end = () => {
          end();
          controller.abort();
        };
        return made;
      };
      const transport = createElectronTransport({ net: { request } });
      const sending = transport.send(ping(url), { ...LONG, signal: controller.signal });
      expect((await bitsError(sending)).code).to.equal('BITS_ERR_ABORTED');
      await cancelled.promise;
    });

    it('overlooks the errors that Electron tells of afterwards', async () => {
      const controller = new AbortController();
      const net = standInNet(() => controller.abort());
      const made: { emit?: (event: string, error: Error) => boolean }[] = [];
      const request: typeof net.request = (options) => {
        const one = net.request(options);
        made.push(one as unknown as (typeof made)[number]);
        return one;
      };
      const transport = createElectronTransport({ net: { request } });
      const sending = transport.send(ping(url), { ...LONG, signal: controller.signal });
      expect((await bitsError(sending)).code).to.equal('BITS_ERR_ABORTED');
      // Without a listener, this throws.
      expect(made[0]?.emit?.('error', new Error('net::ERR_ABORTED'))).to.equal(true);
    });
  });

  describe('when somebody asks for a name and a password', () => {
    const ASKS = { isProxy: true, scheme: 'basic', host: 'proxy', port: 8080, realm: 'r' };

    /** Asks so often; refuses with 407 when there is no answer, and records the answers. */
    function asking(times: number, login: ElectronTransportOptions['login']) {
      const answers: unknown[] = [];
      const { transport } = scripted(
        (loader) => {
          const ask = (left: number) => {
            if (left === 0) return ok(loader);
            loader.emit('login', ASKS, (username, password) => {
              answers.push(username === undefined ? undefined : [username, password]);
              if (username !== undefined) return ask(left - 1);
              loader.emit('response', 407, []);
              loader.emit('complete');
            });
          };
          ask(times);
        },
        { login },
      );
      return { transport, answers };
    }

    for (const [how, login] of [
      ['returns them', () => ({ username: 'u', password: 'p' })],
      ['promises them', async () => ({ username: 'u', password: 'p' })],
      [
        'calls back with them',
        (_info: unknown, callback: (...given: string[]) => void) => {
          setImmediate(callback, 'u', 'p');
        },
      ],
    ] as const) {
      it(`gives them from a function that ${how}`, async () => {
        const { transport, answers } = asking(1, login);
        expect((await transport.send(ping(url), LONG)).status).to.equal(200);
        expect(answers).to.deep.equal([['u', 'p']]);
      });
    }

    it('names the domain of a Windows account', async () => {
      const { transport, answers } = asking(1, () => ({
        username: 'u',
        password: 'p',
        domain: 'CORP',
      }));
      await transport.send(ping(url), LONG);
      expect(answers).to.deep.equal([['CORP\\u', 'p']]);
    });

    it('tells the function who asks', async () => {
      const told: unknown[] = [];
      const { transport } = asking(1, (authInfo) => void told.push(authInfo));
      await transport.send(ping(url), LONG);
      expect(told).to.deep.equal([ASKS]);
    });

    for (const [how, login] of [
      ['returns nothing', () => undefined],
      ['calls back with nothing', (_info: unknown, callback: () => void) => callback()],
    ] as const) {
      it(`hands over the refusal when the function ${how}`, async () => {
        const { transport, answers } = asking(1, login);
        expect((await transport.send(ping(url), LONG)).status).to.equal(407);
        expect(answers).to.deep.equal([undefined]);
      });
    }

    it('gives none twice that were refused, so that no account is locked', async () => {
      const { transport, answers } = asking(9, () => ({ username: 'u', password: 'p' }));
      expect((await transport.send(ping(url), LONG)).status).to.equal(407);
      expect(answers).to.deep.equal([['u', 'p'], undefined]);
    });

    it('gives up after three that were refused', async () => {
      let tries = 0;
      const { transport, answers } = asking(9, () => ({ username: 'u', password: `${tries++}` }));
      expect((await transport.send(ping(url), LONG)).status).to.equal(407);
      expect(answers).to.have.lengthOf(4);
    });

    for (const [what, login] of [
      [
        'throws',
        () => {
          throw new Error('hush');
        },
      ],
      ['gives something else', () => 'hush' as never],
    ] as const) {
      it(`fails when the function ${what}, and keeps the secret`, async () => {
        const { transport } = asking(1, login);
        const error = await bitsError(transport.send(ping(url), LONG));
        expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
        expect(error.message).not.to.include('hush');
      });
    }

    it('does not wait for ever for the function', async () => {
      const { transport } = asking(1, () => new Promise(() => {}));
      const error = await bitsError(transport.send(ping(url), { ...LONG, answerTimeoutMs: 50 }));
      expect(error.code).to.equal('BITS_ERR_TIMEOUT');
      expect(error.message).to.include('login').and.to.include('50 ms');
    });

    it('gives the function its time, whatever the limit for sending', async () => {
      const { transport } = asking(1, async () => {
        await new Promise((resolve) => setTimeout(resolve, 1_200));
        return { username: 'u', password: 'p' };
      });
      const request = fragment(url, pattern(10));
      const { status } = await transport.send(request, { ...LONG, stallTimeoutMs: 50 });
      expect(status).to.equal(200);
    });

    it('reads a refusal in its own time, once the function has given nothing', async () => {
      const { transport } = scripted(
        (loader) => {
          loader.emit('login', ASKS, () => {
            loader.emit('response', 407, []);
            setTimeout(() => loader.emit('progress', 5), 150);
            setTimeout(() => loader.emit('complete'), 1_300);
          });
        },
        { login: () => undefined },
      );
      const request = fragment(url, pattern(10));
      const times = { stallTimeoutMs: 50, answerTimeoutMs: 5_000 };
      const { body } = await transport.send(request, { ...LONG, ...times, answerBody: 'stream' });
      expect(await collect(body)).to.have.lengthOf(0);
    });

    it('leaves the function when the request is aborted', async () => {
      const controller = new AbortController();
      const { transport } = asking(1, () => {
        controller.abort();
        return new Promise(() => {});
      });
      const sending = transport.send(ping(url), { ...LONG, signal: controller.signal });
      expect((await bitsError(sending)).code).to.equal('BITS_ERR_ABORTED');
    });
  });

  it('refuses options that cannot work', () => {
    for (const options of [
      undefined,
      {},
      { net: {} },
      { net: nodeNet, session: 'persist:x' },
      { net: nodeNet, login: true },
      { net: nodeNet, useSessionCredentials: 'yes' },
      { net: nodeNet, useSessionCredentials: false, login: () => undefined },
      { net: nodeNet, maxBodyBytes: 0 },
      { net: nodeNet, userAgent: 'a\nb' },
      { net: nodeNet, partition: 'x' },
    ]) {
      expect(() => createElectronTransport(options as unknown as ElectronTransportOptions))
        .to.throw()
        .with.property('code', 'BITS_ERR_ARGUMENT');
    }
  });

  it('uploads to the reference server, follows a redirect, and gets the reply', async () => {
    const server = await createBitsServer({ reply: () => pattern(200_000, 3) });
    server.addFault({ on: 'fragment', do: { redirect: `${server.url}a.bin` } });
    const transport = createElectronTransport({ net: nodeNet });
    const source = pattern(300_000);
    const job = new UploadJob({ url: `${server.url}a.bin`, source, transport, reply: true });
    const { bytes, reply } = await job.start();
    expect(bytes).to.equal(source.byteLength);
    expect(Buffer.from(reply?.data ?? [])).to.deep.equal(pattern(200_000, 3));
    await new UploadJob({
      url: `${server.url}empty`,
      source: new Uint8Array(0),
      transport,
    }).start();
    server.assertNoViolations();
    server.assertFaultsConsumed();
    await transport.close();
    await server.close();
  });
});
