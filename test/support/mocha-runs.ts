import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';

/** One process of mocha, with its reporter `json`. */
export interface MochaRun {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where the reporter writes. */
  readonly report: string;
}

interface FoundTest {
  readonly fullTitle: string;
  readonly err: { readonly message?: string; readonly stack?: string };
}

/** What the reporter writes, as far as it is needed. */
interface Report {
  readonly stats: { readonly passes: number; readonly pending: number; readonly failures: number };
  readonly pending: readonly FoundTest[];
  readonly failures: readonly FoundTest[];
  readonly tests: readonly (FoundTest & { readonly currentRetry?: number })[];
}

/** One that takes longer hangs. */
const LIMIT_MS = 600_000;

/**
 * Arguments of mocha. A test may fail once, which is told: what is looked for is what another system
 * does, and `npm test` is strict about time.
 */
export function jsonReport(path: string): string[] {
  return ['--retries=1', '--reporter=json', `--reporter-option=output=${path}`];
}

/**
 * Does all runs, some at a time, and prints what failed or was skipped, and their sums as mocha does.
 * @returns whether all was done and nothing failed
 */
export async function perform(runs: readonly MochaRun[], atATime: number): Promise<boolean> {
  const sums = { passes: 0, pending: 0, failures: 0 };
  const skipped = new Map<string, number>();
  const waiting = [...runs];
  const work = async () => {
    for (let run = waiting.shift(); run; run = waiting.shift()) {
      const startedAt = performance.now();
      const output = await outputOf(run);
      const seconds = `in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`;
      const report = await readReport(run.report);
      if (report === undefined) {
        sums.failures++;
        console.log(`${run.name}: broke off ${seconds}\n${output}`);
        continue;
      }
      const { passes, pending, failures } = report.stats;
      sums.passes += passes;
      sums.pending += pending;
      sums.failures += failures;
      console.log(
        `${run.name}: ${passes} passed, ${pending} skipped, ${failures} failed ${seconds}`,
      );
      for (const { fullTitle, currentRetry } of report.tests) {
        if (currentRetry) console.log(`  tried twice: ${fullTitle}`);
      }
      for (const { fullTitle, err } of report.failures) {
        console.log(`\n  FAILED ${fullTitle}\n  ${err.stack ?? err.message ?? ''}\n`);
      }
      for (const { fullTitle } of report.pending) {
        skipped.set(fullTitle, (skipped.get(fullTitle) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: atATime }, work));
  for (const [title, times] of skipped)
    console.log(`  - ${title}${times > 1 ? ` (${times})` : ''}`);
  console.log(`\n  ${sums.passes} passing`);
  if (sums.pending > 0) console.log(`  ${sums.pending} pending`);
  if (sums.failures > 0) console.log(`  ${sums.failures} failing`);
  return sums.passes > 0 && sums.failures === 0;
}

/** Files rather than pipes: a program under Wine would take them for consoles. */
async function outputOf({ command: [program, ...args], cwd, env, report }: MochaRun) {
  const path = `${report}.output`;
  const file = await open(path, 'w');
  try {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', file.fd, file.fd],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    await once(child, 'close');
  } finally {
    await file.close();
  }
  return readFile(path, 'utf8');
}

/** @returns undefined when mocha broke off before it wrote one */
async function readReport(path: string): Promise<Report | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Report;
  } catch {
    return undefined;
  }
}
