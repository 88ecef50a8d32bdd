import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UploadJob } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { codeBlocks, runCode } from './code-blocks.js';

describe('the README', () => {
  it('has an example that uploads a file', async () => {
    const server = await createBitsServer();
    const folder = await mkdtemp(join(tmpdir(), 'bits-upload-test-'));
    try {
      const file = join(folder, 'dump.zip');
      await writeFile(file, 'not really a zip');
      const [upload = ''] = await codeBlocks('README.md');
      const code = upload
        .replace("'https://server.example/drop/'", JSON.stringify(server.url))
        .replace("'dump.zip'", JSON.stringify(file));
      const lines: string[] = [];
      await runCode(code, { UploadJob, console: { log: (line: string) => lines.push(line) } });
      expect(lines.at(-1)).to.equal(`16 bytes are at ${server.url}dump.zip`);
    } finally {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('has an example of a server for tests', async () => {
    const [, testing = ''] = await codeBlocks('README.md');
    const code = testing.replace(/^import .*$/m, '').replace(
      '// … upload to server.url …',
      `await new UploadJob({
          url: server.url + 'x', source: new Uint8Array(30000), fragmentBytes: 10000, retry: { minDelayMs: 0 },
        }).start();`,
    );
    await runCode(code, { UploadJob, createBitsServer });
  });
});
