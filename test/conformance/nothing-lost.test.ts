import { join } from 'node:path';
import fc from 'fast-check';
import { temporaryFolder } from '../support/files.js';
import { openHandles, untilClosed } from '../support/handles.js';
import { JumpingClock } from '../support/jumping-clock.js';
import { FULL, runs, SEED } from '../support/prove-mode.js';
import { HostileWorld } from './hostile-world.js';
import { scenarios } from './scenario.js';

/** How many uploads to try, each in another hostile world. */
const RUNS = runs('BITS_PROVE_RUNS', 30, 500);

/** The longest time for one scenario: slow ones take about a tenth of it. */
const LIMIT_MS = 30_000;

describe('an upload in a hostile world', () => {
  const folder = temporaryFolder();
  let clock: JumpingClock;

  before(() => {
    clock = new JumpingClock();
  });
  after(() => clock.restore());

  it(`arrives exact or can be resumed (${RUNS} runs, seed ${SEED})`, async function () {
    this.timeout(RUNS * 5000 + LIMIT_MS);
    // Mocha starts its own timer at the first await.
    await Promise.resolve();
    const handles = openHandles();
    // The other clocks jump.
    const started = process.hrtime.bigint();
    let played = 0;
    let taken = 0;
    let requests = 0;
    await fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        const world = new HostileWorld(scenario, join(folder(), String(played++)), clock);
        await world.play();
        taken += world.runs;
        requests += world.requests;
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: true, timeout: LIMIT_MS },
    );
    await untilClosed(handles);
    if (!FULL) return;
    const seconds = (process.hrtime.bigint() - started) / 1_000_000_000n;
    console.log(
      `      seed ${SEED}: ${RUNS} uploads, ${taken} runs of jobs, ${requests} requests, ${seconds} s`,
    );
  });
});
