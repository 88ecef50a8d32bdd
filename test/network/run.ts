/**
 * Uploads over bad lines, and says how long it took and what it cost: `npm run prove:network`.
 *
 * It needs root, for network namespaces, and a C compiler for the line.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';
import { type Figure, type Scenario, scenarios } from './scenarios.js';
import { type Programs, Stage } from './stage.js';

const run = promisify(execFile);

/** Most of the time they wait, so that they hardly disturb each other. */
const AT_A_TIME = 6;

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
});

const missing = await whatIsMissing();
if (missing !== undefined) {
  console.log(`skipped: ${missing}`);
  process.exit(process.env.CI === undefined ? 0 : 1);
}
const wanted = chosen();
const folder = await mkdtemp(join(tmpdir(), 'bits-upload-network-'));
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
try {
  const programs = await compile();
  const results = new Map<Scenario, readonly Figure[] | Error>();
  const waiting = wanted.filter(({ isAlone }) => !isAlone);
  const perform = async (scenario: Scenario) => {
    results.set(scenario, await figuresOf(scenario, programs));
  };
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
        await perform(next);
    }),
  );
  for (const scenario of wanted) if (scenario.isAlone) await perform(scenario);
  process.exitCode = report(results) ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function whatIsMissing(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces are only on Linux';
  if (process.getuid?.() !== 0) return 'only root can make network namespaces';
  for (const command of ['cc --version', 'ip -V', 'curl --version']) {
    const [program = '', ...args] = command.split(' ');
    try {
      await run(program, args);
    } catch {
      return `${program} is not installed`;
    }
  }
  try {
    await run('unshare', ['--net', 'true']);
  } catch {
    return 'this machine lets nobody make network namespaces';
  }
  return undefined;
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
  return only === undefined ? all : all.filter(({ name }) => only.includes(name));
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
    process.stderr.write('.');
  }
}

/** @returns whether every figure is within its limit */
function report(results: ReadonlyMap<Scenario, readonly Figure[] | Error>): boolean {
  let isGood = true;
  console.log(
    '\n| Scenario | Situation | Figure | Seen | Wanted |\n| --- | --- | --- | --- | --- |',
  );
  for (const scenario of wanted) {
    const { name, situation } = scenario;
    const figures = results.get(scenario);
    if (!Array.isArray(figures)) {
      isGood = false;
      console.log(`| ${name} | ${situation} | ${figures} | **FAILED** | |`);
      continue;
    }
    for (const { title, value, atMost = Infinity, atLeast = -Infinity } of figures as Figure[]) {
      const isMet = value <= atMost && value >= atLeast;
      isGood &&= isMet;
      const limit = atMost === Infinity ? `at least ${atLeast}` : `at most ${atMost}`;
      const seen = Number(value.toFixed(2));
      console.log(
        `| ${name} | ${situation} | ${title} | ${isMet ? seen : `**${seen}**`} | ${limit} |`,
      );
    }
  }
  return isGood;
}
