import { expect } from 'chai';
import fc from 'fast-check';
import { isBitsError } from '../../src/errors.js';
import { appendFileName, parseRemoteUrl, redactUrl } from '../../src/protocol/remote-url.js';

function errorOf(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    expect(isBitsError(error) && error.code).to.equal('BITS_ERR_ARGUMENT');
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('a remote URL', () => {
  for (const [input, expected] of [
    ['http://server/vdir/f.bin', 'http://server/vdir/f.bin'],
    ['HTTPS://Server:443/f.bin?a=1&b=%20', 'https://server/f.bin?a=1&b=%20'],
    ['  http://server/f.bin  ', 'http://server/f.bin'],
    ['http://server', 'http://server/'],
    ['http://server/two words.txt', 'http://server/two%20words.txt'],
    ['http://server/日本.txt', 'http://server/%E6%97%A5%E6%9C%AC.txt'],
    ['http://bücher.example/f', 'http://xn--bcher-kva.example/f'],
    ['http://server/a%23b', 'http://server/a%23b'],
    ['http://server/f#part', 'http://server/f%23part'],
    ['http://server/f#', 'http://server/f%23'],
    ['http://server/f?a#b', 'http://server/f?a%23b'],
    ['http://server/100%#1', 'http://server/100%25%231'],
    ['http://server/100% sure%2', 'http://server/100%25%20sure%252'],
    ['http://server/f?x=100%', 'http://server/f?x=100%25'],
    ['http://server/f?', 'http://server/f?'],
    ['http://[2001:db8::1]:8080/f', 'http://[2001:db8::1]:8080/f'],
    ['http://server/{id}/f', 'http://server/%7Bid%7D/f'],
    ['http://server/a@b:c/f', 'http://server/a@b:c/f'],
  ] as const) {
    it(`may be ${input}`, () => {
      expect(parseRemoteUrl(input).href).to.equal(expected);
    });
  }

  it('is a copy when it is given as an object', () => {
    const url = new URL('http://server/f.bin');
    const parsed = parseRemoteUrl(url);
    expect(parsed.href).to.equal(url.href);
    expect(parsed).not.to.equal(url);
  });

  for (const [input, hint] of [
    ['', /http:\/\//],
    ['server/f.bin', /http:\/\//],
    ['//server/f.bin', /http:\/\//],
    ['server:80/f.bin', /http:\/\//],
    ['C:\\file.bin', /http:\/\//],
    ['ftp://server/f.bin', /http:\/\//],
    ['file:///etc/passwd', /http:\/\//],
    ['http:server/f.bin', /http:\/\//],
    ['http://', /malformed/],
    ['http://server:99999/f', /malformed/],
    ['http://ser ver/f', /malformed/],
    ['http://server/a\r\nX: y', /control character/],
    ['http://server/f\n', /control character/],
    ['http://server/a\0b', /control character/],
    ['http://server/a\u0085b', /control character/],
    ['http://server#f', /malformed/],
    ['http://me:geheim@server/f', /option for authentication/],
    ['http://geheim@server/f', /option for authentication/],
    ['http://:geheim@server/f', /option for authentication/],
    ['http://me:geheim#@server/f', /option for authentication/],
    ['http://me#:geheim@server/f', /option for authentication/],
    ['http://me:geheim@server:bad/f', /malformed/],
  ] as const) {
    it(`may not be ${JSON.stringify(input)}, and the error says what to do`, () => {
      const error = errorOf(() => parseRemoteUrl(input));
      expect(error.message).to.match(hint);
      expect(error.message).not.to.contain('geheim');
      expect(error.cause).to.equal(undefined);
    });
  }

  it('has no fragment: a # belongs to the name, in an object as in text', () => {
    expect(parseRemoteUrl(new URL('http://server/f#1')).href).to.equal('http://server/f%231');
  });

  it('is checked in the same way when it is given as an object', () => {
    errorOf(() => parseRemoteUrl(new URL('ftp://server/f')));
    errorOf(() => parseRemoteUrl(new URL('http://me:geheim@server/f')));
    errorOf(() => parseRemoteUrl(undefined as unknown as string));
  });

  it('is legal on the wire, or refused with the documented error, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, prefix) => {
        try {
          const { href } = parseRemoteUrl(prefix ? `http://server/${text}` : text);
          expect(href).to.match(/^https?:\/\/[\x21-\x7e]+$/);
          expect(href).not.to.match(/%(?![0-9a-f]{2})/i);
        } catch (error) {
          if (!isBitsError(error)) throw error;
          expect(error.code).to.equal('BITS_ERR_ARGUMENT');
        }
      }),
    );
  });

  for (const [url, name, expected] of [
    ['http://server/dir/', 'f.bin', 'http://server/dir/f.bin'],
    ['http://server', 'f.bin', 'http://server/f.bin'],
    ['http://server/dir/?q=1', 'f.bin', 'http://server/dir/f.bin?q=1'],
    ['http://server/dir/', 'a#b?c%d e.txt', 'http://server/dir/a%23b%3Fc%25d%20e.txt'],
    ['http://server/dir/', '%2e%2e', 'http://server/dir/%252e%252e'],
    ['http://server/dir/', 'a\\..\\b', 'http://server/dir/a%5C..%5Cb'],
    ['http://server/dir/', '日\n', 'http://server/dir/%E6%97%A5%0A'],
    ['http://server/dir/', '\ud800x', 'http://server/dir/%EF%BF%BDx'],
    ['http://server/dir/', '...', 'http://server/dir/...'],
    ['http://server/dir/name', 'f.bin', 'http://server/dir/name'],
    ['http://server/dir/name', '..', 'http://server/dir/name'],
  ] as const) {
    it(`${url} is completed with ${JSON.stringify(name)}`, () => {
      const given = new URL(url);
      expect(appendFileName(given, name).href).to.equal(expected);
      expect(given.href).to.equal(new URL(url).href);
    });
  }

  for (const name of ['', '.', '..', '/etc/passwd', '../x']) {
    it(`is not completed with ${JSON.stringify(name)}`, () => {
      errorOf(() => appendFileName(new URL('http://server/dir/'), name));
    });
  }

  it('keeps any name in one segment of the path, and decodable', () => {
    const names = fc.string({ unit: 'grapheme', minLength: 1 });
    fc.assert(
      fc.property(
        names.filter((name) => !/^\.{1,2}$|\//.test(name)),
        (name) => {
          const { pathname, search, hash } = appendFileName(new URL('http://server/dir/'), name);
          expect(pathname.split('/')).to.have.lengthOf(3);
          expect(decodeURIComponent(pathname)).to.equal(`/dir/${name}`);
          expect(search + hash).to.equal('');
        },
      ),
    );
  });

  it('is shown without user, password and query', () => {
    const url = new URL('https://me:geheim@server:8443/dir/f.bin?sig=geheim#geheim');
    expect(redactUrl(url)).to.equal('https://server:8443/dir/f.bin?…');
    expect(redactUrl(new URL('http://server/f'))).to.equal('http://server/f');
  });
});
