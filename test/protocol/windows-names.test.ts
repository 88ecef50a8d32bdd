import { expect } from 'chai';
import fc from 'fast-check';
import { namesThatMeet, nameThatIisRefuses } from '../../src/protocol/windows-names.js';

describe('a name that IIS refuses', () => {
  for (const [path, reason] of [
    ['/v/a%26b.txt', /the character &/],
    ['/v/a%2525b.txt', /the character %/],
    ['/v/a%3Ab.txt', /the character :/],
    ['/v/a+b.txt', /the character \+ \(404\.11\)/],
    ['/v/a%2Bb.txt', /404\.11/],
    ['/v/bin/f.dat', /the name bin \(404\.8\)/],
    ['/v/App_Data/f.dat', /the name app_data/],
    ['/v/web.config', /the name web\.config/],
    ['/v/app.CONFIG', /end in \.config \(404\.7\)/],
    ['/v/data.mdb', /\.mdb/],
    ['/v/Program.cs', /\.cs/],
  ] as const) {
    it(`is ${path}, and the reason is given`, () => {
      expect(nameThatIisRefuses(new URL(`http://server${path}`))).to.match(reason);
    });
  }

  for (const path of [
    '/v/f.bin',
    '/v/binary/cs',
    '/v/a%20b.txt',
    '/v/b%C3%BCcher.zip',
    '/',
    '/%ff',
  ]) {
    it(`is not ${path}`, () => {
      expect(nameThatIisRefuses(new URL(`http://server${path}`))).to.equal(undefined);
    });
  }

  it('is found in any URL without an exception', () => {
    fc.assert(
      fc.property(fc.webPath(), (path) => {
        nameThatIisRefuses(new URL(`http://server${path}`));
      }),
    );
  });
});

describe('the names that meet on a Windows server', () => {
  it('differ by case, or by dots and spaces at the end', () => {
    const names = ['a.txt', 'B.txt', 'A.TXT', 'b.txt. .', 'c', 'ÄÖ', 'äö'];
    expect(namesThatMeet(names)).to.deep.equal([
      ['a.txt', 'A.TXT'],
      ['B.txt', 'b.txt. .'],
      ['ÄÖ', 'äö'],
    ]);
  });

  it('include the same name given twice', () => {
    expect(namesThatMeet(['a', 'a'])).to.deep.equal([['a', 'a']]);
  });

  it('do not include names that only look alike', () => {
    expect(namesThatMeet(['straße', 'STRASSE', ' a', 'a', '.a', 'a.b', 'ab'])).to.deep.equal([]);
  });

  it('are found in linear time', () => {
    namesThatMeet([' '.repeat(200_000), `a${'. '.repeat(100_000)}b`]);
  });
});
