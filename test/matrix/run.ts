/**
 * Runs the core suites in every Node that is supported, with every undici: `npm run test:matrix`.
 *
 * `--only 24` takes one Node, `--quick` each Node once. What has nothing to do with undici runs once in each.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { folderUntilExit } from '../support/files.js';
import { jsonReport, type MochaRun, perform } from '../support/mocha-runs.js';
import { npmInstall } from '../support/package.js';

const run = promisify(execFile);

interface Pair {
  readonly node: string;
  readonly undici: string;
}

/** undici 8 needs Node 22.19. Each Node once, then the others; those that take longest come first. */
const PAIRS: readonly Pair[] = [
  { node: '20.19', undici: '7' },
  { node: '22', undici: '8' },
  { node: '24', undici: '7' },
  { node: '26', undici: '8' },
  { node: '22', undici: '7' },
  { node: '24', undici: '8' },
  { node: '26', undici: '7' },
];

const WITH_UNDICI = ['job', 'transport', 'reply', 'queue'];
const WITHOUT_UNDICI = ['session', 'protocol', 'store', 'source'];
const AT_A_TIME = 2;

/** All that the suites read. */
const PARTS = [
  'package.json',
  'package-lock.json',
  '.mocharc.json',
  'tsconfig.json',
  'dist',
  'src',
  'test',
];

const project = fileURLToPath(new URL('../..', import.meta.url));
const { values: options } = parseArgs({
  options: { only: { type: 'string' }, quick: { type: 'boolean', default: false } },
});
const pairs = PAIRS.filter(
  (pair) =>
    (options.only === undefined || majorOf(pair.node) === majorOf(options.only)) &&
    (!options.quick || isFirstOfNode(pair)),
);
if (pairs.length === 0) throw new Error(`--only takes one of ${PAIRS.map(({ node }) => node)}`);

const folder = folderUntilExit();
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

const system = process.platform === 'win32' ? 'win' : process.platform;
const nodePackage = `node-${system}-${process.arch}`;
const installed = new Map<string, Promise<string>>();
const runs: MochaRun[] = [];
for (const pair of pairs) runs.push(await prepare(pair));
process.exitCode = (await perform(runs, AT_A_TIME)) ? 0 : 1;

function majorOf(version: string): string | undefined {
  return version.split('.')[0];
}

function isFirstOfNode(pair: Pair): boolean {
  return PAIRS.find(({ node }) => node === pair.node) === pair;
}

/** A copy of the project whose Node and undici are these; all else it shares with the project. */
async function prepare(pair: Pair): Promise<MochaRun> {
  const { node, undici } = pair;
  const tools = await install(`node-${node}`, `${nodePackage}@${node}`);
  const library = await install(`undici-${undici}`, `undici@${undici}`);
  const copy = join(folder, `${node}-${undici}`);
  const modules = join(copy, 'node_modules');
  await mkdir(modules, { recursive: true });
  for (const part of PARTS) await cp(join(project, part), join(copy, part), { recursive: true });
  for (const name of await readdir(join(project, 'node_modules'))) {
    const from = name === 'undici' ? library : join(project, 'node_modules');
    // Unlike a symbolic link, a junction needs no right on Windows.
    await symlink(join(from, name), join(modules, name), 'junction');
  }
  const program = join(tools, nodePackage, 'bin', system === 'win' ? 'node.exe' : 'node');
  const { stdout } = await run(program, ['--version']);
  const { default: manifest } = await import(join(library, 'undici', 'package.json'), {
    with: { type: 'json' },
  });
  const report = join(folder, `${node}-${undici}.json`);
  const names = isFirstOfNode(pair) ? [...WITH_UNDICI, ...WITHOUT_UNDICI] : WITH_UNDICI;
  const suites = names.map((name) => `test/${name}/**/*.test.ts`);
  return {
    name: `Node ${stdout.trim().slice(1)} with undici ${manifest.version}`,
    command: [program, 'node_modules/mocha/bin/mocha.js', ...suites, ...jsonReport(report)],
    cwd: copy,
    env: {},
    report,
  };
}

/** @returns its `node_modules` */
function install(name: string, what: string): Promise<string> {
  const known = installed.get(name);
  if (known !== undefined) return known;
  const made = (async () => {
    const place = join(folder, name);
    await mkdir(place);
    await writeFile(join(place, 'package.json'), '{ "private": true }');
    await npmInstall(place, '--ignore-scripts', what);
    return join(place, 'node_modules');
  })();
  installed.set(name, made);
  return made;
}
