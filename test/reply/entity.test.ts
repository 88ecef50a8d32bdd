import { expect } from 'chai';
import { isSameEntity, readEntity } from '../../src/reply/entity.js';

const modified = 'Tue, 01 Jul 2025 11:59:59 GMT';
const nowMs = Date.parse('Tue, 01 Jul 2025 12:00:00 GMT');
const later = 'Tue, 01 Jul 2025 12:00:00 GMT';

describe('the validators of a reply', () => {
  it('resume it by a strong ETag, else by a date', () => {
    const both = { etag: '"a"', 'last-modified': modified, date: later };
    expect(readEntity(both, nowMs).ifRange).to.equal('"a"');
    expect(readEntity({ ...both, etag: 'W/"a"' }, nowMs).ifRange).to.equal(modified);
    expect(readEntity({ etag: 'W/"a"' }, nowMs).ifRange).to.equal(undefined);
  });

  it('do not resume it by a date within the same second as the answer', () => {
    const fresh = { 'last-modified': modified, date: modified };
    expect(readEntity(fresh, nowMs).ifRange).to.equal(undefined);
    expect(readEntity({ 'last-modified': modified }, nowMs).ifRange).to.equal(modified);
    expect(readEntity({ 'last-modified': modified }, nowMs - 1).ifRange).to.equal(undefined);
  });

  it('are ignored when they cannot be sent in a request', () => {
    for (const etag of ['a', '"a', '"a"b"', '"a\r\n"', '"\u00e9"', `"${'x'.repeat(2000)}"`]) {
      expect(readEntity({ etag }, nowMs).etag, etag).to.equal(undefined);
    }
    expect(readEntity({ 'last-modified': 'yesterday' }, nowMs).ifRange).to.equal(undefined);
  });
});

describe('the comparison of two versions of a reply', () => {
  it('notices another length, ETag or date', () => {
    expect(isSameEntity({ totalBytes: 1 }, { totalBytes: 2 })).to.equal(false);
    expect(isSameEntity({ etag: '"a"' }, { etag: '"b"' })).to.equal(false);
    expect(isSameEntity({ lastModified: modified }, { lastModified: later })).to.equal(false);
  });

  it('lets the ETag decide before the date, weak or not', () => {
    const known = { etag: 'W/"a"', lastModified: modified };
    expect(isSameEntity(known, { etag: '"a"', lastModified: later })).to.equal(true);
  });

  it('takes a missing validator for no change', () => {
    expect(isSameEntity({ totalBytes: 1, etag: '"a"', lastModified: modified }, {})).to.equal(true);
  });
});
