import { expect } from 'chai';
import { Line } from '../../src/transport/line.js';

const MIB = 1024 * 1024;
const STALL_MS = 120_000;
const ANSWER_MS = 300_000;

describe('what is known about a line', () => {
  const fragment = (bodyBytes: number, sendMs: number) => ({
    kind: 'fragment',
    bodyBytes,
    sendMs,
  });
  const small = (kind?: string) => ({ kind, bodyBytes: 0, sendMs: 0 });

  /** A line over which some fragments have gone. */
  function used(bodyBytes: number, sendMs: number, waitMs: number): Line {
    const line = new Line();
    for (let i = 0; i < 3; i++) line.answered(fragment(bodyBytes, sendMs), waitMs, true);
    return line;
  }

  describe('limits how long no byte moves', () => {
    it("to the caller's limit, as long as nothing is known", () => {
      const line = new Line();
      line.tookSlice(65_536, 1);
      expect(line.stallLimitMs(STALL_MS)).to.equal(STALL_MS);
    });

    it('to 8 s on a fast line', () => {
      expect(used(4 * MIB, 900, 100).stallLimitMs(STALL_MS)).to.equal(8_000);
    });

    it("to the caller's limit on a fast line, when that is shorter", () => {
      expect(used(4 * MIB, 900, 100).stallLimitMs(2000)).to.equal(2000);
    });

    it('to the time that the system needs for what it takes at once', () => {
      // At 64 kbit/s the system may take nothing for two minutes, and all is well.
      expect(used(65_536, 0, 8192).stallLimitMs(STALL_MS)).to.equal(STALL_MS);
      expect(used(65_536, 0, 1000).stallLimitMs(STALL_MS)).to.be.within(15_000, 17_000);
    });

    it('to several times the longest wait before', () => {
      const line = used(4 * MIB, 900, 100);
      line.tookSlice(65_536, 7000);
      expect(line.stallLimitMs(STALL_MS)).to.equal(28_000);
    });

    it("to the caller's limit after a time-out: the line may be another one now", () => {
      const line = used(4 * MIB, 900, 100);
      line.timedOut();
      expect(line.stallLimitMs(STALL_MS)).to.equal(STALL_MS);
    });
  });

  describe('limits how long no byte is seen to leave the system', () => {
    it('to 8 s on any line, or to the time for the bytes that are left', () => {
      expect(new Line().seenStallLimitMs(STALL_MS, 200)).to.equal(8_000);
      expect(used(65_536, 0, 8192).seenStallLimitMs(STALL_MS, 200)).to.equal(8_000);
      expect(new Line().seenStallLimitMs(STALL_MS, 11_000)).to.equal(11_000);
    });

    it('to 15 s at most, or to the limit of the caller', () => {
      expect(new Line().seenStallLimitMs(STALL_MS, 600_000)).to.equal(15_000);
      expect(new Line().seenStallLimitMs(3000, 600_000)).to.equal(3000);
    });

    it('to twice as long after each time-out, until an answer comes', () => {
      const line = new Line();
      line.timedOut();
      line.timedOut();
      expect(line.seenStallLimitMs(STALL_MS, 200)).to.equal(32_000);
      line.answered(small('ping'), 10, false);
      expect(line.seenStallLimitMs(STALL_MS, 200)).to.equal(8_000);
    });
  });

  describe('limits how long an answer takes', () => {
    it('to 60 s for a request without a body of which nothing is known', () => {
      expect(new Line().answerLimitMs(ANSWER_MS, small('ping'))).to.equal(60_000);
      expect(new Line().answerLimitMs(ANSWER_MS, small())).to.equal(60_000);
      expect(new Line().answerLimitMs(20_000, small())).to.equal(20_000);
    });

    it('to twice as long after each time-out, until an answer comes', () => {
      const line = new Line();
      line.timedOut();
      expect(line.answerLimitMs(ANSWER_MS, small())).to.equal(120_000);
      line.timedOut();
      line.timedOut();
      expect(line.answerLimitMs(ANSWER_MS, small())).to.equal(ANSWER_MS);
      line.answered(small('ping'), 10, false);
      expect(line.answerLimitMs(ANSWER_MS, small())).to.equal(60_000);
    });

    it("to the caller's limit for a body of which nothing is known", () => {
      expect(new Line().answerLimitMs(ANSWER_MS, fragment(65_536, 1))).to.equal(ANSWER_MS);
    });

    it('to several times the longest answer of the kind, at least 8 s', () => {
      const line = used(4 * MIB, 900, 100);
      expect(line.answerLimitMs(ANSWER_MS, fragment(MIB, 200))).to.equal(8_000);
      line.answered(fragment(MIB, 200), 9000, true);
      expect(line.answerLimitMs(ANSWER_MS, fragment(65_536, 1))).to.be.within(36_000, 40_000);
      expect(line.answerLimitMs(ANSWER_MS, small('ping'))).to.equal(60_000);
    });

    it("to the caller's limit for a body without a kind, whatever others took", () => {
      const line = used(4 * MIB, 900, 100);
      expect(
        line.answerLimitMs(ANSWER_MS, { bodyBytes: MIB, sendMs: 200, kind: undefined }),
      ).to.equal(ANSWER_MS);
    });

    it("beyond the caller's limit, by the time that a slow line needs for the rest of the body", () => {
      const line = used(65_536, 0, 8192);
      const limitMs = line.answerLimitMs(20_000, { ...fragment(262_144, 0), kind: undefined });
      expect(limitMs).to.be.within(20_000 + 64_000, 20_000 + 66_000);
      expect(line.answerLimitMs(20_000, fragment(100 * MIB, 0))).to.be.below(621_000);
    });
  });

  for (const [what, request, waitMs] of [
    ['a body of a few bytes, as the last one of a file', fragment(10, 0), 20],
    ['a body that an application works on', { ...fragment(MIB, 9), kind: undefined }, 120_000],
  ] as const) {
    it(`is not that it is slow, after ${what}`, () => {
      for (const line of [used(4 * MIB, 900, 100), new Line()]) {
        const before = line.stallLimitMs(STALL_MS);
        line.answered(request, waitMs, true);
        expect(line.stallLimitMs(STALL_MS)).to.equal(before);
        const next = { ...fragment(4 * MIB, 900), kind: undefined };
        expect(line.answerLimitMs(ANSWER_MS, next)).to.be.within(ANSWER_MS, ANSWER_MS + 10_000);
      }
    });
  }

  describe('says in how large slices to write', () => {
    it('larger ones while they are taken at once, up to 2 MiB', () => {
      const line = new Line();
      expect(line.sliceBytes).to.equal(65_536);
      for (let i = 0; i < 10; i++) line.tookSlice(line.sliceBytes, 1);
      expect(line.sliceBytes).to.equal(2 * MIB);
    });

    it('no larger ones for a rest that is taken at once', () => {
      const line = new Line();
      line.tookSlice(100, 1);
      expect(line.sliceBytes).to.equal(65_536);
    });

    it('smaller ones while each takes long, down to 16 KiB', () => {
      const line = new Line();
      for (let i = 0; i < 10; i++) line.tookSlice(line.sliceBytes, 900);
      expect(line.sliceBytes).to.equal(16_384);
    });
  });

  describe('says whether to use a connection again', () => {
    it('not after two that broke', () => {
      const line = new Line();
      line.broke();
      expect(line.isReusable).to.equal(true);
      line.broke();
      expect(line.isReusable).to.equal(false);
      line.answered(small('ping'), 1, true);
      expect(line.isReusable).to.equal(false);
    });

    it('still when few break among many that do not', () => {
      const line = new Line();
      for (let round = 0; round < 20; round++) {
        line.broke();
        for (let i = 0; i < 5; i++) line.answered(small('ping'), 1, true);
      }
      expect(line.isReusable).to.equal(true);
    });

    it('not because new connections answer', () => {
      const line = new Line();
      for (let round = 0; round < 2; round++) {
        line.broke();
        for (let i = 0; i < 5; i++) line.answered(small('ping'), 1, false);
      }
      expect(line.isReusable).to.equal(false);
    });
  });
});
