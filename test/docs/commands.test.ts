import { expect } from 'chai';
import { run } from '../../src/cli/program.js';
import { capturedIo } from '../cli/capture.js';
import { blocksOf, type Page, readPages } from './pages.js';

/** A command line of the program in the documentation. */
interface Written {
  readonly place: string;
  readonly command: string;
  readonly options: readonly string[];
}

/** In blocks of any language, such as the files of CI services, and in `inline code`. */
function commandsOf(page: Page): Written[] {
  const texts = [
    ...blocksOf(page).map(({ place, code }) => ({ place, code: code.replace(/\\\n\s*/g, ' ') })),
    ...[...page.text.matchAll(/`(bits-upload [^`\n]*)`/g)].map(([, code = '']) => ({
      place: page.file,
      code,
    })),
  ];
  return texts.flatMap(({ place, code }) =>
    [...code.matchAll(/\bbits-upload ([a-z]+)\b([^\n|>#]*)/g)].map(
      ([, command = '', rest = '']) => ({
        place,
        command,
        options: rest.match(/(?<=\s)-{1,2}[a-zA-Z][\w-]*/g) ?? [],
      }),
    ),
  );
}

async function helpOf(command: string): Promise<string> {
  const io = capturedIo();
  await run(['help', command], io);
  return io.stdout.text;
}

describe('the commands in the documentation', () => {
  it('exist, with all their options', async () => {
    const written = (await readPages()).flatMap(commandsOf);
    const names = [...new Set(written.map(({ command }) => command))].filter(
      (name) => name !== 'help',
    );
    const helps = new Map(
      await Promise.all(names.map(async (name) => [name, await helpOf(name)] as const)),
    );
    const wrong = written.flatMap(({ place, command, options }) => {
      const help = helps.get(command) ?? '';
      const known = new Set(help.match(/(?<=^ +(?:-\w, )?)-{1,2}[a-zA-Z][\w-]*/gm));
      if (known.size === 0 && command !== 'help') return [`${place}: ${command}`];
      return options
        .filter((option) => !known.has(option))
        .map((option) => `${place}: ${command} ${option}`);
    });
    expect(wrong).to.deep.equal([]);
    expect(written).to.have.length.greaterThan(20);
  });
});
