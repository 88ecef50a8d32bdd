import { expect } from 'chai';
import fc from 'fast-check';
import { isTrustedHost, parseHostId, withHost } from '../../src/protocol/host-id.js';

describe('a BITS-Host-Id', () => {
  for (const [value, expected] of [
    ['FRANKCAO8', 'frankcao8'],
    [' web3.corp.example ', 'web3.corp.example'],
    ['Web3.Corp.Example:8080', 'web3.corp.example:8080'],
    ['web_3', 'web_3'],
    ['web3.', 'web3.'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['web3:80', 'web3:80'],
    ['web3:0080', 'web3:80'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3:443', '10.1.2.3:443'],
    ['[::1]', '[::1]'],
    ['[2001:DB8:0:0::1]:8080', '[2001:db8::1]:8080'],
    ['2001:db8::1', '[2001:db8::1]'],
    ['::', '[::]'],
    ['::ffff:10.1.2.3', '[::ffff:a01:203]'],
  ] as const) {
    it(`of ${value} is read as ${expected}`, () => {
      expect(parseHostId(value)).to.equal(expected);
    });
  }

  for (const value of [
    '',
    ' ',
    '.',
    'a..b',
    '.web3',
    'web3:',
    ':80',
    'web3:0',
    'web3:65536',
    'web3:123456',
    'web3:8a',
    'user@web3',
    'user:pass@web3',
    'web3@evil.example',
    'web3/path',
    'web3\\path',
    'http://web3',
    '//web3',
    'web3?x',
    'web3#x',
    'web3%2eexample',
    'web 3',
    'web3\r\nX: y',
    'web3\0',
    'web3, web4',
    'wéb3',
    'web3\u3002example',
    '*',
    '*.example',
    '[::1',
    '::1]',
    '[::1]x',
    '[::1]:',
    '[fe80::1%25eth0]',
    'fe80::1%eth0',
    '[1.2.3.4]',
    '1::2::3',
    '1:2:3',
    '256.1.1.1',
    '1.2.3.4.5',
    // URL takes these for 127.0.0.1.
    '2130706433',
    '127.1',
    '0x7f.0.0.1',
    '017700000001',
    'x'.repeat(254),
    ':'.repeat(10_000),
  ]) {
    it(`of ${JSON.stringify(value.slice(0, 30))} is refused`, () => {
      expect(parseHostId(value)).to.equal(undefined);
    });
  }

  it('brings nothing but a host and a port into a URL, whatever the text', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'ab1.:[]@/\\#?% \r\n%-_') }),
      fc.webAuthority({ withPort: true, withUserInfo: true, withIPv6: true }),
    );
    fc.assert(
      fc.property(text, (value) => {
        const hostId = parseHostId(value);
        if (hostId === undefined) return;
        const url = withHost(new URL('https://origin.example:444/dir/f.bin?q=1'), hostId);
        expect(url.href).to.equal(`https://${url.host}/dir/f.bin?q=1`);
        expect(url.host).to.equal(hostId.replace(/:443$/, ''));
        expect(parseHostId(hostId)).to.equal(hostId);
      }),
      { numRuns: 500 },
    );
  });

  for (const [url, hostId, expected] of [
    ['http://farm/v/f.bin?q=1', 'web3', 'http://web3/v/f.bin?q=1'],
    ['http://farm:8080/v/f.bin', 'web3', 'http://web3/v/f.bin'],
    ['https://farm:8443/v/f.bin', 'web3:8444', 'https://web3:8444/v/f.bin'],
    ['https://farm/v/f.bin', 'web3:443', 'https://web3/v/f.bin'],
    ['https://farm/v/f.bin', 'web3:80', 'https://web3:80/v/f.bin'],
    ['http://farm/v/%20f.bin', '[2001:db8::1]:81', 'http://[2001:db8::1]:81/v/%20f.bin'],
  ] as const) {
    it(`of ${hostId} replaces the host of ${url}`, () => {
      const origin = new URL(url);
      expect(withHost(origin, hostId).href).to.equal(expected);
      expect(origin.href, 'the URL given').to.equal(url);
    });
  }
});

