import { expect } from 'chai';
import { validate, version } from 'uuid';
import { newJobId } from '../../src/job/new-job-id.js';

describe('newJobId', () => {
  it('makes UUIDs of version 7, each another, across many refills of its randomness', () => {
    const ids = Array.from({ length: 2000 }, newJobId);
    expect(ids.every((id) => validate(id) && version(id) === 7)).to.equal(true);
    expect(new Set(ids.map((id) => id.slice(15))).size).to.equal(ids.length);
  });

  it('makes ids that sort by time', () => {
    const earlier = newJobId();
    const startMs = Date.now();
    while (Date.now() === startMs);
    expect(newJobId() > earlier).to.equal(true);
  });
});
