import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { EXIT } from '../../src/cli/exit-codes.js';
import { run } from '../../src/cli/program.js';
import { capturedIo } from '../cli/capture.js';

describe('docs/cli.md', () => {
  let page: string;
  let source: string;

  before(async () => {
    page = await readFile('docs/cli.md', 'utf8');
    const files = await readdir('src/cli', { recursive: true });
    const texts = await Promise.all(
      files
        .filter((name) => name.endsWith('.ts'))
        .map((name) => readFile(join('src/cli', name), 'utf8')),
    );
    source = texts.join('\n');
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
    for (const name of names) expect(page).to.contain(`<!-- ${name} -->\n| Option | What |`);
  });

  it('names every variable of the environment that the program reads, and no other', () => {
    const named = (text: string) =>
      [...new Set(text.match(/\bBITS_UPLOAD_[A-Z\d_]*[A-Z\d]/g))].sort();
    expect(named(page)).to.deep.equal(named(source));
    expect(named(page)).to.have.length.greaterThan(20);
  });

  it('names every exit code, and no other', () => {
    const codes = [...page.matchAll(/^\| `(\d+)` \|/gm)].map(([, code]) => Number(code));
    expect(codes).to.deep.equal(Object.values(EXIT).sort((a, b) => a - b));
  });
});
