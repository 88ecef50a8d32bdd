import { expect } from 'chai';
import { authMeans } from '../../../src/transport/auth/options.js';
import { ProtectionSpace } from '../../../src/transport/auth/protection-space.js';
import type { WireConnection } from '../../../src/transport/transport.js';
import { bitsError } from '../support.js';
import { NTLM_USER, NtlmServer } from './ntlm-server.js';
import { peer } from './schemes.js';

interface Line extends WireConnection {
  isOpen: boolean;
}

const line = (): Line => ({ isOpen: true, peerCertificate: undefined });

/** What a request carried: a message of NTLM by its type, another scheme by its name. */
type Sent = number | string | undefined;

interface Answer {
  /** Of a 401; undefined: 200. */
  readonly offers?: string | undefined;
  readonly connection: WireConnection;
  readonly headers?: Record<string, string>;
}

/** Answers one request after the other. */
type Script = readonly ((server: NtlmServer) => Answer)[];

describe('a protection space', () => {
  const space = () => new ProtectionSpace(authMeans({ credentials: NTLM_USER }), peer());

  /** Sends one request, and tells what the peer saw. */
  async function run(to: ProtectionSpace, script: Script, hasBody = false) {
    const seen: Sent[] = [];
    const pings: boolean[] = [];
    const server = new NtlmServer();
    let reply = '';
    const sending = to.send({
      method: 'BITS_POST',
      target: '/',
      hasBody,
      signal: undefined,
      send: async ({ Authorization: value }, isHandshake) => {
        const message = value?.startsWith('NTLM ')
          ? Buffer.from(value.slice('NTLM '.length), 'base64')
          : undefined;
        seen.push(message?.readUInt32LE(8) ?? value?.split(' ')[0]);
        pings.push(isHandshake);
        if (message) reply = server.take(message) ?? '';
        const answer = script[seen.length - 1]!(server);
        const challenge = answer.offers?.replace('REPLY', reply);
        return {
          status: challenge === undefined ? 200 : 401,
          headers: { ...answer.headers, ...(challenge && { 'www-authenticate': challenge }) },
          connection: answer.connection,
          body: (async function* () {})(),
        };
      },
    });
    const error = await sending.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { seen, pings, error };
  }

  const bare = (connection: WireConnection, headers = {}) => ({
    offers: 'NTLM',
    connection,
    headers,
  });
  const reply = (connection: WireConnection, headers = {}) => ({
    offers: 'NTLM REPLY',
    connection,
    headers,
  });

  it('takes no answer from another connection for a refusal, and starts over there', async () => {
    const [first, other] = [line(), line()];
    const { seen, error } = await run(space(), [
      () => bare(first),
      () => reply(first),
      () => bare(other),
      () => reply(other),
      () => ({ connection: other }),
    ]);
    expect(error).to.equal(undefined);
    expect(seen).to.deep.equal([undefined, 1, 3, 1, 3]);
  });

  it('chooses another scheme when another connection offers only that', async () => {
    const [first, other] = [line(), line()];
    const { seen, error } = await run(space(), [
      () => bare(first),
      () => reply(first),
      () => ({ offers: 'Basic realm="x"', connection: other }),
      () => ({ connection: other }),
    ]);
    expect(error).to.equal(undefined);
    expect(seen).to.deep.equal([undefined, 1, 3, 'Basic']);
  });

  it('takes a challenge on the same connection for a refusal', async () => {
    const same = line();
    const { seen, error } = await run(space(), [
      () => bare(same),
      () => reply(same),
      () => bare(same),
    ]);
    expect((await bitsError(Promise.reject(error))).code).to.equal('BITS_ERR_AUTH');
    expect(seen).to.deep.equal([undefined, 1, 3]);
  });

  for (const end of ['header', 'socket'] as const) {
    it(`sends no proof after an answer that ends the connection by its ${end}`, async () => {
      const [doomed, next] = [line(), line()];
      const headers = end === 'header' ? { connection: 'Close' } : {};
      const { seen } = await run(space(), [
        () => bare(doomed),
        () => {
          if (end === 'socket') doomed.isOpen = false;
          return reply(doomed, headers);
        },
        () => reply(next),
        () => ({ connection: next }),
      ]);
      expect(seen).to.deep.equal([undefined, 1, 1, 3]);
    });
  }

  it('makes a handshake with Pings on each new connection, and none on a proven one', async () => {
    const auth = space();
    const [first, second] = [line(), line()];
    const handshake = (connection: WireConnection): Script => [
      () => reply(connection),
      () => ({ connection }),
      () => ({ connection }),
    ];
    const before = await run(auth, [() => bare(first), ...handshake(first)], true);
    expect(before.seen).to.deep.equal([undefined, 1, 3, undefined]);
    expect(before.pings).to.deep.equal([false, true, true, false]);
    const proven = await run(auth, [() => ({ connection: first })], true);
    expect([proven.seen, proven.pings]).to.deep.equal([[undefined], [false]]);
    first.isOpen = false;
    const after = await run(auth, handshake(second), true);
    expect(after.seen).to.deep.equal([1, 3, undefined]);
    expect(after.pings).to.deep.equal([true, true, false]);
  });
});
