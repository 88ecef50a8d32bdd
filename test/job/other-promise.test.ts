import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe("in an app that has put a Promise of its own in place of the engine's, as zone.js does", () => {
  it('every kind of source is uploaded, whole and in pieces', async () => {
    const script = `
      class Other {
        #promise;
        constructor(executor) { this.#promise = new Engine(executor); }
        then(...next) { return wrapped(this.#promise.then(...next)); }
        catch(next) { return this.then(undefined, next); }
        finally(next) { return wrapped(this.#promise.finally(next)); }
      }
      const Engine = Promise;
      const wrapped = (promise) => new Other((resolve, reject) => promise.then(resolve, reject));
      for (const name of ['resolve', 'reject', 'all', 'race', 'any', 'allSettled'])
        Other[name] = (value) => wrapped(Engine[name](value));
      globalThis.Promise = Other;
      const { readFileSync } = await import('node:fs');
      const { Readable } = await import('node:stream');
      const { UploadJob } = await import('./src/job/upload-job.ts');
      const { createBitsServer } = await import('./src/testing/bits-server.ts');
      const server = await createBitsServer({ allowOverwrite: true });
      const path = 'package-lock.json';
      const content = readFileSync(path);
      const sources = [() => path, () => content, () => new Blob([content]), () => Readable.from([content])];
      for (const source of sources) for (const fragmentBytes of [undefined, 7000, 7000]) {
        await new UploadJob({ url: server.url + 'x', source: source(), fragmentBytes }).start();
        console.log(readFileSync(server.root + '/x').equals(content));
      }
      await server.close();`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { cwd: new URL('../..', import.meta.url) },
    );
    expect(stdout).to.equal('true\n'.repeat(12));
  });
});
