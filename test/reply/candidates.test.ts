import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import { type ReplyHostPolicy, replyCandidates } from '../../src/reply/candidates.js';

const remote = new URL('http://web.example/uploads/file.bin');
const secureRemote = new URL('https://web.example/uploads/file.bin');

function policy(changes: Partial<ReplyHostPolicy> = {}): ReplyHostPolicy {
  return { hostId: undefined, trustedHosts: [], hasCredentials: false, ...changes };
}

function places(replyUrl: string, changes: Partial<ReplyHostPolicy> = {}, from = remote) {
  return replyCandidates(replyUrl, from, policy(changes)).map(({ url }) => url.href);
}

function failure(action: () => unknown): BitsError {
  try {
    action();
  } catch (error) {
    expect(error).to.be.instanceOf(BitsError);
    return error as BitsError;
  }
  throw new Error('nothing was thrown');
}

describe('the places of a reply', () => {
  it('are the origin and then the host-id for the relative URL of IIS', () => {
    const iis = 'BITS-Sessions\\Replies\\{C85B4E0A}\\responsefile.bin';
    expect(places(iis, { hostId: '10.0.0.7:8080' })).to.deep.equal([
      'http://web.example/uploads/BITS-Sessions/Replies/%7BC85B4E0A%7D/responsefile.bin',
      'http://10.0.0.7:8080/uploads/BITS-Sessions/Replies/%7BC85B4E0A%7D/responsefile.bin',
    ]);
  });

  it('are one when there is no host-id or it is the origin', () => {
    expect(places('r.bin')).to.have.length(1);
    expect(places('r.bin', { hostId: 'web.example' })).to.have.length(1);
  });

  it('are one for a URL with a host, whatever the host-id', () => {
    expect(places('http://web.example/r.bin', { hostId: '10.0.0.7' })).to.deep.equal([
      'http://web.example/r.bin',
    ]);
  });

  it('may be on the own host, any port, and on listed hosts when the job has credentials', () => {
    const credentials = { hasCredentials: true, trustedHosts: ['*.corp.example'] };
    expect(places('http://web.example:81/r', credentials)).to.deep.equal([
      'http://web.example:81/r',
    ]);
    expect(places('http://a.corp.example/r', credentials)).to.deep.equal([
      'http://a.corp.example/r',
    ]);
  });

  it('may be on an unlisted host when the job has no credentials', () => {
    expect(places('//cdn.example/r')).to.deep.equal(['http://cdn.example/r']);
  });

  it('must not be on an unlisted host when the job has credentials', () => {
    const error = failure(() =>
      places('http://evil.example/r?token=s3cret', { hasCredentials: true }),
    );
    expect(error.code).to.equal('BITS_ERR_UNTRUSTED_HOST');
    expect(error.message).to.include('evil.example').and.include('trustedHosts');
    expect(error.message).to.not.include('s3cret');
    expect(error.retryable).to.equal(false);
  });

  it('must not be on an unlisted host when the URL of the upload has a query', () => {
    const signed = new URL(`${remote.href}?sig=s3cret`);
    const error = failure(() => places('http://cdn.example/r', {}, signed));
    expect(error.code).to.equal('BITS_ERR_UNTRUSTED_HOST');
    expect(error.message).to.not.include('s3cret');
    expect(places('#r', { hostId: 'node.example' }, signed)).to.deep.equal([`${signed.href}`]);
    expect(places('http://cdn.example/r', { trustedHosts: ['cdn.example'] }, signed)).to.deep.equal(
      ['http://cdn.example/r'],
    );
  });

  it('leave out a host-id that must not get the credentials', () => {
    expect(places('r.bin', { hostId: 'node.example', hasCredentials: true })).to.deep.equal([
      'http://web.example/uploads/r.bin',
    ]);
  });

  for (const [what, text, from] of [
    ['ftp', 'ftp://web.example/r', remote],
    ['file', 'file:///etc/passwd', remote],
    ['data', 'data:,reply', remote],
    ['a user name', 'http://me:pw@web.example/r', remote],
    ['http after https', 'http://web.example/r', secureRemote],
    ['a control character', 'r\r\nX: y', remote],
    ['nothing', '  ', remote],
    ['a URL of more than 8 KiB', `r?${'x'.repeat(8192)}`, remote],
    ['a URL that is more than 8 KiB in a request', `/${'\u00e9'.repeat(4000)}`, remote],
  ] as const) {
    it(`must not be ${what}`, () => {
      const error = failure(() => places(text, {}, from));
      expect(error.code).to.equal('BITS_ERR_REPLY');
      expect(error.message).to.not.include('pw@');
    });
  }

  it('follow the same rules after a redirect, as seen from the upload', () => {
    const open = replyCandidates('r.bin', secureRemote, policy())[0]!;
    const moved = open.redirected('//cdn.example/x', 0).redirected('../y', 1);
    expect(moved.url.href).to.equal('https://cdn.example/y');
    expect(moved.redirected('https://web.example/z', 2).url.host).to.equal('web.example');
    expect(failure(() => open.redirected('http://web.example/z', 0)).code).to.equal(
      'BITS_ERR_REPLY',
    );

    const guarded = replyCandidates('r.bin', remote, policy({ hasCredentials: true }))[0]!;
    expect(failure(() => guarded.redirected('http://cdn.example/x', 0)).code).to.equal(
      'BITS_ERR_UNTRUSTED_HOST',
    );
  });

  it('do not fall back to http after a redirect to https', () => {
    const upgraded = replyCandidates('https://web.example/r', remote, policy())[0]!;
    expect(failure(() => upgraded.redirected('http://web.example/r', 0)).code).to.equal(
      'BITS_ERR_REPLY',
    );
  });
});
