import { type FileHandle, open } from 'node:fs/promises';
import { expect } from 'chai';
import { HandleStats } from '../../src/source/handle-stats.js';

describe('HandleStats', () => {
  let handle: FileHandle;
  let trips: number;

  beforeEach(async () => {
    handle = await open(import.meta.filename);
    const { stat } = handle;
    trips = 0;
    handle.stat = ((options: { bigint: true }) => {
      trips++;
      return stat.call(handle, options);
    }) as typeof stat;
  });
  afterEach(() => handle.close());

  async function sizesRead(stats: HandleStats): Promise<bigint[]> {
    return [(await stats.read()).size, (await stats.read()).size, (await stats.read()).size];
  }

  it('makes no trip to another thread while the answer is at hand', async () => {
    const { size } = await handle.stat({ bigint: true });
    trips = 0;
    expect(await sizesRead(new HandleStats(handle, () => 0))).to.deep.equal([size, size, size]);
    expect(trips).to.equal(0);
  });

  it('makes it, for good, after the answer was slow to come', async () => {
    const { size } = await handle.stat({ bigint: true });
    trips = 0;
    let nowMs = 0;
    const stats = new HandleStats(handle, () => (nowMs += 11));
    expect(await sizesRead(stats)).to.deep.equal([size, size, size]);
    expect(trips).to.equal(2);
  });
});
