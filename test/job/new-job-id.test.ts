import { expect } from 'chai';
import { validate, version } from 'uuid';
import { newJobId } from '../../src/job/new-job-id.js';

describe('newJobId', () => {
  it('makes UUIDs of version 7, each another, across many refills of its randomness', () => {
    const ids = Array.from({ length: 2000 }, newJobId);
    expect(ids.every((id) => validate(id) && version(id) === 7)).to.equal(true);
    expect(new Set(ids.map((id) => id.slice(15))).size).to.equal(ids.length);
  });

  it('makes ids that sort in their order, within a millisecond too', () => {
    const ids = Array.from({ length: 2000 }, newJobId);
    expect(ids.toSorted()).to.deep.equal(ids);
    const firstMs = Number.parseInt(ids[0]?.replace('-', '').slice(0, 12) ?? '', 16);
    expect(firstMs).to.be.closeTo(Date.now(), 1000);
  });
});
