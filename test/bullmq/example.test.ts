import { expect } from 'chai';
import { Spawned } from '../cli/spawned.js';
import { describeWith } from '../interop/support/installed.js';
import { REDIS } from '../support/redis.js';

describeWith('the example of a fleet', [REDIS], () => {
  it('runs with one command, says what its Redis is not, and resumes what a dead worker left', async () => {
    const example = new Spawned([], { script: ['examples/fleet/run.mjs'], timeoutMs: 55_000 });
    expect((await example.ended()).code, example.stderr).to.equal(0);
    expect(example.stdout).to.match(/for a try: it keeps nothing on disk, has no password/);
    expect(example.stdout).to.match(/machine-1 dies/);
    expect(example.stdout).to.match(/12 files arrived, [1-9]\d* of them resumed/);
  });
});