describe('the trust in hosts', () => {
  const remoteUrl = new URL('https://upload.corp.example:8443/v/f.bin');
  const trusted = ['web3.other.example', '*.farm.example', '[2001:db8::1]', '10.0.0.1', '*.0.0.2'];

  for (const host of [
    'upload.corp.example',
    'UPLOAD.corp.example:1',
    'web3.other.example',
    'WEB3.OTHER.EXAMPLE:8080',
    'a.farm.example',
    'a.b.farm.example:80',
    '[2001:db8::1]',
    '2001:DB8:0::1',
    '[2001:db8::1]:99',
    '10.0.0.1:80',
  ]) {
    it(`includes ${host}`, () => {
      expect(isTrustedHost(host, remoteUrl, trusted)).to.equal(true);
    });
  }

  for (const host of [
    'corp.example',
    'evil.upload.corp.example',
    'upload.corp.example.evil.example',
    'farm.example',
    'evilfarm.example',
    'farm.example.evil',
    'a.web3.other.example',
    'upload.corp.example@evil.example',
    'evil.example#.farm.example',
    'evil.example/.farm.example',
    '1.0.0.2',
    '9.10.0.0.1',
    '[2001:db8::2]',
    '',
  ]) {
    it(`does not include ${JSON.stringify(host)}`, () => {
      expect(isTrustedHost(host, remoteUrl, trusted)).to.equal(false);
    });
  }

  for (const pattern of [
    '*',
    '*.',
    '',
    '.corp.example',
    'corp.example',
    '*corp.example',
    '**.example',
  ]) {
    it(`is not extended by the pattern ${JSON.stringify(pattern)}`, () => {
      expect(isTrustedHost('evil.corp.example', remoteUrl, [pattern])).to.equal(false);
    });
  }

  it('is not extended by a wildcard without a name', () => {
    expect(isTrustedHost('evil.undefined', remoteUrl, ['*.', '*.*'])).to.equal(false);
  });

  it('compares a name in another script by its ASCII form', () => {
    const asciiName = 'xn--bcher-kva.example';
    expect(isTrustedHost(asciiName, remoteUrl, ['Bücher.example'])).to.equal(true);
    expect(isTrustedHost(`a.${asciiName}`, remoteUrl, ['*.bücher.example'])).to.equal(true);
    expect(isTrustedHost('evil.example', remoteUrl, ['evil.example/ü'])).to.equal(false);
  });

  it('includes every port of a trusted name, as of the own host, and one port when it is named', () => {
    const trusts = (host: string, pattern: string, remote = remoteUrl) =>
      isTrustedHost(host, remote, [pattern]);
    expect(trusts('web3:1', 'web3')).to.equal(true);
    expect(trusts('web3:1', 'web3:2')).to.equal(false);
    expect(trusts('web3:2', 'web3:2')).to.equal(true);
    expect(trusts('a.farm.example:2', '*.farm.example:2')).to.equal(true);
    expect(trusts('a.farm.example:1', '*.farm.example:2')).to.equal(false);
    expect(trusts('[2001:db8::1]:99', '[2001:db8::1]:98')).to.equal(false);
    expect(trusts('a.xn--bcher-kva.example:2', '*.bücher.example:2')).to.equal(true);
    expect(trusts('a.xn--bcher-kva.example:1', '*.bücher.example:2')).to.equal(false);
  });

  it('compares a host without a port by the default port of the scheme', () => {
    const http = new URL('http://upload.corp.example/');
    expect(isTrustedHost('web3', remoteUrl, ['web3:443'])).to.equal(true);
    expect(isTrustedHost('web3', remoteUrl, ['web3:80'])).to.equal(false);
    expect(isTrustedHost('web3', http, ['web3:80'])).to.equal(true);
    expect(isTrustedHost('web3', http, ['*.web3:80'])).to.equal(false);
  });
});
