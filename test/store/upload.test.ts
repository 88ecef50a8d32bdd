import { chmodSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { UploadJob } from '../../src/job/upload-job.js';
import { createFileStore } from '../../src/store/file.js';
import { uploadKey } from '../../src/store/job-key.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { sha256, temporaryFolder, writePatterned } from '../support/files.js';
import { skipOnWindows } from '../support/skip.js';

const KIB = 1024;

describe('an upload whose file store fails', () => {
  const folder = temporaryFolder();
  let count = 0;
  let directory: string;
  let server: BitsServer;
  let content: Buffer;
  let warnings: { code: string; message: string }[];

  beforeEach(async () => {
    count += 1;
    directory = join(folder(), `state-${count}`);
    warnings = [];
    server = await createBitsServer();
  });
  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  async function upload(fail: () => void = () => {}): Promise<void> {
    const source = join(folder(), `source-${count}`);
    content = await writePatterned(source, 100 * KIB, count);
    const job = new UploadJob({
      url: new URL('file.bin', server.url),
      source,
      fragmentBytes: 10 * KIB,
      store: createFileStore({ directory }),
    });
    job.on('warning', (warning) => warnings.push(warning));
    let failed = false;
    job.on('progress', ({ bytesAcknowledged }) => {
      if (bytesAcknowledged === 0 || failed) return;
      failed = true;
      fail();
    });
    await job.start();
    const uploaded = await readFile(join(server.root, 'file.bin'));
    expect(sha256(uploaded)).to.equal(sha256(content));
  }

  it('goes on when its directory is removed, and keeps its record in a new one', async () => {
    await upload(() => rmSync(directory, { recursive: true }));
    expect(warnings).to.deep.equal([]);
    const left = await readdir(directory);
    expect(left.filter((name) => name.endsWith('.json'))).to.deep.equal([]);
  });

  it('goes on with a warning that names the cause when others may write to its directory', async function () {
    skipOnWindows(this, 'modes');
    await upload(() => chmodSync(directory, 0o777));
    expect(warnings.map(({ code }) => code)).to.deep.equal(['record-not-kept']);
    expect(warnings[0]?.message).to.include(directory).and.to.include('chmod 700');
  });

  it('begins with a warning that names the cause when its directory cannot be used', async () => {
    await writeFile(directory, 'a file');
    await upload();
    expect(warnings.map(({ code }) => code)).to.deep.equal(['store-unusable']);
    expect(warnings[0]?.message).to.include(directory).and.to.include('not a directory');
  });

  it('begins with a warning and a new record when its record is damaged', async () => {
    const source = join(folder(), `source-${count}`);
    const url = new URL('file.bin', server.url);
    const { origin, pathname } = url;
    const key = uploadKey({ url: `${origin}${pathname}`, queryHash: undefined, path: source });
    const name = `${key}.json`;
    await mkdir(directory, { mode: 0o700 });
    await writeFile(join(directory, name), 'damaged', { mode: 0o600 });
    await upload();
    expect(warnings.map(({ code }) => code)).to.deep.equal(['record-unusable']);
    expect(await readdir(directory)).to.have.members(['locks', `${name}.unreadable-1`]);
  });
});
