import { expect } from 'chai';
import { parseReplyResumePoint } from '../../src/reply/resume-point.js';

const point = {
  receivedBytes: 5,
  candidate: 1,
  totalBytes: 10,
  etag: '"a"',
  lastModified: undefined,
  ifRange: '"a"',
  place: 'http://h/r',
};

describe('parseReplyResumePoint', () => {
  it('reads back what was written as JSON', () => {
    expect(parseReplyResumePoint(JSON.parse(JSON.stringify(point)))).to.deep.equal(point);
  });

  for (const damaged of [
    null,
    'text',
    {},
    { ...point, receivedBytes: -1 },
    { ...point, receivedBytes: '5' },
    { ...point, candidate: 0.5 },
    { ...point, totalBytes: Number.MAX_VALUE },
    { ...point, ifRange: '"a"\r\nX: y' },
    { ...point, place: 7 },
  ]) {
    it(`takes ${JSON.stringify(damaged)} for none`, () => {
      expect(parseReplyResumePoint(damaged)).to.equal(undefined);
    });
  }
});
