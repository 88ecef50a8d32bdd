/**
 * Uploads over bad lines, and says how long it took and what it cost: `npm run prove:network`.
 *
 * It needs root, for network namespaces, and a C compiler for the line. `--quick` leaves out what takes
 * long; `--only NAME,NAME` does some scenarios alone.
 */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';
import { folderUntilExit } from '../support/files.js';
import { type Figure, type Scenario, scenarios } from './scenarios.js';
import { type Programs, Stage } from './stage.js';

const run = promisify(execFile);

/** Most of the time they wait, so that they hardly disturb each other. */
const AT_A_TIME = 6;

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
});

const notInstalled = await firstNotInstalled();
const reason = (await whyImpossible()) ?? notInstalled;
if (reason !== undefined) {
  console.log(`skipped: ${reason}`);
  // CI installs what is missing; what its machine does not allow is no failure of ours.
  process.exit(process.env.CI !== undefined && reason === notInstalled ? 1 : 0);
}
const wanted = chosen();
const folder = folderUntilExit();
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
const programs = await compile();
console.log('| Scenario | Situation | Figure | Seen | Wanted |');
console.log('| --- | --- | --- | --- | --- |');
let isGood = true;
const perform = async (scenario: Scenario) => {
  const rows = rowsOf(scenario, await figuresOf(scenario, programs));
  isGood &&= rows.every(({ isMet }) => isMet);
  for (const { text } of rows) console.log(text);
};
const waiting = wanted.filter(({ isAlone }) => !isAlone);
await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await perform(next);
  }),
);
for (const scenario of wanted) if (scenario.isAlone) await perform(scenario);
process.exitCode = isGood ? 0 : 1;

async function firstNotInstalled(): Promise<string | undefined> {
  for (const command of ['cc --version', 'ip -V', 'curl --version']) {
    const [program = '', ...args] = command.split(' ');
    if (!(await succeeds(program, ...args))) return `${program} is not installed`;
  }
  return undefined;
}

async function whyImpossible(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces exist only on Linux';
  if (process.getuid?.() !== 0) return 'only root can make network namespaces';
  if (!(await succeeds('unshare', '--net', 'true'))) return 'namespaces are not allowed here';
  if (!(await succeeds('test', '-c', '/dev/net/tun'))) return 'there is no /dev/net/tun';
  return undefined;
}

async function succeeds(program: string, ...args: string[]): Promise<boolean> {
  return run(program, args).then(
    () => true,
    () => false,
  );
}

/** Bundled, because a script of both sides would take seconds to load its modules one by one. */
async function compile(): Promise<Programs> {
  const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const emulator = join(folder, 'link-emulator');
  await run('cc', ['-O2', '-o', emulator, here('link-emulator.c')]);
  // Within the project, so that its packages are found.
  const bundles = here('../../node_modules/.cache/bits-upload-network');
  await build({
    entryPoints: [here('uploader.ts'), here('far-side.ts')],
    outdir: bundles,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  });
  return {
    emulator,
    uploader: join(bundles, 'uploader.mjs'),
    farSide: join(bundles, 'far-side.mjs'),
  };
}

function chosen(): readonly Scenario[] {
  const all = scenarios(options.quick);
  const only = options.only?.split(',');
  const unknown = only?.find((name) => all.every((one) => one.name !== name));
  if (unknown !== undefined) {
    const names = all.map(({ name }) => name);
    throw new Error(`no scenario ${unknown}; there are ${names.join(', ')}`);
  }
  if (only !== undefined) return all.filter(({ name }) => only.includes(name));
  return all.filter(({ isLong = false }) => !(isLong && options.quick));
}

/** @returns the error of a scenario that did not come to its end */
async function figuresOf(
  scenario: Scenario,
  programs: Programs,
): Promise<readonly Figure[] | Error> {
  const stage = await Stage.open(programs, join(folder, scenario.name), scenario.name, scenario);
  try {
    return await scenario.happens(stage);
  } catch (error) {
    return error as Error;
  } finally {
    stage.close();
    await rm(join(folder, scenario.name), { recursive: true, force: true });
  }
}

/** The lines of the table, and whether what they say is within its limits. */
function rowsOf({ name, situation }: Scenario, result: readonly Figure[] | Error) {
  if (result instanceof Error) {
    return [{ isMet: false, text: `| ${name} | ${situation} | **${result}** | | |` }];
  }
  return result.map(({ title, value, atMost = Infinity, atLeast = -Infinity }) => {
    const isMet = value <= atMost && value >= atLeast;
    const limit = atMost === Infinity ? `at least ${atLeast}` : `at most ${atMost}`;
    const shown = Number(value.toFixed(2));
    const seen = isMet ? shown : `**${shown}**`;
    return { isMet, text: `| ${name} | ${situation} | ${title} | ${seen} | ${limit} |` };
  });
}
