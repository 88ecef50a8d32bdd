import { execFile, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { createFileStore } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { skip, skipOnWindows } from '../support/skip.js';
import { runCli, stateEnvironment } from './capture.js';
import { MAIN } from './spawned.js';

const execute = promisify(execFile);

const isThere = (shell: string): boolean =>
  spawnSync(shell, ['-c', 'true'], { stdio: 'ignore' }).status === 0;

describe('the completion', () => {
  let directory: string;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-completion-'));
    const bin = join(directory, 'bin');
    await mkdir(bin);
    const script = `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`;
    await writeFile(join(bin, 'bits-upload'), script, { mode: 0o755 });
    env = {
      ...process.env,
      ...stateEnvironment(join(directory, 'state')),
      HOME: directory,
      PATH: `${bin}:${process.env.PATH}`,
    };
    await mkdir(join(directory, 'a folder'));
    await writeFile(join(directory, 'a file.bin'), '');
    for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
      const { code, stdout } = await runCli(['completion', shell]);
      expect(code).to.equal(0);
      await writeFile(join(directory, shell), stdout);
    }
  });

  after(() => rm(directory, { recursive: true, force: true }));

  /** Skips where a shell is missing, but not in CI, which installs it. */
  const needs = (context: Mocha.Context, shell: string): void => {
    skipOnWindows(context, 'shell');
    if (!process.env.CI && !isThere(shell)) {
      skip(context, `${shell} is not installed`);
    }
  };

  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

  /** What bash offers for the last word. */
  const inBash = async (...words: string[]): Promise<string[]> => {
    const script =
      'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bits_upload; ' +
      `printf '%s\\n' "\${COMPREPLY[@]}"`;
    const args = ['-c', script, 'bash', join(directory, 'bash'), 'bits-upload', ...words];
    return lines((await execute('bash', args, { cwd: directory, env })).stdout);
  };

  /** What fish offers at the end of a line, without descriptions. */
  const inFish = async (line: string): Promise<string[]> => {
    const script = `source ${join(directory, 'fish')}; complete -C '${line}'`;
    const { stdout } = await execute('fish', ['-c', script], { cwd: directory, env });
    return lines(stdout).map((found) => found.split('\t')[0] ?? '');
  };

  /** Presses the tabulator in a zsh with a terminal of its own. */
  const inZsh = async (line: string): Promise<string> => {
    const script = `
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z "PS1=; PS2=; cd '${directory}'; autoload -U compinit; compinit -D -u; source ./zsh"
        zpty -w z "bindkey '^I' menu-complete; zle -N show; show() { print -r -- \\"<<\\$BUFFER>>\\"; zle kill-buffer }; bindkey '^X' show; print rea''dy"
        zpty -r -m z _ '*ready*'
        zpty -n -w z $'${line}\\t\\x18'
        zpty -r -m z found '*<<*>>*'
        print -r -- "$found"
        zpty -d z`;
    const { stdout } = await execute('zsh', ['-f', '-c', script], { timeout: 30_000, env });
    return /<<bits-upload (.*)>>/.exec(stdout)?.[1]?.trim() ?? stdout;
  };

  /** An upload that its server has refused in the middle; its file has a hostile name. */
  const leaveUnfinished = async (): Promise<string> => {
    const state = join(directory, 'state');
    const file = join(directory, 'x$(touch sh)\n:y');
    await writeFile(file, Buffer.alloc(100_000));
    const server = await createBitsServer({
      faults: [{ on: 'fragment', nth: 2, do: { status: 503 } }],
    });
    const args = ['put', '--retries=0', '--fragment-size=10KiB', file, `${server.url}x`];
    await runCli(args, { state });
    await server.close();
    const [record] = (await createFileStore({ directory: state }).list()).records;
    return record?.id ?? expect.fail('no record was left');
  };

  it('in bash knows commands, options, values, files and directories', async function () {
    needs(this, 'bash');
    expect(await inBash('')).to.include.members(['put', 'resume', 'completion', 'help']);
    expect(await inBash('pu')).to.deep.equal(['put']);
    expect(await inBash('--v')).to.deep.equal(['--version']);
    expect(await inBash('put', '--reply-f')).to.deep.equal(['--reply-file']);
    expect(await inBash('jobs', '--tr')).to.deep.equal(['--trust-state-dir']);
    expect(await inBash('put', '--on-uncertain', '')).to.deep.equal(['resend', 'restart']);
    expect(await inBash('put', '--on-uncertain', '=', 'res')).to.have.length(2);
    expect(await inBash('put', '--priority', '=')).to.include('foreground');
    expect(await inBash('put', 'x', 'a')).to.have.members(['a file.bin', 'a folder']);
    expect(await inBash('put', '--state-dir', 'a')).to.deep.equal(['a folder']);
    expect(await inBash('put', '-E', 'a')).to.have.members(['a file.bin', 'a folder']);
    expect(await inBash('put', '--timeout', '')).to.deep.equal([]);
    expect(await inBash('completion', 'z')).to.deep.equal(['zsh']);
    expect(await inBash('help', 'ser')).to.deep.equal(['serve']);
  });

  it('in bash offers a name as it is, though it is a pattern or a command', async function () {
    skipOnWindows(this, 'names');
    needs(this, 'bash');
    const names = ['q*', 'q$(touch sh)', 'qa'];
    for (const name of names) await writeFile(join(directory, name), '');
    expect(await inBash('put', 'q')).to.have.members(names);
  });

  it('in fish knows commands, options, values, files and directories', async function () {
    needs(this, 'fish');
    expect(await inFish('bits-upload pu')).to.deep.equal(['put']);
    expect(await inFish('bits-upload put --reply-f')).to.deep.equal(['--reply-file']);
    expect(await inFish('bits-upload put --on-uncertain ')).to.have.members(['resend', 'restart']);
    expect(await inFish('bits-upload put --state-dir a')).to.deep.equal(['a folder/']);
    expect(await inFish('bits-upload put a')).to.have.members(['a file.bin', 'a folder/']);
    expect(await inFish('bits-upload jobs a')).to.deep.equal([]);
  });

  it('in zsh knows commands, options, values, files and directories', async function () {
    needs(this, 'zsh');
    expect(await inZsh('bits-upload pru')).to.equal('prune');
    expect(await inZsh('bits-upload put --reply-f')).to.match(/^put --reply-file/);
    expect(await inZsh('bits-upload put --priority fore')).to.equal('put --priority foreground');
    expect(await inZsh('bits-upload put --state-dir a')).to.equal('put --state-dir a\\ folder/');
    expect(await inZsh('bits-upload put a\\\\ fi')).to.equal('put a\\ file.bin');
  });

  it('offers the ids of unfinished uploads where they are given', async function () {
    for (const shell of ['bash', 'zsh', 'fish']) needs(this, shell);
    expect(await inBash('resume', '')).to.deep.equal([]);
    expect(await inFish('bits-upload cancel ')).to.deep.equal([]);
    const id = await leaveUnfinished();
    for (const command of ['resume', 'cancel']) {
      expect(await inBash(command, '')).to.deep.equal([id]);
      expect(await inBash(command, 'no')).to.deep.equal([]);
      expect(await inFish(`bits-upload ${command} ${id.slice(0, 4)}`)).to.deep.equal([id]);
      expect(await inZsh(`bits-upload ${command} `)).to.equal(`${command} ${id}`);
    }
    expect(await inBash('resume', '--a')).to.include('--all');
    expect(await readdir(directory)).to.not.include('sh');
  });

  it('names the shells that it knows', async () => {
    for (const args of [['completion'], ['completion', 'cmd']]) {
      const { code, stderr } = await runCli(args);
      expect(code).to.equal(2);
      if (args.length > 1) expect(stderr).to.contain('bash, zsh, fish, powershell');
    }
  });
});
