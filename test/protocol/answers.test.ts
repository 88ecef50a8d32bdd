import { expect } from 'chai';
import { ANSWERS, type AnswerTraits, adviceOn, findAnswer } from '../../src/protocol/answers.js';
import { PACKET_TYPE_NAMES } from '../../src/protocol/constants.js';
import type { PacketType } from '../../src/protocol/packets.js';

const everyPacket = Object.keys(PACKET_TYPE_NAMES) as PacketType[];
const hresults = [undefined, ...new Set(ANSWERS.flatMap((row) => row.hresults ?? []))];

function* everyTrait(): Generator<AnswerTraits> {
  for (const packetType of everyPacket) {
    for (let status = 99; status <= 601; status++) {
      for (const hresult of hresults) {
        for (const context of [undefined, 0x5, 0x7]) yield { packetType, status, hresult, context };
      }
    }
  }
}

describe('the table of answers', () => {
  it('has no row that an earlier, broader row hides', () => {
    const used = new Set<unknown>();
    for (const traits of everyTrait()) used.add(findAnswer(traits));
    const unused = ANSWERS.filter((row) => !used.has(row)).map((row) => row.advice);
    expect(unused).to.deep.equal([]);
  });

  it('says for every row what to check or change', () => {
    for (const { advice } of ANSWERS) expect(advice).to.match(/check|remove|free|allow/);
  });

  it('explains an HTTP status as an HRESULT only when it is not that of the answer', () => {
    const refused = { packetType: 'fragment', status: 500, context: undefined } as const;
    const other = /depends on was answered with status 404/;
    expect(adviceOn({ ...refused, hresult: 0x80190194 })).to.match(other);
    expect(adviceOn({ ...refused, hresult: 0x801901f4 })).to.not.match(/depends on/);
  });

  it('never retries a Close or Cancel on 100 to 499 (Win32: ack-for-close-session)', () => {
    for (const traits of everyTrait()) {
      if (!/^(?:close|cancel)-session$/.test(traits.packetType)) continue;
      const { meaning } = findAnswer(traits);
      if (traits.status < 500) expect(meaning).not.to.equal('transient');
      else if (traits.status < 600) expect(meaning).to.be.oneOf(['transient', 'session-not-found']);
    }
  });

  it('asks for another fragment only in answers to a Fragment', () => {
    for (const traits of everyTrait()) {
      const { meaning } = findAnswer(traits);
      if (/^(?:out-of-step|fragment-too-large|maybe-too-large)$/.test(meaning)) {
        expect(traits.packetType).to.equal('fragment');
      }
    }
  });
});
