import { expect } from 'chai';
import { type Block, blocksOf, readPages } from '../docs/pages.js';
import { compile } from './compiled.js';
import { Workshop } from './workshop.js';

const pages = (await readPages()).filter(({ file }) => !file.startsWith('api/'));
const guides = pages
  .map((page) => ({ file: page.file, blocks: blocksOf(page) }))
  .filter(({ blocks }) => blocks.length > 0);

const ENDINGS: Readonly<Record<string, string>> = { js: '.mjs', ts: '.mts' };

/** Files of CI services, of which the commands are run. */
const SERVICES = ['yaml', 'groovy'];

const RUN = new Set([...Object.keys(ENDINGS), ...SERVICES, 'sh']);

function commandsIn(code: string): string {
  return (code.match(/npx bits-upload [^\n'"]*/g) ?? []).join('\n');
}

/** A block as a module. */
function moduleOf({ place, language, given, code }: Block) {
  const name = place.replaceAll(/[^\w]/g, '-') + ENDINGS[language];
  // An export makes a module of a block that imports nothing.
  return { name, text: `${given}${code}\nexport {};\n` };
}

describe('the code of the documentation', function () {
  this.timeout(300_000);

  it('compiles against the declarations of the package, block by block', () => {
    const blocks = guides
      .flatMap((guide) => guide.blocks)
      .filter(({ language, trial }) => language in ENDINGS && trial !== 'shown');
    const mistakes = compile(blocks.map(moduleOf));
    for (const block of blocks) {
      expect(mistakes.get(moduleOf(block).name), block.place).to.deep.equal([]);
    }
    expect(blocks).to.have.length.greaterThan(30);
  });

  for (const { file, blocks } of guides) {
    const tried = blocks.filter(({ language, trial }) => RUN.has(language) && trial === 'run');
    if (tried.length === 0) continue;
    it(`runs, block by block, in ${file}`, async () => {
      const workshop = await Workshop.open();
      try {
        for (const block of tried) {
          try {
            const { language, code } = block;
            if (language === 'sh') await workshop.runShell(code);
            else if (!(language in ENDINGS)) await workshop.runShell(commandsIn(code));
            else await workshop.runModule(moduleOf(block).name, moduleOf(block).text);
          } catch (error) {
            // The message of a child process repeats its whole command line.
            const { stderr, message } = error as Error & { stderr?: string };
            throw new Error(`${block.place} failed: ${stderr || message}`);
          }
        }
        for (const server of Object.values(workshop.servers)) server.assertNoViolations();
      } finally {
        await workshop.close();
      }
    });
  }
});
