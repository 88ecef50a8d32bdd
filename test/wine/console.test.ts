import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { expect } from 'chai';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { useTempDir, writePatterned } from '../support/files.js';
import { onWindows, type Wine } from './wine.js';

const MAIN = 'dist/cli/main.js';

const wine = JSON.parse(process.env.BITS_WINE ?? 'null') as Pick<Wine, 'command' | 'env'> | null;
if (wine === null) throw new Error('npm run test:windows runs these tests');
const { command, env } = wine;

/** The program on a console of Windows, as a person sees it and types into it. */
class OnConsole {
  readonly #process;
  readonly #ended: Promise<unknown[]>;
  #output = '';

  constructor(args: readonly string[]) {
    const words = [...command, MAIN, ...args].map((arg) => `'${arg}'`);
    // Wide enough for every line.
    const line = `stty cols 250 rows 50; exec ${words.join(' ')}`;
    this.#process = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
      env: { ...process.env, ...env, TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 50_000,
      killSignal: 'SIGKILL',
    });
    this.#ended = once(this.#process, 'close');
    this.#process.stdin.on('error', () => {});
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
  }

  /** Without colours and movements of the cursor. */
  get text(): string {
    return stripVTControlCharacters(this.#output);
  }

  pressControlC(): void {
    this.#process.stdin.write('\x03');
  }

  async exitCode(): Promise<unknown> {
    const [code] = await this.#ended;
    return code;
  }
}

describe('the program on a console of Windows', () => {
  let server: BitsServer;
  const folder = useTempDir();
  let file: string;

  beforeEach(async () => {
    server = await createBitsServer();
    file = join(folder.path, 'dump.bin');
    await writePatterned(file, 3_000_000);
  });
  afterEach(() => server.close());

  const put = (state: string, ...more: string[]) =>
    new OnConsole(['put', '--state-dir', onWindows(state), ...more, onWindows(file), server.url]);

  it('draws a bar and ends with a line of the result', async () => {
    const program = put(join(folder.path, 'state'), '--limit-rate=2MB/s');
    expect(await program.exitCode(), program.text).to.equal(0);
    expect(program.text)
      .to.match(/dump\.bin.*\d+ ?%/)
      .and.match(/dump\.bin: done, 2\.9 MiB in /);
    expect(await readFile(join(server.root, 'dump.bin'))).to.deep.equal(await readFile(file));
  });

  it('stops at Ctrl-C with 130, and the command that it prints resumes the upload', async () => {
    const state = join(folder.path, 'state');
    server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
    const stopped = put(state, '--fragment-size=1MiB');
    await server.waitForRequest('fragment', 2);
    stopped.pressControlC();
    expect(await stopped.exitCode(), stopped.text).to.equal(130);
    const id = /bits-upload resume (\S+) --state-dir /.exec(stopped.text)?.[1] ?? '';
    expect(id, stopped.text).to.not.equal('');

    const resumed = new OnConsole(['resume', id, '--state-dir', onWindows(state)]);
    expect(await resumed.exitCode(), resumed.text).to.equal(0);
    expect(await readFile(join(server.root, 'dump.bin'))).to.deep.equal(await readFile(file));
    server.assertNoViolations();
  });

  it('ends at once at the second Ctrl-C', async () => {
    server.addFault({ on: 'fragment', nth: 1, do: 'hang' });
    server.addFault({ on: 'cancel-session', do: 'hang' });
    // Below a file there is no record: what cannot be resumed is cancelled at the first one.
    const program = put(join(file, 'state'));
    await server.waitForRequest('fragment', 1);
    program.pressControlC();
    await server.waitForRequest('cancel-session', 1);
    program.pressControlC();
    expect(await program.exitCode(), program.text).to.equal(130);
  });
});
