import { expect } from 'chai';
import { MAX_REDIRECTS, resolveRedirect } from '../../src/protocol/redirect.js';

const from = new URL('http://web.example/uploads/file.bin?key=s3cret');
const secure = new URL('https://web.example/uploads/file.bin');

function target(location: string, base = from): string | undefined {
  const redirect = resolveRedirect(base, location, 0);
  return 'url' in redirect ? redirect.url.href : undefined;
}

function refusal(location: string, base = from, hops = 0): string {
  const redirect = resolveRedirect(base, location, hops);
  if ('url' in redirect) throw new Error(`${location} leads to ${redirect.url}`);
  return redirect.refused;
}

describe('a redirect', () => {
  it('leads to where its Location says, relative or absolute', () => {
    expect(target('other.bin')).to.equal('http://web.example/uploads/other.bin');
    expect(target('/x?a=1#part')).to.equal('http://web.example/x?a=1');
    expect(target('//cdn.example/x')).to.equal('http://cdn.example/x');
    expect(target('https://cdn.example:444/x')).to.equal('https://cdn.example:444/x');
  });

  it('does not inherit the query of the URL that was requested', () => {
    expect(target('file.bin')).to.not.include('s3cret');
  });

  it('is refused after too many others', () => {
    expect(resolveRedirect(from, '/x', MAX_REDIRECTS - 1)).to.have.property('url');
    expect(refusal('/x', from, MAX_REDIRECTS)).to.include(`redirect ${MAX_REDIRECTS + 1}`);
  });

  it('is refused when its Location is longer than 8 KiB, as written or as it is requested', () => {
    expect(target(`/${'x'.repeat(8000)}`)).to.be.a('string');
    expect(refusal(`/${'x'.repeat(8192)}`)).to.include('8192');
    expect(refusal(`/${'\u00e9'.repeat(4000)}`)).to.include('8192');
  });

  for (const [what, location, base] of [
    ['a malformed URL', 'http://web.example:99999/', from],
    ['another scheme', 'file:///etc/passwd', from],
    ['a user name', 'http://me:pw@web.example/x', from],
    ['http after https', 'http://web.example/x', secure],
    ['a host name that is too long', `http://${'a.'.repeat(140)}b/`, from],
  ] as const) {
    it(`is refused for ${what}`, () => {
      expect(refusal(location, base)).to.not.include('pw').and.not.include('s3cret');
    });
  }
});
