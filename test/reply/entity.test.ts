import { expect } from 'chai';
import { isSameEntity, readEntity } from '../../src/reply/entity.js';

const modified = 'Tue, 01 Jul 2025 11:59:59 GMT';
const nowMs = Date.parse('Tue, 01 Jul 2025 12:00:00 GMT');
const later = 'Tue, 01 Jul 2025 12:00:00 GMT';

describe('readEntity', () => {
  it('continues by a strong ETag first, then by a date', () => {
    const both = { etag: '"a"', 'last-modified': modified, date: later };
    expect(readEntity(both, 1, nowMs).ifRange).to.equal('"a"');
    expect(readEntity({ ...both, etag: 'W/"a"' }, 1, nowMs).ifRange).to.equal(modified);
    expect(readEntity({ etag: 'W/"a"' }, 1, nowMs).ifRange).to.equal(undefined);
  });

  it('does not continue by a date of the very second of the answer', () => {
    const fresh = { 'last-modified': modified, date: modified };
    expect(readEntity(fresh, 1, nowMs).ifRange).to.equal(undefined);
    expect(readEntity({ 'last-modified': modified }, 1, nowMs).ifRange).to.equal(modified);
    expect(readEntity({ 'last-modified': modified }, 1, nowMs - 1).ifRange).to.equal(undefined);
  });

  it('ignores validators that could not stand in a request', () => {
    for (const etag of ['a', '"a', '"a"b"', '"a\r\n"', '"\u00e9"', `"${'x'.repeat(2000)}"`]) {
      expect(readEntity({ etag }, 1, nowMs).etag, etag).to.equal(undefined);
    }
    expect(readEntity({ 'last-modified': 'yesterday' }, 1, nowMs).ifRange).to.equal(undefined);
  });
});

describe('isSameEntity', () => {
  it('notices another length, ETag or date', () => {
    expect(isSameEntity({ totalBytes: 1 }, { totalBytes: 2 })).to.equal(false);
    expect(isSameEntity({ etag: '"a"' }, { etag: '"b"' })).to.equal(false);
    expect(isSameEntity({ lastModified: modified }, { lastModified: later })).to.equal(false);
  });

  it('lets the ETag decide before the date, and its weakness aside', () => {
    const known = { etag: 'W/"a"', lastModified: modified };
    expect(isSameEntity(known, { etag: '"a"', lastModified: later })).to.equal(true);
  });

  it('takes silence for no change', () => {
    expect(isSameEntity({ totalBytes: 1, etag: '"a"', lastModified: modified }, {})).to.equal(true);
  });
});
