import { expect } from 'chai';
import fc from 'fast-check';
import { offerOf, parseChallenges } from '../../../src/transport/auth/challenges.js';

const read = (header: string | undefined) =>
  parseChallenges(header).map(({ scheme, token68, params }) => ({
    scheme,
    ...(token68 !== undefined && { token68 }),
    ...(params.size > 0 && { params: Object.fromEntries(params) }),
  }));

describe('the parser of challenges', () => {
  it('reads schemes without parameters, as IIS sends them, joined into one header', () => {
    expect(read('Negotiate, NTLM, Basic realm="web"')).to.deep.equal([
      { scheme: 'negotiate' },
      { scheme: 'ntlm' },
      { scheme: 'basic', params: { realm: 'web' } },
    ]);
  });

  it('reads tokens of NTLM and Negotiate with their padding', () => {
    expect(read('NTLM TlRMTVNTUAAC==, Negotiate oYG2MIGz=')).to.deep.equal([
      { scheme: 'ntlm', token68: 'TlRMTVNTUAAC==' },
      { scheme: 'negotiate', token68: 'oYG2MIGz=' },
    ]);
  });

  it('keeps commas, escapes and equals signs inside quotes', () => {
    expect(
      read(
        'Digest realm="a, Basic \\"b\\" = \\\\c", qop="auth,auth-int", nonce=abc== , stale = TRUE',
      ),
    ).to.deep.equal([
      {
        scheme: 'digest',
        params: {
          realm: 'a, Basic "b" = \\c',
          qop: 'auth,auth-int',
          nonce: 'abc==',
          stale: 'TRUE',
        },
      },
    ]);
  });

  it('separates two offers of one scheme', () => {
    const offers = read(
      'Digest realm="x", algorithm=SHA-256, nonce="1", Digest realm="x", algorithm=MD5, nonce="2"',
    );
    expect(offers.map(({ params }) => params?.algorithm)).to.deep.equal(['SHA-256', 'MD5']);
  });

  it('uses the first of repeated parameters, whatever their case, and skips empty list elements', () => {
    expect(read(' ,, BASIC  Realm="1", REALM="2",,')).to.deep.equal([
      { scheme: 'basic', params: { realm: '1' } },
    ]);
  });

  it('skips an unreadable part and continues after the next comma', () => {
    expect(read('"junk" =, @@@, Basic realm="x"')).to.deep.include({
      scheme: 'basic',
      params: { realm: 'x' },
    });
    expect(read('Basic realm="never closed')).to.deep.equal([
      { scheme: 'basic', params: { realm: 'never closed' } },
    ]);
    expect(read(undefined)).to.deep.equal([]);
    expect(read('')).to.deep.equal([]);
  });

  it('limits the number and the length of offers', () => {
    expect(parseChallenges('a, '.repeat(1000))).to.have.length(16);
    const many = `x ${Array.from({ length: 1000 }, (_, i) => `p${i}=1`).join(', ')}`;
    expect(parseChallenges(many)[0]?.params.size).to.equal(32);
    expect(parseChallenges(`Basic realm="${'x'.repeat(70_000)}"`)).to.deep.equal([]);
    expect(parseChallenges(`${'x'.repeat(33)} a=b`)).to.deep.equal([]);
  });

  it('takes linear time for input that invites backtracking', () => {
    for (const text of [
      'a'.repeat(60_000),
      `a${' '.repeat(60_000)}b`,
      `a ${'='.repeat(60_000)}b`,
    ]) {
      const start = performance.now();
      parseChallenges(text);
      expect(performance.now() - start).to.be.below(500);
    }
  });

  it('never throws, and returns lower-case tokens as schemes', () => {
    const piece = fc.constantFrom(
      'a',
      'Basic',
      ' ',
      ',',
      '=',
      '"',
      '\\',
      '\t',
      'x=y',
      '==',
      '@',
      'é',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        for (const { scheme } of parseChallenges(pieces.join(''))) {
          expect(scheme).to.match(/^[!#$%&'*+\-.^_`|~0-9a-z]{1,32}$/);
        }
      }),
    );
  });

  it('returns the quoted values that a server wrote', () => {
    const value = fc.string({ maxLength: 20, unit: 'grapheme-ascii' });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
        const params = values.map((v, i) => `p${i}="${v.replace(/["\\]/g, '\\$&')}"`);
        const offer = offerOf(
          parseChallenges(`NTLM, Digest ${params.join(', ')}, Basic`),
          'digest',
        );
        expect([...(offer?.params.values() ?? [])]).to.deep.equal(values);
      }),
    );
  });
});
