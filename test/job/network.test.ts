import diagnosticsChannel from 'node:diagnostics_channel';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { BitsError } from '../../src/errors.js';
import {
  type PacketRequest,
  type PacketResponse,
  UploadJob,
  type UploadOptions,
} from '../../src/index.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { startHttpProxy } from '../support/http-proxy.js';
import { tlsCertificate, tlsKey } from '../support/raw-server.js';
import { bitsError, pattern } from '../transport/support.js';

const BYTES = pattern(60_000);

describe('jobs on the real network', () => {
  const closing: { close(): Promise<void> }[] = [];

  const keep = <T extends { close(): Promise<void> }>(thing: T): T => {
    closing.push(thing);
    return thing;
  };
  const serve = async (...args: Parameters<typeof createBitsServer>): Promise<BitsServer> =>
    keep(await createBitsServer(...args));
  const upload = (url: string, more: Partial<UploadOptions> = {}) =>
    new UploadJob({ url, source: BYTES, name: 'a.bin', fragmentBytes: 20_000, ...more });

  afterEach(async () => {
    for (const thing of closing.splice(0).reverse()) await thing.close();
  });

  async function expectArrived(server: BitsServer, name = 'a.bin'): Promise<void> {
    expect((await readFile(join(server.root, name))).equals(BYTES)).to.equal(true);
    server.assertFaultsConsumed();
  }

  it('are uploaded through a proxy, on one connection', async () => {
    const server = await serve();
    const proxy = keep(await startHttpProxy());
    await upload(`${server.url}a.bin`, { proxy: proxy.proxyUrl }).start();
    await expectArrived(server);
    expect(proxy.connections).to.have.lengthOf(1);
    server.assertNoViolations();
  });

  describe('redirects', () => {
    for (const on of ['create-session', 'fragment', 'close-session'] as const) {
      it(`are followed with verb and body: ${on}`, async () => {
        const server = await serve();
        server.addFault({ on, do: { redirect: `${server.url}a.bin` } });
        await upload(`${server.url}a.bin`).start();
        await expectArrived(server);
      });
    }

    it('to another server take the whole upload there; a permanent one is asked for once', async () => {
      const [from, to] = [await serve(), await serve()];
      const Location = `${to.url}b.bin`;
      from.addFault({ on: 'create-session', do: { status: 308, headers: { Location } } });
      await upload(`${from.url}a.bin`).start();
      await expectArrived(to, 'b.bin');
      expect(from.log).to.have.lengthOf(1);
    });

    it('end after five', async () => {
      const server = await serve();
      server.addFault({ on: 'any', times: 6, do: { redirect: `${server.url}a.bin` } });
      const error = await bitsError(upload(`${server.url}a.bin`).start());
      expect(error).to.include({ code: 'BITS_ERR_SERVER', status: 307, retryable: false });
      server.assertFaultsConsumed();
    });

    it('take no credentials to another host', async () => {
      const [from, to] = [await serve(), await serve()];
      const elsewhere = to.url.replace('127.0.0.1', 'localhost');
      from.addFault({ on: 'any', do: { redirect: `${elsewhere}a.bin` } });
      const headers = { Authorization: 'Bearer hunter2' };
      const error = await bitsError(upload(`${from.url}a.bin`, { headers }).start());
      expect(error.code).to.equal('BITS_ERR_UNTRUSTED_HOST');
      expect(error.message).to.include(new URL(elsewhere).host).and.to.include('trustedHosts');
      expect(to.log).to.have.lengthOf(0);
    });

    it('take no header of the caller or of onRequest to a host that is not trusted', async () => {
      const [from, to] = [await serve(), await serve()];
      const Location = `${to.url.replace('127.0.0.1', 'localhost')}a.bin`;
      from.addFault({ on: 'create-session', do: { status: 308, headers: { Location } } });
      await upload(`${from.url}a.bin`, {
        headers: { 'X-API-Key': 'hunter2' },
        userAgent: 'Contoso/1',
        onRequest: () => ({ 'X-Trace': 'hunter3' }),
      }).start();
      expect(from.log[0]?.headers).to.include({ 'x-api-key': 'hunter2', 'x-trace': 'hunter3' });
      expect(JSON.stringify(to.log.map(({ headers }) => headers))).to.not.match(/hunter/);
      expect(to.log[0]?.headers).to.include({ 'user-agent': 'Contoso/1' });
    });

    it('take an upload whose URL has a query to no other host', async () => {
      const [from, to] = [await serve(), await serve()];
      const Location = `${to.url.replace('127.0.0.1', 'localhost')}a.bin`;
      from.addFault({ on: 'create-session', do: { status: 308, headers: { Location } } });
      const error = await bitsError(upload(`${from.url}a.bin?sig=hunter2`).start());
      expect(error).to.include({ code: 'BITS_ERR_UNTRUSTED_HOST' });
      expect(error.message).to.not.include('hunter2');
      expect(to.log).to.have.lengthOf(0);
    });

    it('take credentials to hosts that the caller trusts', async () => {
      const [from, to] = [await serve(), await serve()];
      const Location = `${to.url.replace('127.0.0.1', 'localhost')}a.bin`;
      from.addFault({ on: 'create-session', do: { status: 308, headers: { Location } } });
      const headers = { Authorization: 'Bearer x' };
      await upload(`${from.url}a.bin`, { headers, trustedHosts: ['localhost'] }).start();
      await expectArrived(to);
      expect(to.log[0]?.headers.authorization).to.equal('Bearer x');
    });

    it('do not lead from https to http', async () => {
      const server = await serve({ tls: { cert: tlsCertificate(), key: tlsKey() } });
      const plain = await serve();
      server.addFault({ on: 'any', do: { redirect: `${plain.url}a.bin` } });
      const tls = { ca: tlsCertificate() };
      const error = await bitsError(upload(`${server.url}a.bin`, { tls }).start());
      expect(error).to.include({ code: 'BITS_ERR_SERVER', retryable: false });
      expect(error.message).to.include(new URL(plain.url).host);
      expect(plain.log).to.have.lengthOf(0);
    });

    for (const status of [301, 302, 303]) {
      it(`that would change the request are errors that name the host: ${status}`, async () => {
        const server = await serve();
        const headers = { Location: 'http://login.example/x?token=hunter2' };
        server.addFault({ on: 'any', do: { status, headers } });
        const error = await bitsError(upload(`${server.url}a.bin`).start());
        expect(error).to.include({ code: 'BITS_ERR_SERVER', status });
        expect(error.message).to.include('login.example').and.not.to.include('hunter2');
      });
    }
  });

  it('hide the verb in a header with methodOverride', async () => {
    const server = await serve();
    const methods = new Set<string>();
    await upload(`${server.url}a.bin`, {
      methodOverride: true,
      onRequest: ({ method, headers }) => {
        methods.add(`${method} ${headers['X-HTTP-Method-Override']}`);
      },
    }).start();
    await expectArrived(server);
    expect([...methods]).to.deep.equal(['POST BITS_POST']);
  });

  it('say who they are with userAgent', async () => {
    const server = await serve();
    const agents = new Set<string | undefined>();
    await upload(`${server.url}a.bin`, {
      userAgent: 'Acme/1.0',
      onRequest: ({ headers }) => void agents.add(headers['User-Agent']),
    }).start();
    expect([...agents]).to.deep.equal(['Acme/1.0']);
  });

  describe('hooks', () => {
    it('see each packet and its answer without secrets, and add headers', async () => {
      const server = await serve();
      const requests: PacketRequest[] = [];
      const responses: PacketResponse[] = [];
      const job = upload(`${server.url}a.bin?key=hunter2`, {
        headers: { Authorization: 'Bearer hunter2' },
        onRequest: async (request) => {
          requests.push(request);
          return { 'X-Correlation-Id': 'c-1' };
        },
        onResponse: (response) => void responses.push(response),
      });
      await job.start();
      const packets = ['create-session', 'fragment', 'fragment', 'fragment', 'close-session'];
      expect(requests.map(({ packet }) => packet)).to.deep.equal(packets);
      expect(responses.map(({ packet, status }) => `${packet} ${status}`)).to.deep.equal(
        packets.map((packet) => `${packet} 200`),
      );
      expect(requests[1]).to.include({ jobId: job.id, method: 'BITS_POST', bodyBytes: 20_000 });
      expect(requests[0]?.headers.Authorization).to.equal('[redacted]');
      expect(JSON.stringify([requests, responses])).not.to.include('hunter2');
      expect(server.log.map(({ headers }) => headers['x-correlation-id'])).to.deep.equal(
        packets.map(() => 'c-1'),
      );
    });

    for (const hook of ['onRequest', 'onResponse'] as const) {
      it(`end the job when they throw: ${hook}`, async () => {
        const server = await serve();
        const cause = new Error('mine');
        const error: BitsError = await bitsError(
          upload(`${server.url}a.bin`, {
            [hook]: () => {
              throw cause;
            },
          }).start(),
        );
        expect(error).to.include({ code: 'BITS_ERR_ARGUMENT', cause });
        expect(error.message).to.include(hook);
      });
    }

    it('set neither headers of the protocol nor credentials', async () => {
      const server = await serve();
      for (const name of ['BITS-Session-Id', 'Authorization', 'Content-Length']) {
        const job = upload(`${server.url}a.bin`, { onRequest: () => ({ [name]: 'hunter2' }) });
        const error = await bitsError(job.start());
        expect(error.code).to.equal('BITS_ERR_ARGUMENT');
        expect(error.message).to.include(name).and.not.to.include('hunter2');
      }
    });

    it('hold up no abort', async () => {
      const server = await serve();
      const aborting = new AbortController();
      const job = upload(`${server.url}a.bin`, {
        signal: aborting.signal,
        onRequest: () => {
          setImmediate(() => aborting.abort());
          return new Promise<void>(() => {});
        },
      });
      expect((await bitsError(job.start())).code).to.equal('BITS_ERR_ABORTED');
    });
  });

  it('tell diagnostics_channel what happens', async () => {
    const server = await serve();
    server.addFault({ on: 'fragment', do: 'reset-before' });
    const told: string[] = [];
    const names = ['request', 'response', 'failure', 'state', 'retry', 'warning'];
    const listen = (message: unknown, name: string | symbol) => {
      const { jobId, packet, state } = message as Record<string, string>;
      expect(jobId).to.be.a('string');
      told.push([String(name).replace('bits-upload:', ''), packet ?? state].join(' ').trim());
    };
    for (const name of names) diagnosticsChannel.subscribe(`bits-upload:${name}`, listen);
    try {
      await upload(`${server.url}a.bin`, { retry: { minDelayMs: 0 } }).start();
    } finally {
      for (const name of names) diagnosticsChannel.unsubscribe(`bits-upload:${name}`, listen);
    }
    expect(told.slice(0, 6)).to.deep.equal([
      'state create-session',
      'request create-session',
      'response create-session',
      'state fragment',
      'request fragment',
      'failure fragment',
    ]);
    expect(told).to.include('retry').and.to.include('state completed');
  });

  for (const [what, options] of [
    ['a proxy of another kind', { proxy: 'ftp://hunter2@x' }],
    ['noProxy that is no text', { noProxy: ['a'] }],
    ['tls that cannot be read', { tls: { ca: 'hunter2' } }],
    ['a hook that is none', { onRequest: 'hunter2' }],
    ['a User-Agent twice', { userAgent: 'hunter2', headers: { 'user-agent': 'b' } }],
    ['a User-Agent with a line break', { userAgent: 'hunter2\r\nx: y' }],
  ] as const) {
    it(`refuse ${what} before anything is sent`, () => {
      const make = () => upload('http://127.0.0.1:1/x', options as never);
      expect(make).to.throw().that.includes({ code: 'BITS_ERR_ARGUMENT' });
      expect(make).not.to.throw('hunter2');
    });
  }
});
