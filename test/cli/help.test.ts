import { expect } from 'chai';
import { runCli } from './capture.js';
import { wholeProgram } from './whole-program.js';

const helpOf = async (command: string): Promise<string[]> =>
  (await runCli([command, '--help'])).stdout.split('\n');

describe('the help', () => {
  const { commands } = wholeProgram();

  it('of put tells most people enough on the first screen', async () => {
    const screen = (await helpOf('put')).slice(0, 24).join('\n');
    expect(screen).to.match(/Usage: .*PATH… URL\n[\s\S]*Examples:\n[\s\S]*Options:\n/);
    for (const option of ['--user', '--transfers', '--json', '--quiet', '--verbose', '--help']) {
      expect(screen).to.contain(option);
    }
  });

  it('of every command has examples before its options, and fits into 80 columns', async () => {
    for (const command of commands) {
      const lines = await helpOf(command.name());
      const [examples, options] = ['Examples:', 'Options:'].map((title) => lines.indexOf(title));
      expect(examples, command.name()).to.be.within(1, options ?? 0);
      expect(lines.filter((line) => line.length > 80)).to.deep.equal([]);
    }
  });

  it('has a group for every option (src/cli/help.ts)', () => {
    const lost = commands.flatMap(({ options }) =>
      options.filter(({ hidden, helpGroupHeading }) => !hidden && helpGroupHeading === undefined),
    );
    expect(lost.map(({ long }) => long)).to.deep.equal([]);
  });
});
