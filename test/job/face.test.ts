import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { BitsError, BitsServerError, BitsStoreError, isBitsError } from '../../src/errors.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { createMemoryStore } from '../../src/store/memory.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { bitsError } from '../transport/support.js';

const run = promisify(execFile);

describe('the public face of a job', () => {
  let server: BitsServer;

  beforeEach(async () => {
    server = await createBitsServer({ allowOverwrite: true });
  });

  afterEach(() => server.close());

  const jobTo = (options: Partial<UploadOptions> = {}) =>
    new UploadJob({ url: `${server.url}f.bin`, source: new Uint8Array(9000), ...options });

  describe('start', () => {
    it('alone starts the job: reading result does not', async () => {
      const job = jobTo();
      void job.result;
      await new Promise((resolve) => setImmediate(resolve));
      expect(job.state).to.equal('init');
      expect(server.log).to.have.lengthOf(0);
      await job.start();
      expect(await job.result).to.include({ bytes: 9000 });
    });

    it('gives one promise for one run, however often it is called', async () => {
      const job = jobTo();
      expect(job.start()).to.equal(job.start()).and.equal(job.result);
      await job.result;
    });

    it('changes nothing of a job that was suspended before it was started', async () => {
      const job = jobTo();
      await job.suspend();
      void job.start();
      await new Promise((resolve) => setImmediate(resolve));
      expect(job.state).to.equal('suspended');
      await job.resume();
      expect(job.state).to.equal('completed');
    });
  });

  describe('a failure', () => {
    const refused = () => {
      server.addFault({ on: 'create-session', do: { status: 403 } });
      return jobTo();
    };

    it('is thrown by the iteration of progress, which starts the job', async () => {
      const job = refused();
      const iteration = (async () => {
        for await (const _ of job.progress);
      })();
      expect(await bitsError(iteration)).to.equal(await bitsError(job.result));
    });

    it('is told to listeners of failed with the error that result rejects with', async () => {
      const job = refused();
      const told = once(job, 'failed');
      const error = await bitsError(job.start());
      expect(await told).to.deep.equal([error]);
    });

    const program = (body: string) => `
      import { UploadJob } from ${JSON.stringify(pathToFileURL('dist/index.js').href)};
      const job = new UploadJob({ url: 'http://127.0.0.1:1/f', source: new Uint8Array(1), retry: { limit: 0 } });
      ${body}
      setTimeout(() => console.log('alive'), 300);`;
    const node = (body: string) =>
      run(process.execPath, ['--input-type=module', '-e', program(body)]).then(
        ({ stdout }) => stdout.trim(),
        (error: { stderr: string }) => error.stderr,
      );

    it('that nobody handles ends the process, as any rejection does', async () => {
      expect(await node('job.start();')).to.match(/BITS_ERR_TRANSPORT/);
      expect(await node('job.result; job.start();')).to.match(/BITS_ERR_TRANSPORT/);
    });

    it('is handled by a catch, by a listener of failed, or by the iteration of progress', async () => {
      expect(await node('job.start().catch(() => {});')).to.equal('alive');
      expect(await node("job.on('failed', () => {}); job.start();")).to.equal('alive');
      expect(
        await node('(async () => { try { for await (const _ of job.progress); } catch {} })();'),
      ).to.equal('alive');
    });
  });

  it('tells listeners of done the result', async () => {
    const job = jobTo();
    const told = once(job, 'done');
    const result = await job.start();
    expect(await told).to.deep.equal([result]);
  });

  it('survives a listener that throws, whose error Node reports', async () => {
    const source = pathToFileURL('dist/index.js').href;
    const testing = pathToFileURL('dist/testing/index.js').href;
    const { stdout } = await run(process.execPath, [
      '--input-type=module',
      '-e',
      `import { UploadJob } from ${JSON.stringify(source)};
       import { createBitsServer } from ${JSON.stringify(testing)};
       const server = await createBitsServer();
       let reported = 0;
       process.on('uncaughtException', () => reported++);
       const job = new UploadJob({ url: server.url + 'f', source: new Uint8Array(9000) });
       job.on('state', () => { throw new Error('oops'); });
       const { bytes } = await job.start();
       console.log(bytes, reported > 0);
       await server.close();`,
    ]);
    expect(stdout.trim()).to.equal('9000 true');
  });

  it('ends the wait of cancel for the server when its signal aborts', async () => {
    await server.close();
    server = await createBitsServer({
      faults: [
        { on: 'fragment', do: 'hang' },
        { on: 'cancel-session', do: 'hang' },
      ],
    });
    const job = jobTo();
    const result = bitsError(job.start());
    await server.waitForRequest('fragment');
    const controller = new AbortController();
    const cancelled = job.cancel({ signal: controller.signal });
    await server.waitForRequest('cancel-session');
    controller.abort();
    await cancelled;
    expect((await result).message).to.include('did not confirm');
    await job.cancel();
    expect(server.log.filter(({ packet }) => packet === 'cancel-session')).to.have.lengthOf(2);
  });

  describe('the plain copy', () => {
    it('of a job has no secret, and fits a structured clone', async () => {
      const job = jobTo({ url: `${server.url}f.bin?sig=secret` });
      const last = async () => {
        for await (const _ of job.progress);
      };
      await last();
      const copy = structuredClone(job.toJSON());
      expect(copy).to.include({ id: job.id, state: 'completed', isActive: false });
      expect(copy.url).to.equal(`${server.url}f.bin`);
      expect(copy.progress).to.include({ bytesTotal: 9000 });
      expect(JSON.stringify(job)).to.not.include('secret');
    });

    it('of an error keeps its message and code, which a clone of the error would lose', () => {
      const refusal = new BitsServerError('refused', { status: 403, hresult: 0x80070005 });
      expect(structuredClone(refusal.toJSON())).to.deep.equal({
        name: 'BitsServerError',
        code: 'BITS_ERR_SERVER',
        message: 'refused',
        retryable: false,
        status: 403,
        hresult: 0x80070005,
      });
      expect(new BitsStoreError('full', 'no space').toJSON()).to.include({ reason: 'full' });
    });
  });

  it('narrows an error by its code', () => {
    const error: unknown = new BitsServerError('refused', { status: 403 });
    if (!isBitsError(error, 'BITS_ERR_SERVER')) throw new Error('not narrowed');
    const status: number = error.status;
    expect(status).to.equal(403);
    expect(isBitsError(error, 'BITS_ERR_STORE')).to.equal(false);
  });

  describe('options', () => {
    const url = 'http://localhost/f';
    const source = new Uint8Array(1);
    const cases: readonly [what: string, options: Record<string, unknown>, names: RegExp][] = [
      ['an unknown name', { retries: 3 }, /option retries/],
      ['an unknown name in a group', { timeouts: { stall: 3 } }, /option timeouts\.stall/],
      ['a group that is no object', { retry: 3 }, /retry must be an object/],
      ['a time that is no number', { timeouts: { stallMs: '5s' } }, /timeouts\.stallMs/],
      ['a limit below zero', { retry: { limit: -1 } }, /retry\.limit/],
      ['a store without lock()', { store: { save() {} } }, /store .*load\(\)/],
      ['a transport without send()', { transport: {} }, /transport .*send\(\)/],
      [
        'a transport without limitations',
        { transport: { send() {}, close() {} } },
        /transport .*limitations/,
      ],
      ['a signal that is none', { signal: {} }, /AbortSignal/],
      ['a flag that is no boolean', { resume: 'no' }, /resume must be true or false/],
      ['a shouldRetry that is no function', { retry: { shouldRetry: true } }, /retry\.shouldRetry/],
      ['trusted hosts that are no array', { trustedHosts: 'a' }, /trustedHosts/],
      ['a trusted host that is a URL', { trustedHosts: ['http://a/'] }, /trustedHosts.*http:/],
      ['every host as a trusted one', { trustedHosts: ['*'] }, /trustedHosts/],
      ['a name with a path', { name: 'a/b' }, /name must be a file name/],
      ['a name that is a directory', { name: '..' }, /name must be a file name/],
      ['a header in one string', { headers: ['ab'] }, /not a legal header name/],
      ['a header that is no string', { headers: { 'X-Id': 7 } }, /X-Id is not a string/],
      ['tls that is no object', { tls: true }, /tls must be an object/],
      ['an unknown name of tls', { tls: { caFile: 'x' } }, /option tls\.caFile/],
      ['an authority that is a flag', { tls: { systemCa: 'yes' } }, /tls\.systemCa/],
      ['auth that is no object', { auth: null }, /auth must be an object/],
      [
        'an unknown name of auth, which may be a restriction',
        { auth: { credentials: { username: 'u', password: 'p' }, scheme: ['digest'] } },
        /option auth\.scheme/,
      ],
      ['Kerberos that is switched off', { auth: { kerberos: false } }, /auth\.kerberos must be/],
      ['a token that is no text', { auth: { token: 7 } }, /auth\.token must be/],
      ['authorize that is no function', { auth: { authorize: 'x' } }, /auth\.authorize must be/],
      ['an unknown name of proxy', { proxy: { url: 'http://p', tunel: true } }, /proxy\.tunel/],
      ['a wrong auth of proxy', { proxy: { url: 'http://p', auth: 'x' } }, /proxy\.auth must be/],
      ['a wrong tunnel of proxy', { proxy: { url: 'http://p', tunnel: 1 } }, /proxy\.tunnel must/],
      ['headers that are no pairs', { headers: 'a: b' }, /headers must be/],
      [
        'tls beside a transport',
        { transport: { send() {}, close() {} }, tls: {} },
        /tls is an option/,
      ],
      [
        'noProxy beside a transport',
        { transport: { send() {}, close() {} }, noProxy: '*' },
        /noProxy is an option/,
      ],
      ['an unknown name of reply', { reply: { file: 'x' } }, /no option reply\.file/],
    ];
    for (const [what, options, names] of cases) {
      it(`are refused for ${what}, before anything is sent`, () => {
        expect(() => new UploadJob({ url, source, ...options } as UploadOptions))
          .to.throw(BitsError, names)
          .with.property('code', 'BITS_ERR_ARGUMENT');
      });
    }

    it('take headers as fetch takes them', async () => {
      for (const headers of [
        new Headers({ 'X-Id': '7' }),
        [['X-Id', '7']] as const,
        { 'X-Id': '7' },
      ]) {
        await jobTo({ headers }).start();
        expect(server.log.at(-1)?.headers['x-id']).to.equal('7');
      }
    });

    it('take a store with all of its methods', async () => {
      await jobTo({ store: createMemoryStore() }).start();
    });
  });
});
