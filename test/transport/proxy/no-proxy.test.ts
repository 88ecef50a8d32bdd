import { expect } from 'chai';
import { noProxyMatcher } from '../../../src/transport/proxy/no-proxy.js';

describe('NO_PROXY', () => {
  for (const [text, past, through] of [
    ['', [], ['http://a.example/', 'http://127.0.0.1/', 'http://localhost/']],
    ['*', ['http://a.example/', 'https://[::1]:8443/'], []],
    ['a.example, *', ['http://b.example/'], []],
    [
      'corp.example',
      ['http://corp.example/', 'https://WEB.corp.example:8443/', 'http://corp.example./'],
      ['http://notcorp.example/', 'http://corp.example.org/', 'http://example/'],
    ],
    [
      '.corp.example',
      ['http://corp.example/', 'http://a.b.corp.example/'],
      ['http://acorp.example/'],
    ],
    ['*.Corp.Example.', ['http://web.corp.example/'], ['http://xcorp.example/']],
    [
      'a.example:8080 b.example:443',
      ['http://a.example:8080/', 'http://x.a.example:8080/', 'https://b.example/'],
      ['http://a.example/', 'http://b.example/'],
    ],
    ['localhost,127.0.0.1', ['http://localhost:3000/', 'http://127.0.0.1/'], ['http://127.0.0.2/']],
    ['127.0.0.1:80', ['http://127.0.0.1/'], ['http://127.0.0.1:8080/']],
    ['10.0.0.0/8', ['http://10.255.0.1/'], ['http://11.0.0.1/', 'http://ten.example/']],
    ['192.168.1.128/25', ['http://192.168.1.200/'], ['http://192.168.1.100/']],
    ['::1', ['http://[::1]/', 'http://[0:0::1]:81/'], ['http://[::2]/']],
    ['[::1]:8080', ['http://[::1]:8080/'], ['http://[::1]/']],
    ['fd00::/8', ['http://[fd12::1]/'], ['http://[fe80::1]/']],
    ['[fd00::7]', ['https://[FD00::7]:8443/'], ['http://[fd00::8]/']],
    ['10.0.0.0/8', ['http://[::ffff:10.0.0.1]/', 'http://0x0a000001/'], ['http://[::a00:1]/']],
    ['10.0.0.0/33,/8,10.0.0.0/,.,:80,*.', [], ['http://10.0.0.1/', 'http://a.example/']],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => {
      const isException = noProxyMatcher(text);
      for (const url of past) expect(isException(new URL(url)), url).to.equal(true);
      for (const url of through) expect(isException(new URL(url)), url).to.equal(false);
    });
  }

  it('takes linear time for long input', () => {
    const started = performance.now();
    noProxyMatcher('1'.repeat(200_000))(new URL('http://a.example/'));
    noProxyMatcher(`${':1'.repeat(100_000)}x`)(new URL('http://a.example/'));
    expect(performance.now() - started).to.be.below(500);
  });
});
