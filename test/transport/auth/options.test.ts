import { inspect } from 'node:util';
import { expect } from 'chai';
import { parseChallenges } from '../../../src/transport/auth/challenges.js';
import { credentialsSource } from '../../../src/transport/auth/credentials.js';
import { type AuthOptions, authMeans } from '../../../src/transport/auth/options.js';
import {
  exposedAuthorization,
  isPrivateChannel,
} from '../../../src/transport/auth/private-channel.js';
import { bitsError } from '../support.js';

const USER = { username: 'User', password: 'hunter2-secret' };

describe('the auth options', () => {
  it('prefer the strongest offer', () => {
    const { schemes } = authMeans({ credentials: USER });
    const offers = parseChallenges(
      'Basic, Digest realm="r", nonce="n", qop="auth", NTLM, Negotiate',
    );
    const order = schemes
      .map((scheme) => ({ title: scheme.title, strength: scheme.strength(offers) ?? 0 }))
      .sort((a, b) => b.strength - a.strength)
      .map(({ title }) => title);
    expect(order).to.deep.equal(['NTLM', 'Negotiate with NTLM', 'Digest', 'Basic']);
  });

  it('use Negotiate for Kerberos when it is set, before all others', () => {
    const { schemes } = authMeans({ credentials: USER, kerberos: true });
    expect(schemes.map(({ title }) => title)).to.deep.equal([
      'Negotiate with Kerberos',
      'NTLM',
      'Digest',
      'Basic',
    ]);
    const [kerberos, ntlm] = schemes.map(
      (s) => s.strength(parseChallenges('NTLM, Negotiate')) ?? 0,
    );
    expect(kerberos).to.be.above(ntlm!);
  });

  it('allow only the listed schemes', () => {
    const names = authMeans({ credentials: USER, schemes: ['digest', 'negotiate'] }).schemes;
    expect(names.map(({ name }) => name)).to.have.members(['negotiate', 'digest']);
  });

  const wrong: Record<string, unknown> = {
    'no means at all': {},
    'a token and credentials': { token: 't', credentials: USER },
    'a token and a function': { token: 't', authorize: () => 'x' },
    'schemes with a token': { token: 't', schemes: ['basic'] },
    'an unknown scheme': { credentials: USER, schemes: ['bearer'] },
    'schemes without means': { kerberos: true, schemes: ['digest'] },
    'no user name': { credentials: { username: '', password: 'hunter2-secret' } },
    'no password': { credentials: { username: 'u' } },
  };
  for (const [what, options] of Object.entries(wrong)) {
    it(`must not have ${what}`, () => {
      expect(() => authMeans(options as AuthOptions))
        .to.throw()
        .that.has.property('code', 'BITS_ERR_ARGUMENT');
    });
  }
});

describe('a source of credentials', () => {
  it('reveals nothing when it is printed or converted to JSON', () => {
    const source = credentialsSource(USER);
    const shown = [
      inspect(source),
      JSON.stringify({ source }),
      String(source),
      `${inspect([source])}`,
    ];
    for (const text of shown) expect(text).not.to.match(/hunter2|User/);
    expect(
      inspect(authMeans({ credentials: USER }), { depth: 9, showHidden: true }),
    ).not.to.include('hunter2');
  });

  it('calls a function once for many requests, and again after a failure or a refusal', async () => {
    let asked = 0;
    const source = credentialsSource(async () => {
      if (++asked === 1) throw new Error('vault is shut');
      return USER;
    });
    const error = await bitsError(source.get(undefined));
    expect(error).to.include({ code: 'BITS_ERR_AUTH' });
    await Promise.all([source.get(undefined), source.get(undefined)]);
    expect(asked).to.equal(2);
    source.forget(await source.text(undefined));
    await source.get(undefined);
    expect(asked).to.equal(3);
  });

  it('refuses a wrong return value of a function without showing it', async () => {
    const source = credentialsSource(() => ({ password: 'hunter2-secret' }) as never);
    const error = await bitsError(source.get(undefined));
    expect(error.code).to.equal('BITS_ERR_AUTH');
    expect(inspect(error)).not.to.include('hunter2');
  });
});

describe('a private channel', () => {
  for (const [url, isPrivate] of [
    ['https://web.corp.example/', true],
    ['http://localhost:8080/', true],
    ['http://127.1.2.3/', true],
    ['http://[::1]:80/', true],
    ['http://web.corp.example/', false],
    ['http://127.0.0.1.evil.example/', false],
    ['http://notlocalhost/', false],
    ['http://web.localhost/', false],
    ['http://10.0.0.1/', false],
  ] as const) {
    it(`is ${isPrivate ? '' : 'not '}given for ${url}`, () => {
      expect(isPrivateChannel(new URL(url))).to.equal(isPrivate);
    });
  }
});

describe('a warning about an exposed Authorization header', () => {
  const FAR = new URL('http://web.corp.example/');

  for (const value of ['Basic VTpQ', 'bearer abc', ' Basic VTpQ', 'secret', 'Digestive x']) {
    it(`is given for ${JSON.stringify(value)} over http to another machine`, () => {
      const warning = exposedAuthorization({ authorization: value }, FAR);
      expect(warning?.code).to.equal('authorization-unencrypted');
      expect(warning?.message).to.include('web.corp.example').and.not.include(value.trim());
    });
  }

  for (const [what, headers, url] of [
    ['a proof', { Authorization: 'Digest username="u"' }, FAR],
    ['https', { Authorization: 'Basic VTpQ' }, new URL('https://web.corp.example/')],
    ['this machine', { Authorization: 'Basic VTpQ' }, new URL('http://localhost/')],
    ['other headers', { Accept: '*/*' }, FAR],
  ] as const) {
    it(`is not given for ${what}`, () => {
      expect(exposedAuthorization(headers, url)).to.equal(undefined);
    });
  }
});
