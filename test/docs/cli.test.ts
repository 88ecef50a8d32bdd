import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { NETWORK_OPTIONS, SECRET_VARIABLES } from '../../src/cli/commands/network-flags.js';
import { variableOf } from '../../src/cli/environment.js';
import { EXIT } from '../../src/cli/exit-codes.js';
import { run } from '../../src/cli/program.js';
import { capturedIo } from '../cli/capture.js';
import { wholeProgram } from '../cli/whole-program.js';

describe('docs/cli.md', () => {
  let page: string;

  before(async () => {
    page = await readFile('docs/cli.md', 'utf8');
  });

  it('has a section and a table for every command, and for no other', async () => {
    const io = capturedIo();
    await run(['--help'], io);
    const [, commands = ''] = /\nCommands:\n([\s\S]*?)\n\n/.exec(io.stdout.text) ?? [];
    const names = [...commands.matchAll(/^ {2}(\w+)/gm)]
      .map(([, name]) => name)
      .filter((name) => name !== 'help');
    const sections = [...page.matchAll(/^## ([a-z]+)$/gm)].map(([, name]) => name);
    expect(sections).to.have.members(names).and.to.have.length.greaterThan(5);
    const program = wholeProgram();
    for (const command of program.commands.filter(({ options }) => options.length > 0)) {
      expect(page).to.contain(`<!-- ${command.name()} -->\n| Option | What |`);
    }
  });

  it('names the variables of secrets and of the network, and none that the program does not read', async () => {
    const { commands } = wholeProgram();
    const ofOptions = commands.flatMap(({ options }) => options.map(variableOf));
    const ofSecrets = SECRET_VARIABLES.map(({ variable }) => variable);
    const named = new Set(page.match(/\bBITS_UPLOAD_[A-Z\d_]*[A-Z\d]/g));
    expect([...ofOptions, ...ofSecrets]).to.include.members([...named]);
    expect([...named]).to.include.members([...ofSecrets, ...NETWORK_OPTIONS.map(variableOf)]);
  });

  it('names every exit code, and no other', () => {
    const codes = [...page.matchAll(/^\| `(\d+)` \|/gm)].map(([, code]) => Number(code));
    expect(codes).to.deep.equal(Object.values(EXIT).sort((a, b) => a - b));
  });
});
