import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { folderUntilExit, writePatterned } from '../support/files.js';
import { npm, pack, QUIETLY } from '../support/package.js';

const exec = promisify(execFile);

const FRAGMENT_BYTES = 64 * 1024;
const FILE_BYTES = 5 * FRAGMENT_BYTES + 1234;

/** An upload that can be resumed, as an ES module and as CommonJS. */
export const UPLOAD = `
async function upload([url, source, directory]) {
  const store = createFileStore({ directory });
  const job = new UploadJob({ url, source, fragmentBytes: ${FRAGMENT_BYTES}, store });
  const { resumed, bytesSent } = await job.start();
  return JSON.stringify({ resumed, bytesSent });
}`;
export const ES_MODULE = `import { createFileStore, UploadJob } from 'bits-upload';
${UPLOAD}
upload(process.argv.slice(2)).then(console.log);`;
export const COMMON_JS = `const { createFileStore, UploadJob } = require('bits-upload');
${UPLOAD}
upload(process.argv.slice(2)).then(console.log);`;

/** What the program of a test uploads; appended to its command. */
export interface Task {
  readonly url: string;
  readonly source: string;
  readonly directory: string;
}

/** As the programs above take it. */
export const asArguments = ({ url, source, directory }: Task) => [url, source, directory];

/** As the command line takes it. */
export const asPut = ({ url, source, directory }: Task) => {
  const size = ['--fragment-size', String(FRAGMENT_BYTES)];
  return ['put', source, url, ...size, '--state-dir', directory, '--json'];
};

/** A suite of the package in other people's projects, whose installation takes its time. */
export function describePackage(title: string, suite: () => void): void {
  describe(title, function () {
    this.timeout(300_000);
    before(function () {
      if (process.platform === 'win32') this.skip();
    });
    suite();
  });
}

let tarball: Promise<string> | undefined;

async function packOnce(): Promise<string> {
  // One process runs several files of tests, and each may be the last.
  return (await pack(folderUntilExit())).tarball;
}

/** An empty project in a folder of its own, which is gone after the suite. */
export class Project {
  readonly folder: string;
  readonly tarball: string;

  private constructor(folder: string, tarball: string) {
    this.folder = folder;
    this.tarball = tarball;
  }

  /** @param manifest more fields of its package.json */
  static async create(manifest: object = {}): Promise<Project> {
    tarball ??= packOnce();
    // Outside of this checkout, whose packages must not be found.
    const folder = await mkdtemp(join(tmpdir(), 'bits-upload-consumer-'));
    after(() => rm(folder, { recursive: true, force: true }));
    const project = new Project(folder, await tarball);
    await project.write('package.json', JSON.stringify({ private: true, ...manifest }));
    return project;
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  async write(name: string, text: string): Promise<string> {
    await mkdir(dirname(this.path(name)), { recursive: true });
    await writeFile(this.path(name), text);
    return this.path(name);
  }

  /**
   * Installs the tarball and others with npm, scripts included.
   *
   * The suite is skipped when the registry cannot be reached, but not in CI.
   */
  async install(suite: Mocha.Context, ...packages: string[]): Promise<void> {
    await this.fetch(suite, npm, ['install', ...QUIETLY, this.tarball, ...packages]);
  }

  /** Runs a command that needs the registry. */
  async fetch(suite: Mocha.Context, command: string, args: readonly string[]): Promise<string> {
    try {
      return await this.run(command, args);
    } catch (error) {
      if (process.env.CI || !/E(?:NOTFOUND|AI_AGAIN|CONNREFUSED|TIMEDOUT)/.test(String(error))) {
        throw error;
      }
      console.log('      The registry cannot be reached: connect to the network.');
      return suite.skip();
    }
  }

  /** @returns what it prints on both outputs */
  async run(command: string, args: readonly string[]): Promise<string> {
    try {
      const { stdout, stderr } = await exec(command, args, { cwd: this.folder });
      return stdout + stderr;
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      throw new Error(`${String(error)}\n${stdout}\n${stderr}`);
    }
  }
}

/**
 * Has a program upload a file, kills it in the middle, runs it again, and expects it to send the rest
 * alone.
 *
 * @param command to which the task is appended
 */
export async function expectResume(
  project: Project,
  command: readonly string[],
  args: (task: Task) => string[] = asArguments,
): Promise<void> {
  const folder = await mkdtemp(project.path('task-'));
  const source = join(folder, 'file.bin');
  const content = await writePatterned(source, FILE_BYTES);
  const server = await createBitsServer({ faults: [{ on: 'fragment', nth: 3, do: 'hang' }] });
  try {
    const directory = join(folder, 'state');
    const task = { url: `${server.url}file.bin`, source, directory };
    const [program = '', ...rest] = [...command, ...args(task)];
    const start = () =>
      spawn(program, rest, {
        cwd: project.folder,
        env: { ...process.env, TASK: JSON.stringify(asArguments(task)) },
        // A group of its own: package managers start the program as their child.
        detached: true,
      });
    const first = outcomeOf(start());
    const early = await Promise.race([server.waitForRequest('fragment', 3), first.ended]);
    if ('output' in early) throw new Error(early.output);
    process.kill(-first.pid, 'SIGKILL');
    const killed = await first.ended;
    expect(server.log.at(-1), killed.output).to.include({ packet: 'fragment', outcome: 'hanging' });
    const second = await outcomeOf(start()).ended;
    expect(second.code, second.output).to.equal(0);
    const result = second.output.match(/^\{(?=.*"resumed":).*"bytesSent":.*\}$/gm)?.at(-1) ?? '{}';
    const { resumed, bytesSent } = JSON.parse(result);
    expect({ resumed }, second.output).to.deep.equal({ resumed: true });
    expect(bytesSent).to.be.within(1, FILE_BYTES - FRAGMENT_BYTES);
    await expectWhole(server, content, directory);
  } finally {
    await server.close();
  }
}

async function expectWhole(server: BitsServer, content: Buffer, directory: string): Promise<void> {
  server.assertNoViolations();
  expect(server.uploads).to.have.lengthOf(1);
  const stored = await readFile(server.uploads[0]?.path ?? '');
  expect(stored.equals(content), 'the file is the same').to.equal(true);
  const left = await readdir(directory, { recursive: true });
  expect(left.filter((name) => name.endsWith('.json'))).to.deep.equal([]);
}

function outcomeOf(child: ReturnType<typeof spawn>) {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const ended = new Promise<{ code: number | null; output: string }>((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, output }));
  });
  return { pid: child.pid ?? 0, ended };
}
