import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UploadJob } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { codeBlocks, runCode } from './code-blocks.js';

describe('docs/upload-reply.md', () => {
  it('has a worked example with an application on each side', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bits-upload-test-'));
    const [serverCode = '', clientCode = ''] = await codeBlocks('docs/upload-reply.md');
    const lines: string[] = [];
    const console = { log: (line: string) => lines.push(line) };
    const server = await runCode(`${serverCode}\nreturn server;`, { createBitsServer, console });
    try {
      await writeFile(join(folder, 'orders.csv'), 'a\nb\nc\n');
      const code = clientCode
        .replace("'orders.csv'", JSON.stringify(join(folder, 'orders.csv')))
        .replace("'answer.json'", JSON.stringify(join(folder, 'answer.json')));
      await runCode(code, { UploadJob, readFile, console, serverUrl: lines[0] });
      expect(lines.slice(1)).to.deep.equal([
        'sent; the server is working on it',
        '21 bytes of reply: 3 lines',
      ]);
    } finally {
      await (server as { close(): Promise<void> }).close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
