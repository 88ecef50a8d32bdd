import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { expect } from 'chai';
import { build } from 'esbuild';
import { publint } from 'publint';
import { entryFields, SUBPATHS } from '../../scripts/subpaths.js';
import { codeBlocks } from '../docs/code-blocks.js';
import { npmInstall, pack } from '../support/package.js';

const run = promisify(execFile);
const root = process.cwd();

const USE = `import { UploadJob } from 'bits-upload';
  import { createBitsServer } from 'bits-upload/testing';
  const server = await createBitsServer();
  const { bytes } = await new UploadJob({ url: server.url + 'x', source: new Uint8Array(70000) }).start();
  server.assertNoViolations();
  await server.close();
  console.log(bytes);`;

async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = files.map(
    async ({ parentPath, name }) => (await stat(join(parentPath, name))).size,
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

describe('the packed package', function () {
  this.timeout(120_000);
  let folder: string;
  let tarball: string;
  let files: readonly string[];

  const node = (file: string) => run(process.execPath, [file], { cwd: folder });

  const typeCheck = (file: string, ...more: string[]) => {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const types = join(root, 'node_modules', '@types');
    const options = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--module',
      'NodeNext',
      '--target',
      'ES2022',
      '--typeRoots',
      types,
      '--types',
      'node',
    ];
    return run(process.execPath, [tsc, ...options, ...more, file], { cwd: folder });
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bits-upload-package-'));
    ({ tarball, files } = await pack(folder));
    await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "commonjs" }');
    await npmInstall(folder, '--ignore-scripts', tarball);
  });

  after(() => rm(folder, { recursive: true, force: true }));

  it('holds the build, the documents and the licence, and nothing else', () => {
    const places = new Set(files.map((path) => path.split('/')[0]));
    expect([...places].sort()).to.deep.equal(
      [
        ...['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'],
        ...['api', 'dist', 'docs', 'examples'],
      ].sort(),
    );
    const unwanted = files.filter(
      (path) => !/\.(?:[cm]?js|d\.c?ts|md|txt)$|^[^.]+$|(?:package|schema)\.json$/.test(path),
    );
    expect(unwanted).to.deep.equal([]);
  });

  it('uploads when it is imported', async () => {
    await writeFile(join(folder, 'use.mjs'), USE);
    expect((await node('use.mjs')).stdout.trim()).to.equal('70000');
  });

  it('uploads from a bundle with the undici in it, whichever the app has beside it', async () => {
    const bundle = join(folder, 'bundle', 'app.mjs');
    await build({
      stdin: { contents: USE, resolveDir: folder },
      outfile: bundle,
      bundle: true,
      format: 'esm',
      platform: 'node',
      banner: {
        js: `import { createRequire as r } from 'node:module'; const require = r(import.meta.url);`,
      },
    });
    const other = join(folder, 'bundle', 'node_modules', 'undici');
    for (const place of ['lib/dispatcher/pool.js', 'lib/core/connect.js']) {
      await mkdir(join(other, place, '..'), { recursive: true });
      await writeFile(
        join(other, place),
        'module.exports = function other() { process.exit(6); };',
      );
    }
    await writeFile(join(other, 'package.json'), '{ "name": "undici", "version": "6.28.1" }');
    expect((await node(bundle)).stdout.trim()).to.equal('70000');
  });

  it('fails at once, and says what is missing, from an ES module without a require', async () => {
    const bundle = join(folder, 'no-require', 'app.mjs');
    const other = join(folder, 'no-require', 'node_modules', 'undici');
    await mkdir(other, { recursive: true });
    await writeFile(join(other, 'package.json'), '{ "name": "undici", "version": "6.28.1" }');
    await build({
      stdin: { contents: USE, resolveDir: folder },
      outfile: bundle,
      bundle: true,
      format: 'esm',
      platform: 'node',
    });
    const failed = await node(bundle).catch((error) => error);
    expect(failed.stderr)
      .to.match(/BITS_ERR_TRANSPORT/)
      .and.match(/needs a `require`/);
  });

  it('has webpack and vite leave the optional kerberos to Node', async () => {
    const built = files.filter((path) => /^dist\/.*\.js$/.test(path));
    const texts = await Promise.all(built.map((path) => readFile(join(root, path), 'utf8')));
    const loading = texts.filter(
      (text) => text.includes("'kerberos'") || text.includes('"kerberos"'),
    );
    expect(loading).to.have.length(1);
    expect(loading[0]).to.match(
      /import\(\s*\/\* webpackIgnore: true \*\/\s*\/\* @vite-ignore \*\/\s*name\s*\)/,
    );
  });

  it('uploads when it is required, also where `require` loads no ES modules', async () => {
    const required = USE.replace(/import (.*) from (.*);/g, 'const $1 = require($2);');
    await writeFile(join(folder, 'use.cjs'), `(async () => { ${required} })();`);
    const flag = process.allowedNodeEnvironmentFlags.has('--experimental-require-module')
      ? ['--no-experimental-require-module']
      : [];
    const { stdout } = await run(process.execPath, [...flag, 'use.cjs'], { cwd: folder });
    expect(stdout.trim()).to.equal('70000');
  });

  it('gives both ways the same names, by every subpath that package.json has', async () => {
    const { exports, ...fields } = JSON.parse(await readFile('package.json', 'utf8'));
    expect({ exports, ...fields }, 'npm run subpaths').to.deep.include(entryFields());
    // Optional peers, which the user installs.
    const peers = ['bullmq', 'ioredis'].map((name) => join('node_modules', name));
    for (const peer of peers) await symlink(resolve(peer), join(folder, peer));
    const paths = Object.keys(SUBPATHS).map((path) => path.replace('.', 'bits-upload'));
    await writeFile(
      join(folder, 'names.mjs'),
      `import { createRequire } from 'node:module';
       const require = createRequire(import.meta.url);
       for (const path of ${JSON.stringify(paths)}) {
         const names = [await import(path), require(path)].map((all) => Object.keys(all).sort());
         console.log(path, names[0].length, names.join() === [names[0], names[0]].join());
       }
       require('bits-upload/package.json');`,
    );
    const { stdout } = await node('names.mjs').finally(() =>
      Promise.all(peers.map((peer) => rm(join(folder, peer)))),
    );
    for (const [index, line] of stdout.trim().split('\n').entries()) {
      // It has types only.
      const count = paths[index] === 'bits-upload/cli-events' ? '0' : '[1-9]\\d*';
      expect(line).to.match(new RegExp(`^${paths[index]} ${count} true$`));
    }
  });

  it('pleases publint, and TypeScript with every kind of resolution', async () => {
    const data = new Uint8Array(await readFile(tarball));
    const { messages } = await publint({ pack: { tarball: data.buffer }, strict: true });
    expect(messages).to.deep.equal([]);
    const analysis = await checkPackage(createPackageFromTarballData(data));
    if (!analysis.types) throw new Error('there are no types');
    const { entrypoints, problems } = analysis;
    expect(problems).to.deep.equal([]);
    expect(Object.keys(entrypoints)).to.have.members([...Object.keys(SUBPATHS), './package.json']);
  });

  it('takes the space, and as many packages, as docs/dependencies.md says', async () => {
    const page = await readFile('docs/dependencies.md', 'utf8');
    const [, packages, megabytes] = /installs (\d+) packages of ([\d.]+) MB/.exec(page) ?? [];
    const lock = await readFile(join(folder, 'node_modules', '.package-lock.json'), 'utf8');
    const installed = Object.keys(JSON.parse(lock).packages).length;
    const bytes = await bytesIn(join(folder, 'node_modules'));
    expect(String(installed)).to.equal(packages);
    expect(bytes / 1e6).to.be.closeTo(Number(megabytes), 0.3);
    expect(installed).to.be.below(14);
    expect(bytes).to.be.below(6e6);
  });

  it('has one class of each error and job, by its own name, whatever is imported', async () => {
    await writeFile(
      join(folder, 'classes.mjs'),
      `import { BitsArgumentError, UploadJob } from 'bits-upload';
       import { createBitsServer } from 'bits-upload/testing';
       const faults = [{ on: 'fragment', nth: 0, do: 'drop' }];
       const error = await createBitsServer({ faults }).catch((thrown) => thrown);
       console.log(error instanceof BitsArgumentError, BitsArgumentError.name, UploadJob.name);`,
    );
    const { stdout } = await node('classes.mjs');
    expect(stdout.trim()).to.equal('true BitsArgumentError UploadJob');
  });

  it('runs the contract for stores', async () => {
    await writeFile(
      join(folder, 'contract.mjs'),
      `import { createMemoryStore } from 'bits-upload';
       import { jobStoreContract } from 'bits-upload/store-contract';
       for (const { run } of jobStoreContract({ create: createMemoryStore })) await run();
       console.log('kept');`,
    );
    expect((await node('contract.mjs')).stdout.trim()).to.equal('kept');
  });

  it('has types for those who import it, and for the examples of the diagnostics and the events', async () => {
    await writeFile(
      join(folder, 'types.mts'),
      `import { UploadJob, type UploadResult, type UploadProgress, isBitsError } from 'bits-upload';
       import { createBitsServer, type Fault } from 'bits-upload/testing';
       const job = new UploadJob({ url: 'http://x/', source: 'a', reply: { to: 'b' } });
       export const result: Promise<UploadResult> = job.start();
       export const progress: AsyncIterable<UploadProgress> = job.progress;
       job.on('retry', ({ attempt, delayMs, error }) => [attempt, delayMs, error.code]);
       // @ts-expect-error: there is no such event
       job.on('retries', () => {});
       // @ts-expect-error: a source is needed
       new UploadJob({ url: 'http://x/' });
       export const fault: Fault = { on: 'fragment', nth: 3, do: 'reset-after-commit' };
       export const server = createBitsServer({ faults: [fault] });
       export const code = (error: unknown) => (isBitsError(error) ? error.code : undefined);`,
    );
    const [subscribing = ''] = await codeBlocks('docs/diagnostics.md', 'ts');
    await writeFile(join(folder, 'diagnostics.mts'), subscribing);
    const [readingEvents = ''] = await codeBlocks('docs/cli.md', 'ts');
    await writeFile(join(folder, 'events.mts'), readingEvents);
    await typeCheck('types.mts', 'diagnostics.mts', 'events.mts');
  });

  it('takes the blobs and streams of lib.dom and of Node', async () => {
    const uses = `
       const take = (source: SourceInput) => new UploadJob({ url: 'http://x/', source });
       take(new Blob(['x']));
       take(new File(['x'], 'name'));
       take(await openAsBlob('x'));
       take(new Blob(['x']).stream());
       take((await fetch('http://x/')).body!);
       // @ts-expect-error: these are no bytes
       take(new ReadableStream<string>());
       // @ts-expect-error: nothing to read
       take({});`;
    const imports = `import { UploadJob, type SourceInput } from 'bits-upload';
       import { openAsBlob } from 'node:fs';`;
    await writeFile(join(folder, 'dom.mts'), imports + uses);
    await writeFile(
      join(folder, 'node.mts'),
      `${imports}
       import { Blob, File } from 'node:buffer';
       import { ReadableStream } from 'node:stream/web';
       ${uses}`,
    );
    await Promise.all([
      typeCheck('dom.mts', '--lib', 'ES2022,DOM', '--skipLibCheck'),
      typeCheck('node.mts', '--lib', 'ES2022'),
    ]);
  });

  it('has a command line', async () => {
    const bin = join(folder, 'node_modules', '.bin', 'bits-upload');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const { stdout } = await run(bin, ['--version'], { shell: process.platform === 'win32' });
    expect(stdout.trim()).to.equal(version);
  });
});
