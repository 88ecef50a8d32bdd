import { expect } from 'chai';
import { parseChallenges } from '../../../src/transport/auth/challenges.js';
import { type Credentials, credentialsSource } from '../../../src/transport/auth/credentials.js';
import {
  bestDigestChallenge,
  digestAuthorization,
  digestScheme,
} from '../../../src/transport/auth/digest.js';
import { request } from './schemes.js';

const MUFASA = { username: 'Mufasa', password: 'Circle of Life' };

interface Case {
  readonly header: string;
  readonly credentials?: Credentials;
  readonly method?: string;
  readonly clientNonce?: string;
  readonly nonceCount?: number;
}

function authorization(given: Case): Record<string, string> {
  const challenge = bestDigestChallenge(parseChallenges(given.header), true);
  if (challenge === undefined) throw new Error('no answerable challenge');
  const value = digestAuthorization({
    challenge,
    credentials: given.credentials ?? MUFASA,
    method: given.method ?? 'GET',
    target: '/dir/index.html',
    nonceCount: given.nonceCount ?? 1,
    clientNonce: given.clientNonce ?? 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
  });
  return Object.fromEntries(parseChallenges(value)[0]!.params);
}

const rfc7616 = (algorithm: string, qop = ', qop="auth, auth-int"') =>
  `Digest realm="http-auth@example.org"${qop}, algorithm=${algorithm}, ` +
  'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", ' +
  'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"';

describe('a Digest authorization', () => {
  it('gives the response of RFC 7616 §3.9.1, MD5', () => {
    const fields = authorization({ header: rfc7616('MD5') });
    expect(fields.response).to.equal('8ca523f5e9506fed4657c9700eebdbec');
    expect(fields).to.include({
      username: 'Mufasa',
      realm: 'http-auth@example.org',
      uri: '/dir/index.html',
      algorithm: 'MD5',
      qop: 'auth',
      nc: '00000001',
      opaque: 'FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS',
    });
  });

  it('gives the response of RFC 7616 §3.9.1, SHA-256', () => {
    expect(authorization({ header: rfc7616('SHA-256') }).response).to.equal(
      '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1',
    );
  });

  it('gives the response of RFC 2617 §3.5', () => {
    const fields = authorization({
      header:
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
      credentials: { username: 'Mufasa', password: 'Circle Of Life' },
      clientNonce: '0a4f113b',
    });
    expect(fields.response).to.equal('6629fae49393a05397450978507c4ef1');
    expect(fields).not.to.have.property('algorithm');
  });

  it('gives the response of RFC 2069 §2.4 as corrected (erratum 749), without a count', () => {
    const fields = authorization({
      header:
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
      credentials: { username: 'Mufasa', password: 'CircleOfLife' },
    });
    expect(fields.response).to.equal('1949323746fe6a43ef61f9606e7febea');
    expect(fields).not.to.have.any.keys('nc', 'cnonce', 'qop');
  });

  // Computed with Python's hashlib from the formulas of RFC 7616 §3.4.
  const computed = [
    { algorithm: 'MD5-sess', response: 'e783283f46242139c486a698fec7211d' },
    {
      algorithm: 'SHA-256-sess',
      response: '2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7',
    },
    {
      algorithm: 'MD5-sess',
      qop: '',
      response: '37a7f42db2090a3fcac4e26e747d4fc8',
    },
    {
      algorithm: 'MD5',
      method: 'BITS_POST',
      nonceCount: 0x2a,
      response: '7f22b6cf920bb8892f916a2d700e8dd1',
    },
    {
      algorithm: 'SHA-256',
      method: 'BITS_POST',
      nonceCount: 0x2a,
      response: '03398db72b8d05320a069645ea493bf988b84381f47b3d62fbea111c079e6c6a',
    },
  ];
  for (const { algorithm, qop, response, ...more } of computed) {
    const how = `${algorithm}${qop === '' ? ' without qop' : ''}${more.method ? ' of BITS_POST' : ''}`;
    it(`computes ${how}`, () => {
      const fields = authorization({ header: rfc7616(algorithm, qop), ...more });
      expect(fields.response).to.equal(response);
      if (more.nonceCount) expect(fields.nc).to.equal('0000002a');
      expect(fields.cnonce).to.be.a('string');
    });
  }

  it('sends names beyond ASCII as UTF-8, and as username* to servers that say so', () => {
    const credentials = { username: 'Jäsøn "x"', password: 'Secret, or not?' };
    const header = 'Digest realm="r", nonce="n", qop="auth"';
    const raw = authorization({ header, credentials });
    expect(Buffer.from(raw.username!, 'latin1').toString('utf8')).to.equal('Jäsøn "x"');
    const extended = authorization({ header: `${header}, charset=UTF-8`, credentials });
    expect(extended['username*']).to.equal("UTF-8''J%C3%A4s%C3%B8n%20%22x%22");
    expect(extended.response).to.equal(raw.response);
  });
});

