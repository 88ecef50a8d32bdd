import { expect } from 'chai';
import { BitsArgumentError } from '../../../src/errors.js';
import { proxyChoice } from '../../../src/transport/proxy/proxy-choice.js';
import type { ProxyOption } from '../../../src/transport/proxy/proxy-server.js';

const HTTP = new URL('http://bits.example/x');
const HTTPS = new URL('https://bits.example/x');

function hosts(env: Record<string, string>, option?: ProxyOption, noProxy?: string) {
  const { proxyFor } = proxyChoice(option, noProxy, env);
  return [proxyFor(HTTP)?.host, proxyFor(HTTPS)?.host];
}

describe('the choice of a proxy', () => {
  it('follows the environment variable for the scheme', () => {
    expect(hosts({})).to.deep.equal([undefined, undefined]);
    expect(hosts({ HTTP_PROXY: 'http://a:1' })).to.deep.equal(['a:1', undefined]);
    expect(hosts({ https_proxy: 'http://b:2' })).to.deep.equal([undefined, 'b:2']);
    expect(hosts({ ALL_PROXY: 'http://c:3', HTTP_PROXY: 'http://a:1' })).to.deep.equal([
      'a:1',
      'c:3',
    ]);
  });

  it('prefers lower-case variables to upper-case ones', () => {
    expect(hosts({ HTTPS_PROXY: 'up:1', https_proxy: 'low:1' })[1]).to.equal('low:1');
  });

  it('ignores an empty variable', () => {
    expect(hosts({ https_proxy: '', HTTPS_PROXY: 'up:1' })[1]).to.equal('up:1');
    expect(hosts({ HTTPS_PROXY: '' })[1]).to.equal(undefined);
  });

  it('ignores an HTTP_PROXY that a client of a CGI program can set', () => {
    expect(hosts({ REQUEST_METHOD: 'GET', HTTP_PROXY: 'a:1' })[0]).to.equal(undefined);
    const lower = { REQUEST_METHOD: 'GET', http_proxy: 'a:1' };
    const hostOn = (platform: NodeJS.Platform) =>
      proxyChoice(undefined, undefined, lower, platform).proxyFor(HTTP)?.host;
    expect(hostOn('linux')).to.equal('a:1');
    // Names of variables know no case there.
    expect(hostOn('win32')).to.equal(undefined);
  });

  it('prefers the option to the environment, except for hosts in NO_PROXY', () => {
    const env = { HTTP_PROXY: 'a:1', HTTPS_PROXY: 'a:1', NO_PROXY: 'other.example' };
    expect(hosts(env, 'b:2')).to.deep.equal(['b:2', 'b:2']);
    expect(hosts({ ...env, NO_PROXY: 'bits.example' }, 'b:2')).to.deep.equal([
      undefined,
      undefined,
    ]);
    expect(hosts({ ...env, NO_PROXY: 'bits.example' }, 'b:2', '')).to.deep.equal(['b:2', 'b:2']);
    expect(hosts(env, undefined, 'bits.example:443')).to.deep.equal(['a:1', undefined]);
  });

  it('is no proxy with false', () => {
    expect(hosts({ HTTP_PROXY: 'a:1', ALL_PROXY: 'a:1' }, false)).to.deep.equal([
      undefined,
      undefined,
    ]);
  });

  for (const [url, host, kind] of [
    ['proxy.corp', 'proxy.corp:80', 'http'],
    ['proxy.corp:3128', 'proxy.corp:3128', 'http'],
    ['http://proxy.corp/', 'proxy.corp:80', 'http'],
    ['HTTPS://Proxy.Corp', 'proxy.corp:443', 'http'],
    ['https://proxy.corp:80', 'proxy.corp:80', 'http'],
    ['socks5://proxy.corp', 'proxy.corp:1080', 'socks5'],
    ['socks5h://u:p@[::1]:80/', '[::1]:80', 'socks5'],
    ['socks5://[fe80::1]:1', '[fe80::1]:1', 'socks5'],
  ] as const) {
    it(`reads ${url}`, () => {
      expect(proxyChoice(url, '', {}).proxyFor(HTTP)).to.include({ host, kind });
    });
  }

  it('separates the user name and password from the URL', () => {
    const server = proxyChoice('http://dom%5Cuser:p%40ss%3A@proxy:3128', '', {}).proxyFor(HTTP);
    expect(server?.credentials).to.deep.equal({ username: 'dom\\user', password: 'p@ss:' });
    expect(server?.host).to.equal('proxy:3128');
  });

  for (const [what, option] of [
    ['another scheme', 'socks4://user:hunter2@proxy'],
    ['a malformed port', 'http://user:hunter2@proxy:99999'],
    ['a password with a number sign', 'http://hunter2:12#hunter2@proxy:3128'],
    ['a password with a slash', 'http://hunter2:12/hunter2@proxy:3128'],
    ['a password with a question mark', 'hunter2:12?hunter2@proxy:3128'],
    ['a malformed escape', 'http://user:hunter2%@proxy'],
    ['a control character', 'http://user:hunter2%0d%0a@proxy'],
    ['an empty password for SOCKS5', 'socks5://hunter2@proxy'],
    ['tls for http', { url: 'http://user:hunter2@proxy', tls: {} }],
    ['auth beside a user name', { url: 'http://u:hunter2@p', auth: { token: 'hunter2' } }],
    ['auth for SOCKS5', { url: 'socks5://proxy', auth: { token: 'hunter2' } }],
    ['a number as the user name', { url: 'http://proxy', username: 7 }],
    ['no URL', {}],
    ['a number', 3128],
  ] as const) {
    it(`refuses ${what} without showing a password`, () => {
      let error: unknown;
      try {
        proxyChoice(option as never, undefined, {});
      } catch (thrown) {
        error = thrown;
      }
      expect(error).to.be.instanceOf(BitsArgumentError);
      expect(String((error as Error).stack)).not.to.include('hunter2');
    });
  }

  it('names the variable with the wrong value', () => {
    expect(() => hosts({ https_proxy: 'ftp://x' })).to.throw(BitsArgumentError, 'HTTPS_PROXY');
  });
});
