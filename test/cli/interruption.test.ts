import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { build } from 'esbuild';
import { Interruption } from '../../src/cli/interruption.js';
import { skipOnWindows } from '../support/skip.js';
import { Spawned } from './spawned.js';

const MODULE = fileURLToPath(new URL('../../src/cli/interruption.ts', import.meta.url));

/** Does not stop when it is asked to. */
const STUBBORN = `
  import { Interruption } from ${JSON.stringify(MODULE)};
  const interruption = new Interruption();
  interruption.listen();
  setInterval(() => {}, 1000);
  interruption.stopped().then(() => console.log('asked'));
  console.log('ready');
`;

describe('an interruption', () => {
  let script: string;

  before(async () => {
    const { outputFiles } = await build({
      stdin: { contents: STUBBORN, resolveDir: import.meta.dirname },
      bundle: true,
      format: 'esm',
      platform: 'node',
      write: false,
    });
    script = outputFiles.map(({ text }) => text).join('');
  });

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`stops the command at the first ${signal} and ends the process at the second`, async function () {
      skipOnWindows(this, 'signals');
      const stubborn = new Spawned([], { script: ['--input-type=module', '--eval', script] });
      await stubborn.said(/ready/);
      stubborn.kill(signal);
      await stubborn.said(/asked/);
      stubborn.kill(signal);
      expect(await stubborn.ended()).to.deep.equal({ code, signal: null });
    });
  }

  it('keeps its first reason', () => {
    const interruption = new Interruption();
    expect(interruption.reason).to.equal(undefined);
    interruption.stop({ by: 'stdout', exitCode: 1 });
    interruption.stop({ by: 'SIGINT', exitCode: 130 });
    expect(interruption.reason).to.deep.equal({ by: 'stdout', exitCode: 1 });
    expect(interruption.signal.aborted).to.equal(true);
  });
});
