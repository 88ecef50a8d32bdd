/**
 * Runs the suites in the Windows build of Node under Wine: `npm run test:windows`.
 *
 * `--only NAME,NAME` runs some folders of tests alone.
 */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { jsonReport, type MochaRun, perform } from '../support/mocha-runs.js';
import { onWindows, prepareWine, type Wine, whyNoWine } from './wine.js';

/** Those that take longest come first. */
const FOLDERS = [
  ...['cli', 'job', 'transport', 'source', 'reply', 'store', 'session', 'testing', 'diagnose'],
  ...['windows', 'common', 'queue', 'protocol'],
];
/** Tests on this system that look at a program under Wine from outside. */
const OUTSIDE = 'wine';

const AT_A_TIME = 2;
const MOCHA = 'node_modules/mocha/bin/mocha.js';

const project = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const { values: options } = parseArgs({ options: { only: { type: 'string' } } });
const wanted = [...FOLDERS, OUTSIDE].filter(
  (name) => options.only === undefined || options.only.split(',').includes(name),
);
if (wanted.length === 0) throw new Error(`--only takes some of ${[...FOLDERS, OUTSIDE]}`);

const reason = await whyNoWine();
if (reason !== undefined) {
  console.log(`skipped: ${reason}`);
  // CI installs what is missing.
  process.exit(process.env.CI !== undefined && reason.endsWith('not installed') ? 1 : 0);
}
const folder = await mkdtemp(join(tmpdir(), 'bits-upload-wine-'));
let wine: Wine | undefined;
process.once('exit', () => {
  wine?.end();
  rmSync(folder, { recursive: true, force: true });
});
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

wine = await prepareWine(folder, project);
console.log(wine.name);
const runs = wanted.map((name) => (name === OUTSIDE ? outside(wine, name) : inside(wine, name)));
process.exitCode = (await perform(runs, AT_A_TIME)) ? 0 : 1;

function inside({ command, env }: Wine, name: string): MochaRun {
  const report = join(folder, `${name}.json`);
  return {
    name,
    command: [...command, MOCHA, ...mochaArguments(name, onWindows(report))],
    cwd: project,
    env,
    report,
  };
}

function outside({ command, env }: Wine, name: string): MochaRun {
  const report = join(folder, `${name}.json`);
  return {
    name,
    command: [process.execPath, MOCHA, ...mochaArguments(name, report)],
    cwd: project,
    env: { BITS_WINE: JSON.stringify({ command, env }) },
    report,
  };
}

function mochaArguments(name: string, report: string): string[] {
  // A failed test may leave a server open.
  return [`test/${name}/**/*.test.ts`, '--exit', '--timeout=180000', ...jsonReport(report)];
}
