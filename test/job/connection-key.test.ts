import { expect } from 'chai';
import { connectionKey } from '../../src/job/connection-key.js';
import type { UploadOptions } from '../../src/job/options.js';
import { resolveOptions } from '../../src/job/resolve-options.js';

/** Each counts beside those before it. */
const PROXY_VARIABLES = ['HTTP_PROXY', 'http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'];

describe('the key to connections of other jobs', () => {
  const environment = { ...process.env };

  afterEach(() => {
    for (const name of [...PROXY_VARIABLES, 'REQUEST_METHOD']) delete process.env[name];
    Object.assign(process.env, environment);
  });

  const keyOf = (options: Partial<UploadOptions> = {}) => {
    const url = options.url ?? 'http://bits.example/a.bin';
    const resolved = resolveOptions({ source: new Uint8Array(1), ...options, url });
    return connectionKey(resolved, new URL(url));
  };

  it('is the same for what differs in each request alone', () => {
    const key = keyOf();
    expect(key).to.be.a('string');
    for (const options of [
      { url: 'http://bits.example/other/b.bin?x=1' },
      { headers: { Authorization: 'Basic eA==' } },
      { headers: { authorization: 'Bearer ntlm' } },
      { headers: { Cookie: 'a=b' } },
      { trustedHosts: ['*.example'] },
      { methodOverride: true },
      { timeouts: { stallMs: 5 } },
      // There is no proxy anyway.
      { proxy: false },
      { noProxy: '*' },
    ] as const) {
      expect(keyOf(options), JSON.stringify(options)).to.equal(key);
    }
  });

  it('differs where connections do', () => {
    const keys = [
      {},
      { url: 'http://bits.example:8080/a.bin' },
      { url: 'http://other.example/a.bin' },
      { url: 'https://bits.example/a.bin' },
      { userAgent: 'Contoso/1' },
      { timeouts: { connectMs: 5 } },
    ].map((options) => keyOf(options));
    for (const [i, variable] of PROXY_VARIABLES.entries()) {
      process.env[variable] = `http://proxy.example:${i + 1}`;
      keys.push(keyOf({ noProxy: 'bits.example' }));
    }
    keys.push(keyOf({ noProxy: '.example' }));
    expect(keys).not.to.include(undefined);
    expect(new Set(keys).size).to.equal(keys.length);
  });

  for (const [what, options] of [
    [
      'prove who they are to the server',
      { auth: { credentials: { username: 'u', password: 'p' } } },
    ],
    ['have certificates of their own', { tls: { minVersion: 'TLSv1.3' } }],
    ['go through a proxy', { proxy: 'http://proxy.example' }],
    [
      'could go through a proxy after a redirect',
      { proxy: 'http://proxy.example', noProxy: 'bits.example' },
    ],
    ['bring a proof that counts for a connection', { headers: { AUTHORIZATION: 'NTLM TlRMTQ==' } }],
    [
      'bring a proof beside something else',
      { headers: { Authorization: 'Basic eA==', authorization: 'NTLM TlRMTQ==' } },
    ],
    ['bring a ticket', { headers: { authorization: ' negotiate YII=' } }],
  ] as const) {
    it(`is not given to jobs that ${what}`, () => {
      expect(keyOf(options)).to.equal(undefined);
    });
  }

  it('is not given to jobs that the environment sends through a proxy', () => {
    process.env.http_proxy = 'http://proxy.example';
    expect(keyOf()).to.equal(undefined);
    expect(keyOf({ proxy: false })).to.be.a('string');
    expect(keyOf({ url: 'https://bits.example/a.bin' })).to.be.a('string');
    process.env.no_proxy = 'bits.example';
    expect(keyOf()).to.be.a('string');
  });

  it('follows the environment as it is when the connection is needed', () => {
    const url = 'http://bits.example/a.bin';
    const resolved = resolveOptions({ source: new Uint8Array(1), url });
    process.env.all_proxy = 'socks5://proxy.example';
    expect(connectionKey(resolved, new URL(url))).to.equal(undefined);
  });

  it('follows the environment from job to job', () => {
    const before = keyOf();
    process.env.HTTP_PROXY = 'http://proxy.example';
    expect(keyOf()).to.equal(undefined);
    process.env.REQUEST_METHOD = 'GET';
    expect(keyOf()).to.equal(before);
  });
});
