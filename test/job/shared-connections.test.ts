import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { LINGER_MS } from '../../src/job/idle-transports.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { patterned } from '../support/files.js';
import { startHttpProxy } from '../support/http-proxy.js';
import {
  answer,
  type RawRequest,
  type RawServer,
  type RawServerOptions,
  startRawServer,
  tlsCertificate,
  tlsKey,
} from '../support/raw-server.js';
import { bitsError, gate } from '../transport/support.js';

const KIB = 1024;
const CONTENT = patterned(10 * KIB);

/** What a server answers to a packet. */
function acked({ headers, body }: RawRequest): string {
  const ack = { 'BITS-Packet-Type': 'Ack' };
  switch (headers['bits-packet-type']) {
    case 'Create-Session':
      return answer(200, { ...ack, 'BITS-Session-Id': '{7}' });
    case 'Fragment':
      return answer(200, { ...ack, 'BITS-Received-Content-Range': String(body.length) });
    default:
      return answer(200, ack);
  }
}

describe('jobs to the same server', () => {
  const closing: { close(): Promise<void> }[] = [];
  let names = 0;

  const keep = <T extends { close(): Promise<void> }>(thing: T): T => {
    closing.push(thing);
    return thing;
  };
  const serve = async (...args: Parameters<typeof createBitsServer>): Promise<BitsServer> =>
    keep(await createBitsServer(...args));
  const serveRaw = async (options: RawServerOptions): Promise<RawServer> =>
    keep(await startRawServer(options));

  const jobTo = (url: string | URL, options: Partial<UploadOptions> = {}) =>
    new UploadJob({ url: new URL(`file-${names++}`, url), source: CONTENT, ...options });

  afterEach(async () => {
    for (const thing of closing.splice(0).reverse()) await thing.close();
  });

  it('go over one connection one after the other', async () => {
    const server = await serve();
    for (let i = 0; i < 5; i++) await jobTo(server.url).start();
    expect(server.connections).to.equal(1);
    expect(server.uploads).to.have.lengthOf(5);
    server.assertNoViolations();
  });

  it('have a connection each when they go at once, and no more', async () => {
    const server = await serve();
    let left = 40;
    const worker = async () => {
      while (left-- > 0) await jobTo(server.url).start();
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    expect(server.uploads).to.have.lengthOf(40);
    expect(server.connections).to.be.within(2, 8);
    server.assertNoViolations();
  });

  it('neither wait for another nor mind when it is aborted', async () => {
    const stuck = gate();
    const server = await serveRaw({
      onRequest: (request) => {
        const isFirst = request.connection === server.connections[0];
        if (isFirst && request.headers['bits-packet-type'] === 'Fragment') stuck.open();
        else request.connection.socket.write(acked(request));
      },
    });
    const aborting = new AbortController();
    const first = jobTo(server.url(), { signal: aborting.signal }).start();
    await stuck.promise;
    for (let i = 0; i < 3; i++) await jobTo(server.url()).start();
    const neighbour = jobTo(server.url(), { retry: { limit: 0 } }).start();
    aborting.abort();
    expect((await bitsError(first)).code).to.equal('BITS_ERR_ABORTED');
    await server.connections[0]?.closed;
    await neighbour;
    await jobTo(server.url()).start();
    expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([2, 15]);
  });

  it('do not use the connection of one that was not completed', async () => {
    const server = await serve({ faults: [{ on: 'create-session', do: { status: 403 } }] });
    expect(await bitsError(jobTo(server.url).start())).to.include({ status: 403 });
    await jobTo(server.url).start();
    expect(server.connections).to.equal(2);
  });

  it('say who they are, each for itself', async () => {
    const server = await serve();
    for (const options of [
      { userAgent: 'Contoso/1', headers: { Authorization: 'Bearer x' } },
      {},
      { proxy: false, userAgent: 'Contoso/2' },
      { proxy: false },
    ] as const) {
      await jobTo(server.url, options).start();
    }
    const agents = server.log.map(({ headers }) => headers['user-agent']?.replace(/\/.*/, ''));
    const authorizations = server.log.map(({ headers }) => headers.authorization);
    const eachPacket = (values: readonly (string | undefined)[]) =>
      values.flatMap((value) => [value, value, value]);
    expect(agents).to.deep.equal(eachPacket(['Contoso', 'bits-upload', 'Contoso', 'bits-upload']));
    expect(authorizations).to.deep.equal(eachPacket(['Bearer x', undefined, undefined, undefined]));
  });

  it('share connections of https too, so that one handshake is enough', async () => {
    const server = await serve({ tls: { cert: tlsCertificate(), key: tlsKey() } });
    await runScript(
      `for (const name of 'abc') {
        await new UploadJob({ url: '${server.url}' + name, source: new Uint8Array(0) }).start();
      }`,
      { env: { NODE_EXTRA_CA_CERTS: 'test/fixtures/tls/cert.pem' } },
    );
    expect(server.uploads).to.have.lengthOf(3);
    expect(server.connections).to.equal(1);
  });

  describe('have connections of their own', () => {
    const credentials = { username: 'Mufasa', password: 'Circle of Life' };

    for (const [what, options] of [
      ['auth', { auth: { credentials } }],
      ['a proof for connections in a header', { headers: { Authorization: 'NTLM TlRMTVNTUA==' } }],
      ['an own transport each', undefined],
    ] as const) {
      it(`with ${what}`, async () => {
        const server = await serve();
        for (let i = 0; i < 2; i++) {
          const given = options ?? { transport: keep(createUndiciTransport()) };
          await jobTo(server.url, given).start();
        }
        expect(server.connections).to.equal(2);
      });
    }

    it('with tls', async () => {
      const server = await serve({ tls: { cert: tlsCertificate(), key: tlsKey() } });
      for (let i = 0; i < 2; i++) {
        await jobTo(server.url, { tls: { ca: tlsCertificate() } }).start();
      }
      expect(server.connections).to.equal(2);
    });

    it('with a proxy', async () => {
      const server = await serve();
      const proxy = keep(await startHttpProxy());
      for (let i = 0; i < 2; i++) await jobTo(server.url, { proxy: proxy.proxyUrl }).start();
      expect(proxy.connections).to.have.lengthOf(2);
    });

    it('with a proxy of the environment, though there is a direct one from before', async () => {
      const server = await serve();
      const proxy = keep(await startHttpProxy());
      await jobTo(server.url).start();
      process.env.http_proxy = proxy.proxyUrl;
      try {
        for (let i = 0; i < 2; i++) await jobTo(server.url).start();
      } finally {
        delete process.env.http_proxy;
      }
      expect(proxy.connections).to.have.lengthOf(2);
      expect(server.uploads).to.have.lengthOf(3);
    });
  });

  describe('succeed at once over a connection', () => {
    /** Uploads twice to a server that may not fail once. */
    async function uploadTwice(server: RawServer, between = async () => {}): Promise<void> {
      for (let i = 0; i < 2; i++) {
        if (i > 0) await between();
        const job = jobTo(server.url(), { retry: { limit: 0 } });
        job.on('retry', ({ error }) => {
          throw error;
        });
        await job.start();
      }
    }

    it('that the server closed meanwhile', async () => {
      const server = await serveRaw({
        onRequest: (request) => void request.connection.socket.write(acked(request)),
      });
      await uploadTwice(server, async () => {
        const [connection] = server.connections;
        connection?.socket.end();
        await connection?.closed;
      });
      expect(server.connections).to.have.lengthOf(2);
      expect(server.requests).to.have.lengthOf(6);
    });

    it('that the server reset meanwhile', async () => {
      const server = await serveRaw({
        onRequest: (request) => void request.connection.socket.write(acked(request)),
      });
      await uploadTwice(server, async () => {
        const [connection] = server.connections;
        connection?.socket.resetAndDestroy();
        await connection?.closed;
      });
      expect(server.connections).to.have.lengthOf(2);
      expect(server.requests).to.have.lengthOf(6);
    });

    it('that the server closes after each upload, without a word', async () => {
      const server = await serveRaw({
        onRequest: (request) => {
          const { socket } = request.connection;
          if (request.headers['bits-packet-type'] === 'Close-Session') socket.end(acked(request));
          else socket.write(acked(request));
        },
      });
      await uploadTwice(server);
      expect(server.connections).to.have.lengthOf(2);
    });

    it('that the server resets just as the first packet comes', async () => {
      const server = await serveRaw({
        onRequest: (request) => {
          const { socket } = request.connection;
          if (request.index === 3) socket.resetAndDestroy();
          else socket.write(acked(request));
        },
      });
      await uploadTwice(server);
      expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([4, 3]);
    });
  });

  it('leave no connection open for long', async () => {
    const server = await serveRaw({
      onRequest: (request) => void request.connection.socket.write(acked(request)),
    });
    await jobTo(server.url()).start();
    await server.connections[0]?.closed;
    await jobTo(server.url()).start();
    expect(server.connections).to.have.lengthOf(2);
  });

  it('keep no process alive when they have ended', async () => {
    const server = await serve();
    // Whoever waits for the end of the linger time waits for longer than the test does.
    const stdout = await runScript(
      `await new UploadJob({ url: '${server.url}a', source }).start();`,
      {
        before: `const { setTimeout } = globalThis;
        let lingering = 0;
        globalThis.setTimeout = (work, ms, ...more) => {
          if (ms === ${LINGER_MS}) lingering += 1;
          return setTimeout(work, ms === ${LINGER_MS} ? 600_000 : ms, ...more);
        };
        process.once('exit', () => console.log('lingering:', lingering > 0));`,
      },
    );
    expect(stdout).to.equal('lingering: true\n');
    expect(await readdir(server.root)).to.include('a');
  });
});

/**
 * Runs a script in a process of its own, and waits for that to end by itself.
 * @param options `before`: what is done before the package is loaded
 */
async function runScript(
  script: string,
  { env = {}, before = '' }: { env?: Record<string, string>; before?: string } = {},
): Promise<string> {
  const whole = `
    ${before}
    const { UploadJob } = await import('./src/job/upload-job.ts');
    const source = new Uint8Array(1000);
    ${script}`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', whole],
    {
      cwd: new URL('../..', import.meta.url),
      timeout: 15_000,
      env: { ...process.env, ...env },
    },
  );
  return stdout;
}
