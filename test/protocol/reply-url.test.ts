import { expect } from 'chai';
import fc from 'fast-check';
import { resolveReplyUrl } from '../../src/protocol/reply-url.js';

const remoteUrl = new URL('http://server:8080/vdir/sub/upload.bin?key=1');

describe('a reply URL', () => {
  it('of IIS 6 is resolved as Windows fetched it', () => {
    const value =
      'BITS-Sessions\\Replies\\{C85B4E0A-9EB9-4114-BFA4-8A43B4710091}\\responsefile.bin';
    expect(resolveReplyUrl(value, new URL('http://frankcao8/vdir/upload.txt'))?.url.href).to.equal(
      'http://frankcao8/vdir/BITS-Sessions/Replies/' +
        '%7BC85B4E0A-9EB9-4114-BFA4-8A43B4710091%7D/responsefile.bin',
    );
  });

  for (const [value, expected, relative] of [
    ['reply.bin', 'http://server:8080/vdir/sub/reply.bin', true],
    [' ..\\reply.bin ', 'http://server:8080/vdir/reply.bin', true],
    ['/other/reply.bin', 'http://server:8080/other/reply.bin', true],
    ['\\other\\reply.bin', 'http://server:8080/other/reply.bin', true],
    ['two words.bin', 'http://server:8080/vdir/sub/two%20words.bin', true],
    ['r.aspx?id={1}&p=a\\b', 'http://server:8080/vdir/sub/r.aspx?id=%7B1%7D&p=a\\b', true],
    ['r.bin#part', 'http://server:8080/vdir/sub/r.bin', true],
    ['http://server:8080/r.bin', 'http://server:8080/r.bin', false],
    ['https://static.example/{a}/r.bin?x=1', 'https://static.example/%7Ba%7D/r.bin?x=1', false],
    ['//static.example/r.bin', 'http://static.example/r.bin', false],
    ['\\\\static.example\\r.bin', 'http://static.example/r.bin', false],
    ['/\\static.example/r.bin', 'http://static.example/r.bin', false],
    ['HTTP:\\\\static.example\\r.bin', 'http://static.example/r.bin', false],
  ] as const) {
    it(`is resolved from ${JSON.stringify(value)}`, () => {
      const resolved = resolveReplyUrl(value, remoteUrl);
      expect(resolved?.url.href).to.equal(expected);
      expect(resolved?.relative).to.equal(relative);
    });
  }

  for (const value of [
    '',
    '  ',
    'file:///etc/passwd',
    'C:\\inetpub\\reply.bin',
    'ftp://server/r.bin',
    'javascript:alert(1)',
    'data:,x',
    'http://',
    'http://server:99999/',
    'http://me:pw@server/r.bin',
    'http://me@server/r.bin',
    '//me:pw@server/r.bin',
    'a\r\nb',
    'a\0b',
    'a\tb',
  ]) {
    it(`is not fetched when it is ${JSON.stringify(value)}`, () => {
      expect(resolveReplyUrl(value, remoteUrl)).to.equal(undefined);
    });
  }

  it('never leads from https to http', () => {
    const secure = new URL('https://server/vdir/upload.bin');
    expect(resolveReplyUrl('http://server/r.bin', secure)).to.equal(undefined);
    expect(resolveReplyUrl('r.bin', secure)?.url.href).to.equal('https://server/vdir/r.bin');
    expect(resolveReplyUrl('//other/r.bin', secure)?.url.protocol).to.equal('https:');
  });

  it('is called relative only when it stays on the origin, whatever the text', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'a:/\\@?#.{} htp') }),
    );
    fc.assert(
      fc.property(text, (value) => {
        const resolved = resolveReplyUrl(value, remoteUrl);
        if (resolved === undefined) return;
        expect(resolved.url.protocol).to.match(/^https?:$/);
        expect(resolved.url.username + resolved.url.password + resolved.url.hash).to.equal('');
        if (resolved.relative) expect(resolved.url.origin).to.equal(remoteUrl.origin);
      }),
      { numRuns: 1000 },
    );
  });
});
