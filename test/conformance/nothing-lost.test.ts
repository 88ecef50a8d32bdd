import { join } from 'node:path';
import fc from 'fast-check';
import { temporaryFolder } from '../support/files.js';
import { openHandles, untilClosed } from '../support/handles.js';
import { HostileWorld } from './hostile-world.js';
import { scenarios } from './scenario.js';

/** `npm run prove` sets it: how many uploads to try, each in another hostile world. */
const RUNS = Number(process.env.BITS_PROVE_RUNS ?? 60);
const FULL = process.env.BITS_PROVE_RUNS !== undefined;
/** Repeats a run that failed; the quick one is the same each time. */
const SEED = Number(process.env.BITS_PROVE_SEED ?? (FULL ? Date.now() & 0x7fff_ffff : 1));

/** No scenario may take longer; those in which much is waited for take about a tenth of it. */
const LIMIT_MS = 30_000;

describe('whatever goes wrong', () => {
  const folder = temporaryFolder();

  it(`the file arrives exact, or can be gone on with (${RUNS} runs, seed ${SEED})`, async function () {
    this.timeout(RUNS * 5000 + LIMIT_MS);
    // mocha's own timer runs from the first wait on.
    await Promise.resolve();
    const handles = openHandles();
    const startedMs = performance.now();
    let played = 0;
    let taken = 0;
    let requests = 0;
    await fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        const world = new HostileWorld(scenario, join(folder(), String(played++)));
        await world.play();
        taken += world.runs;
        requests += world.requests;
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: true, timeout: LIMIT_MS },
    );
    await untilClosed(handles);
    if (!FULL) return;
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    console.log(
      `      seed ${SEED}: ${RUNS} uploads, ${taken} runs of jobs, ${requests} requests, ${seconds} s`,
    );
  });
});