describe('the choice of a Digest challenge', () => {
  const algorithmOf = (header: string, allowLegacy = true) =>
    bestDigestChallenge(parseChallenges(header), allowLegacy)?.algorithm;

  it('prefers SHA-256 to MD5 in any order', () => {
    const md5 = 'Digest realm="r", nonce="1"';
    const sha = 'Digest realm="r", nonce="2", algorithm="sha-256"';
    expect(algorithmOf(`${md5}, ${sha}`)).to.equal('SHA-256');
    expect(algorithmOf(`${sha}, ${md5}`)).to.equal('SHA-256');
  });

  it('prefers a weaker hash with qop to a stronger one without, unless both are allowed', () => {
    const header =
      'Digest realm="r", nonce="1", algorithm=SHA-256, Digest realm="r", nonce="2", qop="auth"';
    expect(algorithmOf(header, false)).to.equal('MD5');
    expect(algorithmOf(header, true)).to.equal('SHA-256');
  });

  it('ignores other hashes, auth-int alone, and challenges without a nonce', () => {
    expect(algorithmOf('Digest realm="r", nonce="1", algorithm=SHA-512-256')).to.equal(undefined);
    expect(algorithmOf('Digest realm="r", nonce="1", qop="auth-int"')).to.equal(undefined);
    expect(algorithmOf('Digest realm="r"')).to.equal(undefined);
  });
});

describe('the Digest scheme', () => {
  const offers = (nonce: string, more = '') =>
    parseChallenges(`Digest realm="r", qop="auth", nonce="${nonce}"${more}`);
  const begin = () => digestScheme(credentialsSource(MUFASA)).begin();

  async function fieldsOf(step: ReturnType<ReturnType<typeof begin>['authorize']>) {
    const settled = await step;
    if (settled.type !== 'send') throw new Error(settled.type);
    return Object.fromEntries(parseChallenges(settled.value)[0]!.params);
  }

  it('does not answer a challenge without qop unless that is allowed', async () => {
    const legacy = parseChallenges('Digest realm="r", nonce="1"');
    const step = await begin().authorize(request(), legacy);
    expect(step).to.have.property('type', 'unusable');
    expect(step).to.have.nested.property('reason.message').that.includes('allowLegacyDigest');
    const allowed = digestScheme(credentialsSource(MUFASA), true).begin();
    expect((await allowed.authorize(request(), legacy)).type).to.equal('send');
  });

  it('does not answer a challenge that loses qop in the middle', async () => {
    const state = begin();
    await state.authorize(request(), offers('1'));
    state.accepted({});
    const step = await state.authorize(
      request(),
      parseChallenges('Digest realm="r", nonce="2", stale=true'),
    );
    expect(step).to.have.property('type', 'unusable');
  });

  it('counts the uses of a nonce, and starts over with the next nonce', async () => {
    const state = begin();
    expect((await state.authorize(request(), undefined)).type).to.equal('nothing');
    const first = await fieldsOf(state.authorize(request(), offers('1')));
    state.accepted({});
    const second = await fieldsOf(state.authorize(request(), undefined));
    expect([first.nc, second.nc]).to.deep.equal(['00000001', '00000002']);
    expect(second.cnonce).to.equal(first.cnonce);
    state.accepted({ 'authentication-info': 'nextnonce="2", qop=auth' });
    const third = await fieldsOf(state.authorize(request(), undefined));
    expect(third).to.include({ nonce: '2', nc: '00000001' });
    expect(third.cnonce).not.to.equal(first.cnonce);
  });

  it('treats a second challenge as a refusal unless the nonce was stale', async () => {
    const state = begin();
    await state.authorize(request(), offers('1'));
    expect((await state.authorize(request(), offers('2', ', stale=true'))).type).to.equal('send');
    expect((await state.authorize(request(), offers('3'))).type).to.equal('refused');
  });

  it('does not believe a server that declares every nonce stale', async () => {
    const state = begin();
    const types: string[] = [];
    for (let i = 0; i < 5; i++) {
      types.push((await state.authorize(request(), offers(`${i}`, ', stale=true'))).type);
    }
    expect(types).to.deep.equal(['send', 'send', 'send', 'refused', 'refused']);
  });

  it('answers a new challenge after an accepted answer, because servers forget nonces', async () => {
    const state = begin();
    await state.authorize(request(), offers('1'));
    state.accepted({});
    await state.authorize(request(), undefined);
    expect((await state.authorize(request(), offers('2'))).type).to.equal('send');
    expect((await state.authorize(request(), offers('3'))).type).to.equal('refused');
  });
});
