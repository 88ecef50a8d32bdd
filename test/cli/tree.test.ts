import { relative } from 'node:path';
import { expect } from 'chai';
import { skipOnWindows } from '../support/skip.js';
import { seededRandom } from './killing.js';
import { DEFAULT_MAX_BYTES, TreeProof } from './tree-proof.js';

/** `npm run prove:tree` asks for more. */
const files = Number(process.env.BITS_PROVE_TREE_FILES ?? 40);
const kills = Number(process.env.BITS_PROVE_TREE_KILLS ?? 3);
const maxBytes = Number(process.env.BITS_PROVE_TREE_MAX_BYTES ?? DEFAULT_MAX_BYTES);
const seed = Number(process.env.BITS_PROVE_SEED ?? Math.floor(Math.random() * 2 ** 32));
const isProof = process.env.BITS_PROVE_TREE_FILES !== undefined;

const UNREADABLE = 5;
const REFUSED = 3;

describe(`a tree of ${files} files (seed ${seed})`, () => {
  let proof: TreeProof;

  beforeEach(async function () {
    this.timeout(600_000);
    proof = await TreeProof.create({ files, maxBytes, seed });
  });

  afterEach(() => proof.close());

  function tell(text: string): void {
    if (isProof) console.log(`      ${text}`);
  }

  it(`is uploaded through faults, but for ${UNREADABLE} unreadable and ${REFUSED} refused files`, async function () {
    skipOnWindows(this, 'modes');
    this.timeout(60_000 + files * 5000);
    const spoilt = await proof.spoil(UNREADABLE, REFUSED);
    const startedMs = performance.now();
    const { code, objects } = await proof.run();
    const durationMs = performance.now() - startedMs;
    const failed = objects.filter(({ type }) => type === 'error');
    expect(
      failed.map(({ file }) => relative(proof.tree, String(file))).sort(),
      JSON.stringify(failed),
    ).to.deep.equal(spoilt);
    expect(code).to.equal(3);

    const rest = [...proof.sizes].filter(([path]) => !spoilt.includes(path));
    const bytes = rest.reduce((sum, [, size]) => sum + size, 0);
    const summary = objects.at(-1);
    expect(summary).to.include({
      type: 'summary',
      files,
      succeeded: files - spoilt.length,
      failed: spoilt.length,
      skipped: 0,
      bytes,
    });
    expect(await proof.wrong(rest.map(([path]) => path))).to.deep.equal([]);
    proof.server.assertNoViolations();
    proof.server.assertFaultsConsumed();
    const sent = Number(summary?.bytesSent);
    tell(
      `${rest.length} of ${files} files exact, ${bytes} bytes in ${(durationMs / 1000).toFixed(1)} s; ` +
        `${sent - bytes} bytes sent more than once`,
    );
  });

  it(`is exact after ${kills} kills, and nothing that was reported as stored is sent again`, async function () {
    if (process.platform === 'win32') this.skip();
    this.timeout(60_000 + files * 5000);
    const random = seededRandom(seed + 1);
    const finished = new Set<string>();
    const note = (objects: readonly Readonly<Record<string, unknown>>[]) => {
      for (const { type, file, closed } of objects) {
        if (type === 'result' && closed === 'acknowledged') {
          finished.add(relative(proof.tree, String(file)));
        }
      }
    };
    const sentAgain: string[] = [];
    let last: readonly Readonly<Record<string, unknown>>[] = [];
    const startedMs = performance.now();
    for (let left = kills; left >= 0; left--) {
      const position = proof.server.log.length;
      const before = new Set(finished);
      // All moments together come before the end, or one of them would wait for what never comes.
      const share = (files * 2.5) / kills;
      const killAfter = left === 0 ? undefined : 1 + Math.floor(share * random());
      const { code, objects } = await proof.run(killAfter);
      note(objects);
      last = objects;
      sentAgain.push(...[...proof.begunSince(position)].filter((path) => before.has(path)));
      expect(code, JSON.stringify(objects.at(-1))).to.equal(left === 0 ? 0 : null);
      if (left === 0) expect(objects.at(-1)).to.include({ files, failed: 0 });
    }
    const durationMs = performance.now() - startedMs;
    expect(sentAgain).to.deep.equal([]);
    expect(await proof.wrong()).to.deep.equal([]);
    // A Close whose answer a kill has cut is only presumed, and such a file is sent once more.
    const presumed = last.filter(({ closed }) => closed === 'presumed').length;
    if (presumed > 0) {
      expect((await proof.run()).objects.at(-1)).to.include({ files, succeeded: presumed });
    }
    expect(await proof.remembered()).to.deep.equal([]);
    proof.server.assertNoViolations();
    const received = proof.server.log.reduce(
      (sum, { packet, bodyBytes }) => (packet === 'fragment' ? sum + bodyBytes : sum),
      0,
    );
    tell(
      `${kills} kills, ${proof.totalBytes} bytes in ${(durationMs / 1000).toFixed(1)} s; ` +
        `${received - proof.totalBytes} bytes received more than once`,
    );
  });
});
