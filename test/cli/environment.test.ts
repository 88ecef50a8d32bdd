import { expect } from 'chai';
import { Command } from 'commander';
import { SECRET_VARIABLES } from '../../src/cli/commands/network-flags.js';
import { readEnvironment, unknownVariables, variableOf } from '../../src/cli/environment.js';
import { createBitsServer } from '../../src/testing/index.js';
import { runCli } from './capture.js';
import { wholeProgram } from './whole-program.js';

const runWith = (args: readonly string[], env: Readonly<Record<string, string>>) =>
  runCli(args, { stdin: 'content', env });

describe('the environment', () => {
  it('can set every option of every command', async () => {
    const { commands } = wholeProgram();
    for (const command of commands) {
      for (const option of command.options) {
        const isSwitch = option.isBoolean() || option.negate;
        const text = option.argChoices?.[0] ?? (isSwitch ? '1' : '42');
        readEnvironment(command, { [variableOf(option)]: text });
        const source = command.getOptionValueSource(option.attributeName());
        // Those of the network have tests of their own.
        if (source !== undefined && source !== 'default') expect(source).to.equal('env');
      }
      const names = command.options.map(({ long }) => long);
      if (names.includes('--json')) expect(command.opts().json).to.equal(true);
      if (names.includes('--state-dir')) expect(command.opts().stateDir).to.equal('42');
      if (names.includes('--no-resume')) expect(command.opts().resume).to.equal(false);
      if (names.includes('--header')) expect(command.opts().header).to.deep.equal(['42']);
      if (names.includes('--verbose')) expect(command.opts().verbose).to.equal(1);
    }
  });

  it('gives way to the command line', () => {
    const command = new Command().option('--a <n>').option('--b <n>', '', '1').option('--c <n>');
    command.parse(['--a', '1', '--b', '1'], { from: 'user' });
    readEnvironment(command, { BITS_UPLOAD_A: '2', BITS_UPLOAD_B: '2', BITS_UPLOAD_C: '' });
    expect(command.opts()).to.deep.equal({ a: '1', b: '1' });
  });

  it('has one value a line for an option that can be given several times, without empty lines', () => {
    const another = (value: string, others: readonly string[] = []) => [...others, value];
    const command = new Command().option('--list <x>', '', another).parse([], { from: 'user' });
    readEnvironment(command, { BITS_UPLOAD_LIST: 'a, b\r\nc\n\n' });
    expect(command.opts()).to.deep.equal({ list: ['a, b', 'c'] });
  });

  for (const [text, value] of [
    ['1', 1],
    ['true', 1],
    ['2', 2],
    ['0', undefined],
    ['off', undefined],
  ] as const) {
    it(`counts BITS_UPLOAD_VERBOSE=${text} as ${value}`, () => {
      const command = new Command()
        .option('-v, --verbose', '', (_, times: number | undefined) => (times ?? 0) + 1)
        .parse([], { from: 'user' });
      readEnvironment(command, { BITS_UPLOAD_VERBOSE: text });
      expect(command.opts().verbose).to.equal(value);
    });
  }

  for (const [variable, text, message] of [
    ['BITS_UPLOAD_TIMEOUT', '3', /: BITS_UPLOAD_TIMEOUT takes a duration/],
    ['BITS_UPLOAD_QUIET', 's3cret', /: BITS_UPLOAD_QUIET in the environment must be 1 or 0/],
    ['BITS_UPLOAD_PROXY', 'gopher://me:s3cret@h', /BITS_UPLOAD_PROXY/],
    ['BITS_UPLOAD_HEADER', 's3cret', /: BITS_UPLOAD_HEADER must have the form/],
  ] as const) {
    it(`is named when the value of ${variable} is wrong, without a secret`, async () => {
      const { code, stderr } = await runWith(['put', '-', 'http://h/x'], { [variable]: text });
      expect({ code }).to.deep.equal({ code: 2 });
      expect(stderr).to.match(message).and.not.to.contain('s3cret');
    });
  }

  it('is not named when the wrong value is that of the command line', async () => {
    const args = ['put', '-', 'http://h/x', '--timeout=3'];
    const { stderr } = await runWith(args, { BITS_UPLOAD_TIMEOUT: '3s' });
    expect(stderr).to.contain(': --timeout takes a duration');
  });

  describe('with variables that no command knows', () => {
    const env = {
      BITS_UPLOAD_STATEDIR: 's3cret',
      BITS_UPLOADS: '1',
      // On Windows it is the same as in capital letters.
      ...(process.platform !== 'win32' && { bits_upload_x: '1' }),
    };
    const message =
      'unknown variables of the environment are ignored: ' +
      'BITS_UPLOAD_STATEDIR (did you mean BITS_UPLOAD_STATE_DIR?)';

    it('has a warning that names them and the most similar ones, but no value', async () => {
      const one = await runWith(['prune'], env);
      expect(one.stderr).to.equal(`bits-upload: warning: ${message}\n`);
      const two = await runWith(['prune'], { ...env, BITS_UPLOAD_PASWORD: 's3cret' });
      expect(two.stderr).to.equal(
        `bits-upload: warning: ${message}, BITS_UPLOAD_PASWORD (did you mean BITS_UPLOAD_PASSWORD?)\n`,
      );
    });

    it('has the warning as an event with --json, and none with --quiet', async () => {
      const { objects, stderr } = await runWith(['jobs', '--json'], env);
      const expected = { type: 'warning', file: null, code: 'unknown-variable', message };
      expect(objects()[0]).to.deep.equal(expected);
      expect(stderr).to.equal('');
      for (const [args, more] of [
        [['prune', '--quiet'], {}],
        [['prune'], { BITS_UPLOAD_QUIET: '1' }],
        [['prune', '--quiet', '--json'], {}],
      ] as const) {
        expect(await runWith(args, { ...env, ...more })).to.include({ stdout: '', stderr: '' });
      }
    });

    it('has no warning of those that other commands, secrets and the network have', async () => {
      const known = wholeProgram().commands.flatMap(({ options }) =>
        options.filter(({ hidden }) => !hidden).map(variableOf),
      );
      const secrets = SECRET_VARIABLES.map(({ variable }) => variable);
      const empty = { BITS_UPLOAD_STATEDIR: '' };
      const all = Object.fromEntries([...known, ...secrets].map((name) => [name, 'x']));
      expect(unknownVariables(wholeProgram(), { ...all, ...empty })).to.equal(undefined);
      expect(known).to.include.members([
        'BITS_UPLOAD_ROOT',
        'BITS_UPLOAD_REDIS',
        'BITS_UPLOAD_CERT',
      ]);
    });
  });

  it('turns on --json for everything, wrong command lines too', async () => {
    const server = await createBitsServer();
    try {
      const env = { BITS_UPLOAD_JSON: 'true' };
      const { stdout } = await runWith(['put', '-', `${server.url}x`], env);
      expect(stdout).to.contain('"type":"result"');
      expect((await runWith(['put'], env)).stdout).to.contain('"code":"BITS_ERR_ARGUMENT"');
    } finally {
      await server.close();
    }
  });
});
