import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { isBitsError } from '../../../src/errors.js';
import { type AuthOptions, authMeans } from '../../../src/transport/auth/options.js';
import { ProtectionSpace } from '../../../src/transport/auth/protection-space.js';
import { Verdicts } from '../../../src/transport/auth/verdicts.js';
import type { WireConnection } from '../../../src/transport/transport.js';
import { bitsError } from '../support.js';
import { NTLM_USER, NtlmServer, serverChallenge } from './ntlm-server.js';
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
  const space = (auth: AuthOptions = { credentials: NTLM_USER }, verdicts = new Verdicts()) =>
    new ProtectionSpace(authMeans(auth), peer(), verdicts);

  /** Sends one request, and tells what the peer saw. */
  async function run(to: ProtectionSpace, script: Script, hasBody = false, signal?: AbortSignal) {
    const seen: Sent[] = [];
    const pings: boolean[] = [];
    const server = new NtlmServer();
    let reply = '';
    const sending = to.send({
      method: 'BITS_POST',
      target: '/',
      hasBody,
      signal,
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

  it('tells of a handshake, and of nothing that goes without saying', async () => {
    const rounds: Record<string, unknown>[] = [];
    const onRound = (message: unknown) => rounds.push(message as Record<string, unknown>);
    subscribe('bits-upload:authentication', onRound);
    const auth = space();
    const at = line();
    const closing = { connection: 'close' };
    const handshake = [() => bare(at), () => reply(at), () => ({ connection: at })];
    await run(auth, [...handshake, () => ({ connection: at })], true);
    const told = rounds.map(({ scheme, status, isHandshake }) => [scheme, status, isHandshake]);
    expect(told).to.deep.equal([
      [undefined, 401, false],
      ['NTLM', 401, true],
      ['NTLM', 200, true],
    ]);
    await run(auth, [() => ({ connection: at })], true);
    expect(rounds).to.have.lengthOf(3);
    await run(space(), [() => ({ ...bare(at), headers: closing }), ...handshake]);
    expect(rounds[3]).to.include({ status: 401, keepsConnection: false });
    unsubscribe('bits-upload:authentication', onRound);
  });

  describe('that shares its verdicts with others', () => {
    const wrong = { username: 'User', password: 'wrong' };
    const at = line();
    const challenge = () => ({ offers: 'Basic realm="x"', connection: at });
    const accept = () => ({ connection: at });

    it('sends nothing of them by another scheme', async () => {
      const verdicts = new Verdicts();
      await run(space({ credentials: wrong }, verdicts), [challenge, challenge]);
      const credentials = { username: wrong.username, password: wrong.password, domain: '' };
      const auth: AuthOptions = { credentials, schemes: ['ntlm'] };
      expect((await run(space(auth, verdicts), [])).seen).to.deep.equal([]);
    });

    it('sends other credentials at once', async () => {
      const verdicts = new Verdicts();
      await run(space({ credentials: wrong }, verdicts), [challenge, challenge]);
      const credentials = { ...wrong, password: 'right' };
      const { seen } = await run(space({ credentials }, verdicts), [challenge, accept]);
      expect(seen).to.deep.equal([undefined, 'Basic']);
    });

    it('calls a function again after each refusal, and sends what is new', async () => {
      const verdicts = new Verdicts();
      let password = 'wrong';
      let calls = 0;
      const credentials = () => {
        calls++;
        return { ...wrong, password };
      };
      await run(space({ credentials }, verdicts), [challenge, challenge]);
      const second = space({ credentials }, verdicts);
      expect((await run(second, [])).seen).to.deep.equal([]);
      password = 'right';
      expect((await run(second, [challenge, accept])).seen).to.deep.equal([undefined, 'Basic']);
      expect(calls).to.equal(3);
    });

    it('does not call a function before a challenge when nothing was refused', async () => {
      const verdicts = new Verdicts();
      await run(space({ credentials: wrong }, verdicts), [challenge, accept]);
      const credentials = () => expect.fail('it was called');
      expect((await run(space({ credentials }, verdicts), [accept])).error).to.equal(undefined);
    });

    it('sends no refused token and no refused value of an authorize function', async () => {
      for (const auth of [{ token: 't' }, { authorize: () => 'Own 1' }]) {
        const verdicts = new Verdicts();
        const first = await run(space(auth, verdicts), [challenge]);
        expect(first.seen).to.have.length(1);
        const second = await run(space(auth, verdicts), []);
        expect([second.seen, second.error]).to.have.nested.property('[1].code', 'BITS_ERR_AUTH');
        expect(second.seen).to.deep.equal([]);
      }
    });

    it('is not stopped by a refusal elsewhere once it was accepted', async () => {
      const verdicts = new Verdicts();
      const accepted = space({ credentials: wrong }, verdicts);
      await run(accepted, [challenge, accept]);
      verdicts.set(peer(), JSON.stringify([wrong.username, wrong.password]), 'refused');
      expect((await run(accepted, [accept])).seen).to.deep.equal(['Basic']);
      expect((await run(accepted, [challenge])).error).to.include({ status: 401 });
      expect((await run(accepted, [])).seen).to.deep.equal([]);
    });

    it('starts over after it had to wait in vain', async () => {
      const verdicts = new Verdicts();
      const release = await verdicts.turn(
        peer(),
        JSON.stringify([wrong.username, wrong.password]),
        undefined,
      );
      const waiting = space({ credentials: wrong }, verdicts);
      const aborting = new AbortController();
      const aborted = run(
        waiting,
        [
          () => {
            setImmediate(() => aborting.abort());
            return challenge();
          },
        ],
        false,
        aborting.signal,
      );
      expect((await aborted).error).to.include({ code: 'BITS_ERR_ABORTED' });
      release();
      expect((await run(waiting, [challenge, accept])).seen).to.deep.equal([undefined, 'Basic']);
    });
  });

  it('comes to an end and reveals nothing, whatever a hostile peer answers', async () => {
    const junk = fc.string({ unit: 'grapheme-ascii', maxLength: 30 });
    const ntlm = fc.tuple(fc.nat(100), fc.nat(255), fc.nat(120)).map(([at, value, length]) => {
      const message = serverChallenge({ timestamp: Buffer.alloc(8, 1) });
      message[at % message.length] = value;
      return message.subarray(0, length).toString('base64');
    });
    const params = fc.constantFrom(
      'realm="r"',
      'nonce="1"',
      'nonce="2"',
      'qop="auth"',
      'qop="auth-int"',
      'stale=true',
      'algorithm=SHA-256',
      'algorithm=__proto__',
      'constructor=1',
      '__proto__="x"',
    );
    const offer = fc.oneof(
      junk,
      fc.constantFrom('NTLM', 'Negotiate', 'Basic realm="x"', 'constructor', '__proto__ a=b'),
      ntlm.map((message) => `NTLM ${message}`),
      ntlm.map((message) => `Negotiate ${message}`),
      fc.array(params, { maxLength: 6 }).map((all) => `Digest ${all.join(', ')}`),
    );
    const step = fc.record({
      offers: fc.option(fc.array(offer, { maxLength: 4 }), { nil: undefined, freq: 6 }),
      connection: fc.nat(2),
      closes: fc.boolean(),
      knowsConnection: fc.boolean(),
    });
    const means = fc.constantFrom<AuthOptions>(
      { credentials: { username: 'User', password: 'hunter2' } },
      { credentials: { username: 'User', password: 'hunter2' }, allowLegacyDigest: true },
      { token: 'hunter2' },
      { authorize: ({ challenges }) => challenges && `Own hunter2-${challenges.length}` },
    );
    await fc.assert(
      fc.asyncProperty(
        means,
        fc.array(step, { minLength: 1, maxLength: 20 }),
        fc.boolean(),
        fc.boolean(),
        async (auth, steps, hasBody, isPrivate) => {
          const to = new ProtectionSpace(authMeans(auth), peer({ isPrivate }), new Verdicts());
          const lines = [line(), line(), line()];
          let count = 0;
          for (let request = 0; request < 3; request++) {
            const before = count;
            const values: string[] = [];
            const end = await to
              .send({
                method: 'BITS_POST',
                target: '/',
                hasBody,
                signal: undefined,
                send: async ({ Authorization: value }) => {
                  if (value !== undefined) values.push(value);
                  const { offers, connection, closes, knowsConnection } =
                    steps[count++ % steps.length]!;
                  return {
                    status: offers === undefined ? 200 : 401,
                    headers: {
                      ...(offers && { 'www-authenticate': offers.join(', ') }),
                      ...(closes && { connection: 'close' }),
                    },
                    connection: knowsConnection ? lines[connection] : undefined,
                    body: (async function* () {})(),
                  };
                },
              })
              .catch((error: unknown) => error);
            expect(count - before).to.be.at.most(13);
            if (!isPrivate) expect(values.join()).not.to.match(/Basic|Bearer/);
            if (isBitsError(end)) expect(inspect(end, { depth: 9 })).not.to.include('hunter2');
            else expect(end).to.have.property('status', 200);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
