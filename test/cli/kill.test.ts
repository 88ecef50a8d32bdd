import { expect } from 'chai';
import { skipOnWindows } from '../support/skip.js';
import { type KillReport, killInReply, killInUpload } from './killing.js';

/** `npm run prove:kill` asks for more. */
const inUpload = Number(process.env.BITS_PROVE_KILLS ?? 4);
const inReply = Number(process.env.BITS_PROVE_REPLY_KILLS ?? 3);
const seed = Number(process.env.BITS_PROVE_SEED ?? Math.floor(Math.random() * 2 ** 32));

describe('the program, killed with SIGKILL at random moments', () => {
  before(function () {
    skipOnWindows(this, 'signals');
  });

  function tell(what: string, { moments, bytes, bytesReceived, bytesAllowed }: KillReport): void {
    if (process.env.BITS_PROVE_KILLS === undefined) return;
    console.log(
      `      seed ${seed}: ${moments.length} kills in ${what} of ${bytes} bytes; ` +
        `${bytesReceived} bytes arrived, ${bytesAllowed} were allowed`,
    );
  }

  it(`finishes an upload after ${inUpload} kills, and sends at most one fragment again for each`, async function () {
    this.timeout(30_000 + inUpload * 3000);
    const report = await killInUpload({ kills: inUpload, seed });
    const { bytesReceived, bytesAllowed, server, lastResult } = report;
    tell('an upload', report);
    const told = `seed ${seed}: ${report.moments.join(', ')}`;
    expect(report, told).to.include({ intact: true, recordsLeft: 0 });
    expect(lastResult, told).to.include({ type: 'result', resumed: true });
    expect(bytesReceived, told).to.be.at.most(bytesAllowed);
    expect(server.uploads, told).to.have.lengthOf(1);
    server.assertNoViolations();
  });

  it(`downloads a whole reply after ${inReply} kills, and uploads no byte again`, async function () {
    this.timeout(30_000 + inReply * 5000);
    const report = await killInReply({ kills: inReply, seed });
    const { bytesReceived, bytesAllowed, server, lastResult } = report;
    tell('the reply to an upload', report);
    const told = `seed ${seed}: ${report.moments.join(', ')}`;
    expect(report, told).to.include({ intact: true, recordsLeft: 0 });
    expect(lastResult, told).to.include({ type: 'result', resumed: true, bytesSent: 0 });
    expect(bytesReceived, told).to.equal(bytesAllowed);
    server.assertNoViolations();
    server.assertFaultsConsumed();
  });
});
