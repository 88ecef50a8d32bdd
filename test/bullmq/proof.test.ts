import { join } from 'node:path';
import { expect } from 'chai';
import { describeWith } from '../interop/support/installed.js';
import { temporaryFolder } from '../support/files.js';
import { FULL, runs, SEED } from '../support/prove-mode.js';
import { REDIS } from '../support/redis.js';
import { FRAGMENT_BYTES, mib, type ProvenUpload, prove } from './proof.js';

const UPLOADS = runs('BITS_PROVE_UPLOADS', 24, 300);
const MAX_BYTES = runs('BITS_PROVE_MAX_BYTES', 4 * 1024 ** 2, 20 * 1024 ** 2);

/** To find out where the server stands, a fragment of 2.5 KiB is sent at most twice. */
const PROBE_BYTES = 2 * 2560;

describeWith('a fleet of which one worker is killed every second', [REDIS], () => {
  const folder = temporaryFolder();

  it(`uploads ${UPLOADS} files exactly, each once, and sends little again (seed ${SEED})`, async function () {
    this.timeout(20 * 60_000);
    const plan = { seed: SEED, uploads: UPLOADS, maxBytes: MAX_BYTES };
    const { uploads, kills, overAtRestart, seconds, leftovers, server } = await prove({
      ...plan,
      folder: join(folder(), 'files'),
    });
    const sum = (of: (upload: ProvenUpload) => number): number =>
      uploads.reduce((total, upload) => total + of(upload), 0);
    const bytes = sum((upload) => upload.bytes);
    const received = sum((upload) => upload.bytesReceived);
    const interruptions = sum(({ starts }) => starts - 1);
    const faults = sum((upload) => upload.faults);
    if (FULL) {
      console.log(
        `      seed ${SEED}: ${UPLOADS} uploads of ${mib(bytes)} in ${seconds.toFixed(0)} s; ${kills} kills ` +
          `interrupted uploads ${interruptions} times, ${faults} faults; Redis was killed after ${overAtRestart} ` +
          `uploads; ${mib(received - bytes)} sent again`,
      );
    }
    const wrong = uploads.filter(
      ({ intact, state, arrivals }) => !intact || state !== 'completed' || arrivals !== 1,
    );
    expect(wrong).to.deep.equal([]);
    const wasteful = uploads.filter(
      (upload) =>
        upload.bytesReceived >
        upload.bytes + (upload.starts - 1 + upload.faults) * (FRAGMENT_BYTES + PROBE_BYTES),
    );
    expect(wasteful).to.deep.equal([]);
    expect(received).to.be.at.most(bytes + (interruptions + faults) * FRAGMENT_BYTES);
    expect(leftovers).to.deep.equal([]);
    expect(overAtRestart).to.be.below(UPLOADS);
    server.assertNoViolations();
  });
});
