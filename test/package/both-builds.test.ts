import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { patterned, temporaryFolder, writePatterned } from '../support/files.js';

type Face = typeof import('../../src/index.js');

const file = (name: string) => join(process.cwd(), 'dist', name);
const required: Face = createRequire(import.meta.url)(file('index.cjs'));
const imported: Face = await import(pathToFileURL(file('index.js')).href);

/** A process may import the package, and load a library that requires it. */
describe('the package, imported and required in one process', () => {
  const folder = temporaryFolder();
  let server: BitsServer;

  beforeEach(async () => {
    server = await createBitsServer();
  });

  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  for (const [one, other, how] of [
    [required, imported, 'required, then imported'],
    [imported, required, 'imported, then required'],
  ] as const) {
    describe(how, () => {
      it('has one identity of each error and of a bandwidth', () => {
        expect(one.UploadJob).to.not.equal(other.UploadJob);
        const names = Object.keys(one).filter((name) => name.endsWith('Error'));
        expect(names).to.include.members(['BitsError', 'BitsStoreError', 'isBitsError']);
        const error = new one.BitsStoreError('damaged', 'x');
        expect(error).to.be.instanceOf(other.BitsStoreError).and.instanceOf(other.BitsError);
        expect(error).to.not.be.instanceOf(other.BitsServerError);
        expect(other.isBitsError(error, 'BITS_ERR_STORE')).to.equal(true);
        expect(new one.Bandwidth()).to.be.instanceOf(other.Bandwidth);
      });

      it('resumes with a store of the one what a job of the other has left', async () => {
        const path = join(folder(), `${how}.bin`);
        const content = await writePatterned(path, 50_000);
        const store = one.createFileStore({ directory: join(folder(), how) });
        const upload = { url: server.url, source: path, fragmentBytes: 10_000, store };
        server.addFault({ on: 'fragment', nth: 3, do: 'hang' });
        const stop = new AbortController();
        const first = new one.UploadJob({ ...upload, signal: stop.signal }).start();
        await server.waitForRequest('fragment', 3);
        stop.abort();
        const error = await first.catch((reason) => reason);
        expect(error).to.be.instanceOf(other.BitsAbortError);
        const result = await new other.UploadJob(upload).start();
        expect(result.resumed).to.equal(true);
        expect(await readFile(server.uploads[0]?.path ?? '')).to.deep.equal(content);
      });

      it('has a lock of the one respected by the other', async () => {
        const directory = join(folder(), `locks ${how}`);
        const key = '0'.repeat(32);
        const { lock } = await one.createFileStore({ directory }).lock(key);
        const { holder } = await other.createFileStore({ directory }).lock(key);
        expect(holder).to.include({ pid: process.pid });
        await lock?.release();
      });

      it('uses the connection that a job of the other has left', async () => {
        for (const [index, { UploadJob }] of [one, other].entries()) {
          await new UploadJob({ url: `${server.url}${index}`, source: patterned(1000) }).start();
        }
        expect(server.connections).to.equal(1);
      });

      it('sends no credentials again that a server has refused to the other', async () => {
        const challenge = { 'WWW-Authenticate': 'Basic realm="x"' };
        server.addFault({ on: 'any', times: Infinity, do: { status: 401, headers: challenge } });
        const upload = { url: `${server.url}x`, source: patterned(9) };
        const headers = { Authorization: `Basic ${btoa('u:p')}` };
        for (const { UploadJob } of [one, other]) {
          const error = await new UploadJob({ ...upload, headers }).start().catch((e) => e);
          expect(error).to.include({ code: 'BITS_ERR_AUTH' });
        }
        const shown = server.log.filter(({ headers }) => headers.authorization !== undefined);
        expect(shown).to.have.lengthOf(1);
      });

      it('gives no stream to two uploads', () => {
        const stream = Readable.from([Buffer.from('x')]);
        one.streamSource(stream);
        expect(() => other.streamSource(stream)).to.throw(/already belongs to another upload/);
      });
    });
  }
});
