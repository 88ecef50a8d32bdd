import { expect } from 'chai';
import { parseChallenges } from '../../../src/transport/auth/challenges.js';
import {
  type KerberosPackage,
  kerberosScheme,
  loadKerberos,
} from '../../../src/transport/auth/kerberos.js';
import { bitsError } from '../support.js';
import { request, sent } from './schemes.js';

const BARE = parseChallenges('Negotiate');

function fakePackage(step: (challenge: string, count: number) => string) {
  const services: string[] = [];
  const options: object[] = [];
  let steps = 0;
  const kerberos: KerberosPackage = {
    GSS_MECH_OID_SPNEGO: 6,
    initializeClient: async (service, given) => {
      services.push(service);
      options.push(given);
      return { step: async (challenge) => step(challenge, ++steps) };
    },
  };
  return { load: async () => kerberos, services, options };
}

describe('the Kerberos scheme', () => {
  it('names the package in the error when it is not installed', async () => {
    const load = () => loadKerberos('a-package-that-nobody-has');
    const error = await bitsError(kerberosScheme({}, load).begin().authorize(request(), BARE));
    expect(error.code).to.equal('BITS_ERR_AUTH');
    expect(error.message).to.include('npm install kerberos');
  });

  it('requests a ticket for HTTP at the host, or for the configured service', async () => {
    const { load, services, options } = fakePackage((_, n) => `token${n}`);
    const step = await kerberosScheme({}, load).begin().authorize(request(), BARE);
    expect(sent(step)).to.equal('Negotiate token1');
    const given = { servicePrincipal: 'HTTP@alias', principal: 'me@CORP' };
    await kerberosScheme(given, load).begin().authorize(request(), BARE);
    expect(services[0]).to.match(/^HTTP[@/]web\.corp\.example$/);
    expect(services[1]).to.equal('HTTP@alias');
    expect(options[1]).to.include({ principal: 'me@CORP', mechOID: 6 });
  });

  it('answers the tokens of the server, and sends nothing after it is accepted', async () => {
    const { load } = fakePackage((challenge) => `(${challenge})`);
    const state = kerberosScheme({}, load).begin();
    await state.authorize(request(), BARE);
    const second = await state.authorize(request(), parseChallenges('Negotiate YWJj'));
    expect(sent(second)).to.equal('Negotiate (YWJj)');
    state.accepted({});
    expect((await state.authorize(request(), undefined)).type).to.equal('nothing');
  });

  it('sends a ticket with each request, unless the server remembers the connection', async () => {
    const { load } = fakePackage((_, n) => `t${n}`);
    const scheme = kerberosScheme({}, load);
    const state = scheme.begin();
    await state.authorize(request(), BARE);
    state.accepted({});
    expect(sent(await state.authorize(request(), undefined))).to.equal('Negotiate t2');
    state.accepted({ 'persistent-auth': 'true' });
    expect((await state.authorize(request(), undefined)).type).to.equal('nothing');
    // It does not, after all: from then on it is not believed.
    expect(sent(await state.authorize(request(), BARE))).to.equal('Negotiate t3');
    state.accepted({ 'persistent-auth': 'true' });
    expect(sent(await state.authorize(request(), undefined))).to.equal('Negotiate t4');
  });

  it('fails when the ticket is refused, when there is none, and when the handshake does not end', async () => {
    const { load } = fakePackage((_, n) => `t${n}`);
    const state = kerberosScheme({}, load).begin();
    await state.authorize(request(), BARE);
    const refused = await state.authorize(request(), BARE);
    expect(refused).to.have.property('type', 'unusable');

    const without = fakePackage(() => {
      throw new Error('No Kerberos credentials available');
    });
    const none = await kerberosScheme({}, without.load).begin().authorize(request(), BARE);
    expect(none).to.have.nested.property('reason.code', 'BITS_ERR_AUTH');
    expect(none).to.have.nested.property('reason.message').that.includes('kinit');

    const endless = kerberosScheme({}, load).begin();
    const types: string[] = [];
    for (let i = 0; i < 7; i++) {
      types.push((await endless.authorize(request(), parseChallenges('Negotiate YQ=='))).type);
    }
    expect(types).to.deep.equal([...Array(6).fill('send'), 'unusable']);
  });
});
