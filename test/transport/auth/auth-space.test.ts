import { expect } from 'chai';
import { type AuthAttempt, AuthSpace } from '../../../src/transport/auth/auth-space.js';
import { parseChallenges } from '../../../src/transport/auth/challenges.js';
import { authMeans } from '../../../src/transport/auth/options.js';
import type { WireConnection } from '../../../src/transport/transport.js';
import { bitsError } from '../support.js';
import { NTLM_USER, NtlmServer } from './ntlm-server.js';
import { request } from './schemes.js';

interface Line extends WireConnection {
  isOpen: boolean;
}

const line = (): Line => ({ isOpen: true, peerCertificate: undefined });

describe('AuthSpace', () => {
  const space = () => new AuthSpace(authMeans({ credentials: NTLM_USER }), 'web', false);

  function challenge(
    to: AuthSpace,
    attempt: AuthAttempt,
    connection: WireConnection,
    offers = 'NTLM',
    headers: Record<string, string> = {},
  ) {
    const answer = { headers, connection };
    to.answered(attempt, answer, false);
    return to.prepare(request(), { ...answer, attempt, offers: parseChallenges(offers) });
  }

  const typeOf = ({ value }: AuthAttempt) =>
    value && Buffer.from(value.slice('NTLM '.length), 'base64').readUInt32LE(8);

  /** Up to the AUTHENTICATE message that is about to be sent. */
  async function beforeLastLeg(to: AuthSpace, connection: WireConnection): Promise<AuthAttempt> {
    const first = await challenge(to, await to.prepare(request(), undefined), connection);
    expect(typeOf(first)).to.equal(1);
    const reply = new NtlmServer().take(Buffer.from(first.value!.slice(5), 'base64'));
    return challenge(to, first, connection, `NTLM ${reply}`);
  }

  it('takes no answer from another connection for a refusal, and begins anew there', async () => {
    const auth = space();
    const proof = await beforeLastLeg(auth, line());
    expect(typeOf(proof)).to.equal(3);
    const other = line();
    const next = await challenge(auth, proof, other);
    expect(typeOf(next)).to.equal(1);
    expect(next.expected).to.equal(other);
    // Not even when the other end offers something else.
    const basic = space();
    const again = await beforeLastLeg(basic, line());
    expect((await challenge(basic, again, line(), 'Basic realm="x"')).value).to.match(/^Basic /);
  });

  it('takes a challenge on the same connection for one', async () => {
    const auth = space();
    const same = line();
    const proof = await beforeLastLeg(auth, same);
    expect((await bitsError(challenge(auth, proof, same))).code).to.equal('BITS_ERR_AUTH');
  });

  it('sends no proof after an answer that ends the connection', async () => {
    for (const end of ['header', 'socket'] as const) {
      const auth = space();
      const doomed = line();
      const first = await challenge(auth, await auth.prepare(request(), undefined), doomed);
      const reply = new NtlmServer().take(Buffer.from(first.value!.slice(5), 'base64'));
      if (end === 'socket') doomed.isOpen = false;
      const headers: Record<string, string> = end === 'header' ? { connection: 'Close' } : {};
      const next = await challenge(auth, first, doomed, `NTLM ${reply}`, headers);
      expect([typeOf(next), next.expected]).to.deep.equal([1, undefined]);
    }
  });

  it('needs a handshake on each new connection, and turns throughout', async () => {
    const auth = space();
    expect([auth.needsTurn, auth.needsHandshake]).to.deep.equal([false, false]);
    const first = line();
    const proof = await beforeLastLeg(auth, first);
    expect([auth.needsTurn, auth.needsHandshake]).to.deep.equal([true, true]);
    auth.answered(proof, { headers: {}, connection: first }, true);
    expect([auth.needsTurn, auth.needsHandshake]).to.deep.equal([true, false]);
    expect((await auth.prepare(request(), undefined)).value).to.equal(undefined);
    first.isOpen = false;
    expect(auth.needsHandshake).to.equal(true);
    expect(typeOf(await auth.prepare(request(), undefined))).to.equal(1);
  });
});
