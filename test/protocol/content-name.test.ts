import { expect } from 'chai';
import fc from 'fast-check';
import { encodeContentName } from '../../src/protocol/content-name.js';

// fast-check's binary strings hold lone surrogates.
const names = fc.string({ unit: 'binary', maxLength: 400 });

describe('a Content-Name', () => {
  for (const [name, expected] of [
    ['rfc2119.txt', 'rfc2119.txt'],
    ["a!#$&'()+,-.;=@[]^_`{}~Z9", "a!#$&'()+,-.;=@[]^_`{}~Z9"],
    ['two words.txt', 'two%20words.txt'],
    [' edges ', '%20edges%20'],
    ['100%.txt', '100%25.txt'],
    ['a:b*c?d"e<f>g|h', 'a%3Ab%2Ac%3Fd%22e%3Cf%3Eg%7Ch'],
    ['naïve.txt', 'na%C3%AFve.txt'],
    ['日本.txt', '%E6%97%A5%E6%9C%AC.txt'],
    ['😀', '%F0%9F%98%80'],
    ['\ud83d', '%EF%BF%BD'],
    ['a\r\nBITS-Session-Id: x', 'a%0D%0ABITS-Session-Id%3A%20x'],
    ['nul\0', 'nul%00'],
    ['/home/me/dump.zip', 'dump.zip'],
    ['C:\\Users\\me\\dump.zip', 'dump.zip'],
    ['mixed\\path/dump.zip', 'dump.zip'],
    ['folder/', 'folder'],
    ['', 'upload'],
    ['///', 'upload'],
    ['.', 'upload'],
    ['a/..', 'upload'],
    ['...', '...'],
  ] as const) {
    it(`of ${JSON.stringify(name)} is ${expected}`, () => {
      expect(encodeContentName(name)).to.equal(expected);
    });
  }

  it('keeps a name of exactly 260 characters', () => {
    expect(encodeContentName('x'.repeat(260))).to.equal('x'.repeat(260));
    expect(encodeContentName('x'.repeat(261))).to.equal('x'.repeat(260));
  });

  it('is cut between characters, and never inside an escape, when the name is long', () => {
    const encoded = encodeContentName(`x${'日'.repeat(100)}`);
    expect(encoded).to.have.lengthOf.within(252, 260);
    expect(decodeURIComponent(encoded)).to.equal(`x${'日'.repeat(28)}`);
  });

  it('is always a legal header value with no forbidden character, and decodes to the name', () => {
    fc.assert(
      fc.property(names, (name) => {
        const encoded = encodeContentName(name);
        expect(encoded).to.match(/^[\x21-\x7e]{1,260}$/);
        expect(encoded).not.to.match(/[\\/:*?"<>|]/);
        const last = name.split(/[\\/]/).filter(Boolean).at(-1) ?? 'upload';
        const wellFormed = new TextDecoder().decode(new TextEncoder().encode(last));
        const decoded = decodeURIComponent(encoded);
        if (encoded.length < 249 && last !== '.' && last !== '..') {
          // TextDecoder swallows a leading byte order mark.
          expect(decoded.replace(/^\ufeff/, '')).to.equal(wellFormed);
        }
      }),
    );
  });
});
