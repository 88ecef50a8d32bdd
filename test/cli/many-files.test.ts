import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { Spawned } from './spawned.js';

describe('put with many files', () => {
  let directory: string;
  let server: BitsServer;

  const serve = async (options: BitsServerOptions = {}): Promise<void> => {
    server = await createBitsServer(options);
  };

  /** Runs the program in the directory of the files. */
  const put = async (args: readonly string[], stdin?: string) => {
    const program = new Spawned(['put', ...args], {
      cwd: directory,
      state: join(directory, '.state'),
      ...(stdin !== undefined && { stdin }),
    });
    const { code } = await program.ended();
    const { stdout, stderr } = program;
    const urls = stdout.split('\n').filter((line) => line !== '');
    const objects = () => urls.map((line): Record<string, unknown> => JSON.parse(line));
    return { code, stdout, stderr, urls, objects };
  };

  const write = async (...names: string[]): Promise<void> => {
    for (const name of names) await writeFile(join(directory, name), `content of ${name}`);
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-many-'));
  });

  afterEach(async () => {
    await server?.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('uploads four at once, and as many as --transfers says', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `${index}.bin`);
    await write(...names);
    for (const [args, atOnce] of [
      [[], 4],
      [['--transfers=2'], 2],
    ] as const) {
      await serve({ faults: [{ on: 'fragment', times: 99, do: { delayMs: 50 } }] });
      const { code, urls } = await put([...args, ...names, server.url]);
      expect({ code, files: urls.length }).to.deep.equal({ code: 0, files: 12 });
      expect(server.connections).to.equal(atOnce);
      await server.close();
    }
  });

  it('refuses other numbers of transfers', async () => {
    await serve();
    await write('a');
    for (const wrong of ['0', '33', 'many']) {
      const { code, objects } = await put(['--json', '--transfers', wrong, 'a', server.url]);
      expect(code).to.equal(2);
      expect(objects()[0]?.message).to.match(/--transfers takes auto or .* from 1 to 32/);
    }
  });

  it('uploads the rest when some fail, exits with 3, and ends with a summary', async () => {
    await write('a', 'b', 'c');
    await serve();
    await writeFile(join(server.root, 'b'), 'already there');
    const { code, objects, stderr } = await put(['--json', 'a', 'b', 'c', 'no', server.url]);
    expect(code, stderr).to.equal(3);
    const { durationMs, ...summary } = objects().at(-1) ?? {};
    expect(durationMs).to.be.a('number');
    expect(summary).to.deep.equal({
      type: 'summary',
      files: 4,
      succeeded: 2,
      failed: 2,
      unfinished: 0,
      skipped: 0,
      bytes: 24,
      bytesSent: 24,
    });
    const text = await put(['--transfers=auto', 'a', 'b', `${server.url}in/`]);
    expect(text.stderr).to.match(/^a: done.*\nb: done.*\n2 of 2 files stored: 24 B sent in .*\n$/);
  });
});
