import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { UploadJob } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';

/** The JavaScript blocks of the README, as functions of what they import and where they upload to. */
async function examples(): Promise<string[]> {
  const text = await readFile('README.md', 'utf8');
  return [...text.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code ?? '');
}

const AsyncFunction = (async () => {}).constructor as new (
  ...args: string[]
) => (...args: unknown[]) => Promise<unknown>;

describe('the README', () => {
  it('has an example that uploads a file', async () => {
    const server = await createBitsServer();
    const folder = await mkdtemp(join(process.cwd(), 'node_modules', '.readme-'));
    try {
      const file = join(folder, 'dump.zip');
      await writeFile(file, 'not really a zip');
      const [upload = ''] = await examples();
      const code = upload
        .replace(/^import .*$/m, '')
        .replace("'https://server.example/drop/'", JSON.stringify(server.url))
        .replace("'dump.zip'", JSON.stringify(file));
      const lines: string[] = [];
      await new AsyncFunction('UploadJob', 'console', code)(UploadJob, {
        log: (line: string) => lines.push(line),
      });
      expect(lines.at(-1)).to.equal(`16 bytes are at ${server.url}dump.zip`);
    } finally {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('has an example of a server for tests', async () => {
    const [, testing = ''] = await examples();
    const code = testing.replace(/^import .*$/m, '').replace(
      '// … upload to server.url …',
      `await new UploadJob({
          url: server.url + 'x', source: new Uint8Array(30000), fragmentBytes: 10000, minRetryDelayMs: 0,
        }).result;`,
    );
    await new AsyncFunction('UploadJob', 'createBitsServer', code)(UploadJob, createBitsServer);
  });
});
