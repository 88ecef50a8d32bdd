import { expect } from 'chai';
import { BitsServerError } from '../../src/errors.js';
import type { WireHeaders } from '../../src/protocol/packets.js';
import { readReplyAnswer } from '../../src/reply/answer.js';

const nowMs = Date.parse('Tue, 01 Jul 2025 12:00:00 GMT');
const read = (status: number, headers: WireHeaders = {}) =>
  readReplyAnswer({ status, headers }, nowMs);

function refusal(status: number, headers: WireHeaders = {}) {
  const answer = read(status, headers);
  if (answer.kind !== 'refused') throw new Error(`${status} is ${answer.kind}`);
  return answer.error;
}

describe('an answer to the GET of a reply', () => {
  it('is a whole reply with or without a length', () => {
    expect(read(200, { 'content-length': '12' })).to.deep.equal({ kind: 'whole', totalBytes: 12 });
    expect(read(200)).to.deep.equal({ kind: 'whole', totalBytes: undefined });
    expect(refusal(200, { 'content-length': '12, 13' }).retryable).to.equal(true);
  });

  it('is a part only when its headers agree with each other', () => {
    const range = { 'content-range': 'bytes 5-9/10' };
    const part = { kind: 'part', range: { start: 5, end: 10, total: 10 } };
    expect(read(206, range)).to.deep.equal(part);
    expect(read(206, { ...range, 'content-length': '5' })).to.deep.equal(part);
    const broken = { kind: 'part', range: undefined };
    expect(read(206, { ...range, 'content-length': '4' })).to.deep.equal(broken);
    expect(read(206, { 'content-range': 'bytes 9-5/10' })).to.deep.equal(broken);
    const multipart = { 'content-type': ' Multipart/byteranges; boundary=x' };
    expect(read(206, multipart)).to.deep.equal(broken);
    expect(read(206, { ...range, ...multipart })).to.deep.equal(broken);
  });

  it('gives the length of the reply with a 416', () => {
    expect(read(416, { 'content-range': 'bytes */10' })).to.include({ totalBytes: 10 });
    expect(read(416, { 'content-range': 'bytes */*' })).to.include({ totalBytes: undefined });
    expect(read(416)).to.include({ kind: 'unsatisfiable', totalBytes: undefined });
  });

  it('is refused for good when it is compressed', () => {
    for (const status of [200, 206]) {
      const error = refusal(status, { 'content-encoding': 'gzip' });
      expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
      expect(refusal(status, { 'transfer-encoding': 'gzip, chunked' }).code).to.equal(error.code);
    }
    expect(read(200, { 'transfer-encoding': 'Chunked' }).kind).to.equal('whole');
    expect(read(200, { 'content-encoding': 'Identity' }).kind).to.equal('whole');
  });

  for (const status of [202, 204, 408, 429, 500, 502, 503, 504, 507]) {
    it(`may be tried again after ${status}`, () => {
      expect(refusal(status).retryable).to.equal(true);
    });
  }

  for (const status of [201, 203, 205, 300, 304, 400, 401, 403, 405, 407, 501, 505]) {
    it(`is final after ${status}`, () => {
      expect(refusal(status).retryable).to.equal(false);
    });
  }

  it('keeps the delay that Retry-After asks for', () => {
    const error = refusal(503, { 'retry-after': '7' });
    expect(error).to.be.instanceOf(BitsServerError);
    expect(error).to.include({ status: 503, retryAfterMs: 7000 });
  });

  it('is an error of authentication for 401 but not for 403', () => {
    expect(refusal(401).code).to.equal('BITS_ERR_AUTH');
    expect(refusal(403).code).to.equal('BITS_ERR_SERVER');
  });

  it('is a redirect only with a target', () => {
    for (const status of [301, 302, 303, 307, 308]) {
      expect(read(status, { location: '/x' })).to.deep.equal({ kind: 'redirect', location: '/x' });
      expect(refusal(status, { location: ' ' }).retryable).to.equal(false);
    }
  });

  it('means that the reply is gone for 404 and 410', () => {
    expect(read(404)).to.deep.equal({ kind: 'gone', status: 404 });
    expect(read(410)).to.deep.equal({ kind: 'gone', status: 410 });
  });
});
