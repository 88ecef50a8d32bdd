import { Buffer } from 'node:buffer';
import { expect } from 'chai';
import fc from 'fast-check';
import { BLOCK_BYTES } from '../../src/source/block-source.js';
import type { ByteSource, OpenSource } from '../../src/source/source.js';
import { patterned } from '../support/files.js';
import { runs } from '../support/prove-mode.js';
import { codeOf, collect } from './reading.js';

/** A source over exactly the given bytes, and what to clean up after it. */
export interface ContractFixture {
  readonly source: ByteSource;
  dispose?(): Promise<void>;
}

export interface ContractSubject {
  /** Called once for each check. */
  make(bytes: Uint8Array, name: string): Promise<ContractFixture>;
  /** Absent: `make` gives its source the name that it is told. */
  readonly nameless?: boolean;
}

const NAME = 'contract.bin';

/** What every {@link ByteSource} must do. */
export function describeContract(title: string, subject: ContractSubject): void {
  describe(`${title}: the contract of a source`, () => {
    it('has the name of its content, without opening it', () =>
      using(subject, pattern(1), async (source) => {
        expect(source.name).to.equal(subject.nameless ? undefined : NAME);
      }));
    for (const byteLength of [
      0,
      1,
      64 * 1024,
      BLOCK_BYTES - 1,
      BLOCK_BYTES,
      BLOCK_BYTES + 1,
      2 * BLOCK_BYTES,
      3 * BLOCK_BYTES + 17,
    ]) {
      it(`reads all of ${byteLength} bytes`, () =>
        withOpen(subject, pattern(byteLength), async (open, bytes) => {
          expect(open.byteLength).to.equal(byteLength);
          expectSame(await collect(open.read(0, byteLength)), bytes);
        }));
    }
    it('reads nothing for an empty range, wherever it is', () =>
      withOpen(subject, pattern(100), async (open) => {
        for (const at of [0, 50, 100]) expect(await collect(open.read(at, at))).to.have.length(0);
      }));
    it('reads in pieces that are neither empty nor too large', () =>
      withOpen(subject, pattern(3 * BLOCK_BYTES + 5), async (open) => {
        for await (const piece of open.read(3, open.byteLength))
          expect(piece.byteLength).within(1, BLOCK_BYTES);
      }));
    it('reads one fragment after the other', () =>
      withOpen(subject, pattern(3 * BLOCK_BYTES + 5), async (open, bytes) => {
        for (let start = 0; start < open.byteLength; start += 700_001) {
          const end = Math.min(start + 700_001, open.byteLength);
          expectSame(await collect(open.read(start, end)), bytes.subarray(start, end));
        }
      }));
    it('reads the exact bytes of any ranges, in any order, also when iterations are cut short', () =>
      withOpen(subject, pattern(2 * BLOCK_BYTES + 300_007), async (open, bytes) => {
        const edge = fc.oneof(
          fc.nat(open.byteLength),
          fc.constantFrom(
            0,
            1,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            2 * BLOCK_BYTES,
            open.byteLength,
          ),
        );
        const read = fc.record({
          edges: fc.tuple(edge, edge),
          pieces: fc.option(fc.integer({ min: 1, max: 4 }), { nil: Number.POSITIVE_INFINITY }),
        });
        await fc.assert(
          fc.asyncProperty(fc.array(read, { maxLength: 6 }), async (reads) => {
            for (const { edges, pieces } of reads) {
              const start = Math.min(...edges);
              const end = Math.max(...edges);
              const got = await collect(open.read(start, end), pieces);
              expectSame(got, bytes.subarray(start, start + got.length));
              if (pieces === Number.POSITIVE_INFINITY) expect(got.length).to.equal(end - start);
            }
          }),
          { numRuns: runs('BITS_PROVE_SOURCES', 10, 40) },
        );
      }));
    it('refuses ranges that lie outside its bytes', () =>
      withOpen(subject, pattern(10), async (open) => {
        for (const [start, end] of [
          [-1, 5],
          [5, 4],
          [0, 11],
          [0.5, 2],
          [0, Number.NaN],
        ] as const)
          expect(await codeOf(collect(open.read(start, end)))).to.equal('BITS_ERR_ARGUMENT');
      }));
    it('lets a new read take the place of an unfinished one, which then fails', () =>
      withOpen(subject, pattern(3 * BLOCK_BYTES), async (open, bytes) => {
        const older = open.read(0, open.byteLength)[Symbol.asyncIterator]();
        await older.next();
        const pending = [
          codeOf(older.next()),
          collect(open.read(BLOCK_BYTES - 7, 2 * BLOCK_BYTES + 7)),
        ] as const;
        expectSame(await pending[1], bytes.subarray(BLOCK_BYTES - 7, 2 * BLOCK_BYTES + 7));
        const endings = [await pending[0], await codeOf(drained(older))];
        expect(endings).to.include('BITS_ERR_STATE');
      }));
    it('verifies unchanged content, before, during and after a read', () =>
      withOpen(subject, pattern(2 * BLOCK_BYTES), async (open) => {
        await open.verify();
        for await (const _piece of open.read(0, open.byteLength)) await open.verify();
        await open.verify();
      }));
    it('may be closed twice, and then reads nothing', () =>
      withOpen(subject, pattern(10), async (open) => {
        await Promise.all([open.close(), open.close()]);
        await open.close();
        expect(await codeOf(collect(open.read(0, 10)))).to.equal('BITS_ERR_STATE');
        expect(await codeOf(open.verify())).to.equal('BITS_ERR_STATE');
      }));
    it('may be closed while a piece is being read', () =>
      withOpen(subject, pattern(3 * BLOCK_BYTES), async (open) => {
        const pieces = open.read(0, open.byteLength)[Symbol.asyncIterator]();
        await pieces.next();
        const pending = codeOf(drained(pieces));
        await open.close();
        expect(await pending).to.equal('BITS_ERR_STATE');
      }));
    it('does not open with a signal that has aborted', () =>
      using(subject, pattern(10), async (source) => {
        const open = source.open(AbortSignal.abort(new Error('enough')));
        expect(await codeOf(open)).to.equal('BITS_ERR_ABORTED');
      }));
  });
}

/** Bytes of no pool, in which a shift by any small or round number shows. */
export const pattern = (byteLength: number): Uint8Array => new Uint8Array(patterned(byteLength));

async function using(
  subject: ContractSubject,
  bytes: Uint8Array,
  body: (source: ByteSource) => Promise<void>,
): Promise<void> {
  const fixture = await subject.make(bytes, NAME);
  try {
    await body(fixture.source);
  } finally {
    await fixture.dispose?.();
  }
}

async function withOpen(
  subject: ContractSubject,
  bytes: Uint8Array,
  body: (open: OpenSource, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  await using(subject, bytes, async (source) => {
    const open = await source.open();
    try {
      await body(open, bytes);
    } finally {
      await open.close();
    }
  });
}

async function drained(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  while (!(await pieces.next()).done);
}

/** chai would print megabytes. */
function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).to.equal(expected.length);
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  expect.fail(`the byte at ${at} is wrong`);
}
