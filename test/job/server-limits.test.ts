import { expect } from 'chai';
import { ServerLimits } from '../../src/job/server-limits.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { createBitsServer } from '../../src/testing/bits-server.js';

const HOUR_MS = 3_600_000;

describe('server limits', () => {
  it('remembers the newest limit of each origin', () => {
    const limits = new ServerLimits();
    limits.learn('http://a', 10);
    limits.learn('http://b', 20);
    limits.learn('http://a', 5);
    expect(limits.of('http://a')).to.equal(5);
    expect(limits.of('http://b')).to.equal(20);
    expect(limits.of('http://c')).to.equal(undefined);
  });

  it('forgets after an hour, for a limit may be raised', () => {
    let nowMs = 0;
    const limits = new ServerLimits(() => nowMs);
    limits.learn('http://a', 10);
    nowMs = HOUR_MS;
    expect(limits.of('http://a')).to.equal(10);
    nowMs += 1;
    expect(limits.of('http://a')).to.equal(undefined);
  });

  it('remembers the last hundred origins', () => {
    const limits = new ServerLimits();
    for (let i = 0; i <= 100; i++) limits.learn(`http://${i}`, 10);
    expect(limits.of('http://0')).to.equal(undefined);
    expect(limits.of('http://1')).to.equal(10);
    expect(limits.of('http://100')).to.equal(10);
  });

  it('spares the next upload to the same server the refusals', async () => {
    const server = await createBitsServer({ maxFragmentBytes: 9 * 1024 });
    try {
      for (const name of ['one', 'two']) {
        await new UploadJob({
          url: new URL(name, server.url),
          source: new Uint8Array(100 * 1024),
          fragmentBytes: 16 * 1024,
        }).start();
      }
      expect(server.log.filter(({ status }) => status === 413)).to.have.lengthOf(1);
    } finally {
      await server.close();
    }
  });
});
