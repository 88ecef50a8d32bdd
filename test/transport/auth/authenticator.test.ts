import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { Authenticator } from '../../../src/transport/auth/authenticator.js';
import type { AuthOptions } from '../../../src/transport/auth/options.js';
import { createFetchTransport } from '../../../src/transport/fetch.js';
import { createUndiciTransport } from '../../../src/transport/undici.js';
import { tlsCertificate } from '../../support/raw-server.js';
import {
  bitsError,
  closedAfterEach,
  fragment,
  gate,
  get,
  LONG,
  pattern,
  ping,
} from '../support.js';
import {
  type AuthServer,
  authorizationOf,
  basicGuard,
  digestGuard,
  type Guard,
  ntlmGuard,
  startAuthServer,
} from './auth-server.js';
import { NTLM_USER } from './ntlm-server.js';

const SECRET = 'hunter2-secret';

let passwords = 0;

/** Another one each time, because ports are used again and refusals are remembered. */
const wrongPassword = () => `${SECRET}-${++passwords}`;

const USER = { username: 'User', password: 'Password' };
const BODY = pattern(100_000);

describe('a transport with authentication', () => {
  const { keep } = closedAfterEach();
  const serve = async (...args: Parameters<typeof startAuthServer>) =>
    keep(await startAuthServer(...args));

  function transport(
    server: AuthOptions,
    more: Partial<ConstructorParameters<typeof Authenticator>[1]> = {},
    inner = createUndiciTransport({ tls: { ca: tlsCertificate() } }),
  ): Authenticator {
    return new Authenticator(keep(inner), { server, mayAuthenticate: () => true, ...more });
  }

  const statuses = (server: AuthServer) => server.log.map((line) => line.replace(/^\d+ /, ''));

  describe('with NTLM', () => {
    it('uploads 20 fragments with one handshake over one connection', async () => {
      const guard = ntlmGuard();
      const server = await serve(guard);
      const { send } = bound(transport({ credentials: NTLM_USER }));
      expect((await send(ping(server.url()), LONG)).status).to.equal(200);
      for (let i = 0; i < 20; i++) {
        expect((await send(fragment(server.url(), BODY), LONG)).status).to.equal(200);
      }
      expect(server.connections).to.have.length(1);
      expect(guard.answers()).to.equal(1);
      expect(statuses(server).slice(0, 4)).to.deep.equal([
        'Ping 401',
        'Ping 401',
        'Ping 200',
        'Fragment 200',
      ]);
      expect(server.requests.filter((request) => authorizationOf(request))).to.have.length(2);
      expect(server.requests.at(-1)?.body.equals(BODY)).to.equal(true);
    });

    it('makes the handshake with Pings, and sends the same fragment again', async () => {
      const server = await serve(ntlmGuard());
      const { send } = bound(transport({ credentials: NTLM_USER }));
      const sentBytes: number[] = [];
      const answer = await send(fragment(server.url(), BODY.subarray(0, 9), BODY.subarray(9)), {
        ...LONG,
        onBytesSent: (bytes) => sentBytes.push(bytes),
      });
      expect(answer.status).to.equal(200);
      expect(statuses(server)).to.deep.equal([
        'Fragment 401',
        'Ping 401',
        'Ping 200',
        'Fragment 200',
      ]);
      const [, first, , last] = server.requests;
      expect(first?.headers).to.include({ 'content-length': '0', accept: '*/*' });
      expect(first?.headers).not.to.have.property('content-range');
      expect(last?.headers).to.include({ 'content-range': 'bytes 0-1/2' });
      expect(last?.body.equals(BODY)).to.equal(true);
      expect(new Set(server.log.map((line) => line[0])).size).to.equal(1);
    });

    it('recovers when the server forgets a connection in the middle of a job', async () => {
      const guard = ntlmGuard();
      const server = await serve(guard);
      const { send } = bound(transport({ credentials: NTLM_USER }));
      await send(ping(server.url()), LONG);
      guard.of(server.connections[0]!).isProven = false;
      expect((await send(fragment(server.url(), BODY), LONG)).status).to.equal(200);
      expect(statuses(server).slice(3)).to.deep.equal([
        'Fragment 401',
        'Ping 401',
        'Ping 200',
        'Fragment 200',
      ]);
    });

    it('lets the requests of several jobs share a handshake', async () => {
      const guard = ntlmGuard();
      const server = await serve(guard);
      const { send } = bound(transport({ credentials: NTLM_USER }));
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => send(fragment(server.url(), BODY), LONG)),
      );
      expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200, 200, 200]);
      expect(guard.answers()).to.equal(1);
    });

    it('uses NTLM inside Negotiate when the server offers only that', async () => {
      const guard = ntlmGuard({ token: 'Negotiate' });
      const server = await serve(guard);
      const { send } = bound(transport({ credentials: NTLM_USER }));
      expect((await send(ping(server.url()), LONG)).status).to.equal(200);
      expect(authorizationOf(server.requests[1]!)).to.match(/^Negotiate TlRMTVNTUAAB/);
      expect(guard.answers()).to.equal(1);
    });

    it('tries the next scheme when Negotiate fails before the password is used', async () => {
      const basic = basicGuard();
      const server = await serve((request) =>
        basic(request) === undefined ? undefined : ['Negotiate', 'Basic realm="x"'],
      );
      const { send } = bound(transport({ credentials: USER }));
      expect((await send(ping(server.url()), LONG)).status).to.equal(200);
      expect(server.requests.map((r) => authorizationOf(r)?.split(' ')[0])).to.deep.equal([
        undefined,
        'Negotiate',
        'Basic',
      ]);
    });

    it('binds the proof to the certificate over TLS', async () => {
      const guard = ntlmGuard();
      const server = await serve(guard, { tls: true });
      const { send } = bound(transport({ credentials: NTLM_USER }));
      expect((await send(ping(server.url()), LONG)).status).to.equal(200);
      const bindings = guard.of(server.connections[0]!).last?.av.get(10);
      expect(bindings?.equals(Buffer.alloc(16))).to.equal(false);
    });

    it('gives up when every answer ends the connection', async () => {
      const server = await serve(ntlmGuard(), {
        afterAnswer: ({ connection }) => void connection.socket.end(),
      });
      const { send } = bound(transport({ credentials: NTLM_USER }));
      const error = await bitsError(send(ping(server.url()), LONG));
      expect(error.code).to.be.oneOf(['BITS_ERR_AUTH', 'BITS_ERR_TRANSPORT']);
      expect(server.requests.length).to.be.below(14);
    });

    it('refuses NTLM over a transport that does not control connections', async () => {
      const server = await serve(ntlmGuard());
      const inner = createFetchTransport(fetch);
      const { send } = bound(transport({ credentials: NTLM_USER }, {}, inner));
      const error = await bitsError(send(ping(server.url()), LONG));
      expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
      expect(error.message).to.include('default transport');
      expect(server.requests).to.have.length(1);
    });

    it('accepts a weaker offer over a transport that does not control connections', async () => {
      const basic = basicGuard();
      const server = await serve((request) =>
        basic(request) === undefined ? undefined : ['NTLM', 'Basic realm="x"'],
      );
      const { send } = bound(transport({ credentials: USER }, {}, createFetchTransport(fetch)));
      expect((await send(ping(server.url()), LONG)).status).to.equal(200);
    });
  });

  describe('with Digest', () => {
    for (const algorithm of ['MD5', 'SHA-256']) {
      it(`hashes the method as sent (${algorithm}), and authenticates every later request`, async () => {
        const guard = digestGuard({ algorithm });
        const server = await serve(guard);
        const { send } = bound(transport({ credentials: USER }));
        const url = server.url('/dir/fi%20le.bin?a=b');
        for (const request of [ping(url), fragment(url, BODY), get(url)]) {
          expect((await send(request, LONG)).status).to.equal(200);
        }
        expect(statuses(server)).to.deep.equal(['Ping 401', 'Ping 200', 'Fragment 200', 'GET 200']);
        expect(guard.seen.map(({ nc }) => nc)).to.deep.equal(['00000001', '00000002', '00000003']);
      });
    }

    it('continues with a new nonce when the old one is stale', async () => {
      const server = await serve(digestGuard({ uses: 2 }));
      const { send } = bound(transport({ credentials: USER }));
      for (let i = 0; i < 5; i++) {
        const answer = await send(fragment(server.url(), BODY), LONG);
        expect(answer.status).to.equal(200);
      }
      expect(statuses(server).filter((line) => line === 'Fragment 401')).to.have.length(3);
      expect(server.requests.every(({ body }) => body.equals(BODY))).to.equal(true);
    });

    for (const [bytes, connections] of [
      [60_000, 1],
      [2_000_000, 2],
    ] as const) {
      it(`releases the connection of a streamed 401 of ${bytes} bytes`, async () => {
        const server = await serve(digestGuard(), { page: 'x'.repeat(bytes) });
        const { send } = bound(transport({ credentials: USER }));
        const answer = await send(get(server.url()), { ...LONG, answerBody: 'stream' });
        expect(answer.status).to.equal(200);
        expect(server.connections).to.have.length(connections);
      });
    }
  });

  describe('with refused credentials', () => {
    const guards: readonly (readonly [string, () => Guard, Partial<AuthOptions>])[] = [
      ['NTLM', () => ntlmGuard({ others: ['Negotiate', 'Basic realm="x"'] }), {}],
      ['Negotiate', () => ntlmGuard({ token: 'Negotiate' }), {}],
      ['Digest', () => digestGuard(), {}],
      ['Basic', () => basicGuard(), {}],
    ];
    for (const [name, guard, options] of guards) {
      it(`makes exactly one attempt (${name}) and reveals no secret`, async () => {
        const server = await serve(guard());
        const password = wrongPassword();
        const made = transport({
          credentials: { username: 'Domain\\User', password },
          ...options,
        });
        const error = await bitsError(made.send(ping(server.url()), LONG));
        expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false, status: 401 });
        const shown = server.requests.filter((request) => {
          const value = authorizationOf(request);
          return value !== undefined && !value.includes('TlRMTVNTUAAB');
        });
        expect(shown).to.have.length(1);
        const before = server.requests.length;
        // The Cancel that follows a failure must not be a second attempt, and other jobs no third one.
        for (const next of [
          made,
          transport({ credentials: { username: 'Domain\\User', password } }),
        ]) {
          const again = await bitsError(next.send(fragment(server.url(), BODY), LONG));
          expect(again).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
          expect(again.message).to.match(/before.*not sent again/);
        }
        expect(server.requests).to.have.length(before);
        const basic = Buffer.from(`Domain\\User:${password}`).toString('base64');
        for (const text of [
          inspect(error, { depth: 9 }),
          inspect(made, { depth: 9 }),
          error.message,
        ]) {
          expect(text).not.to.include(SECRET);
          expect(text).not.to.include(basic);
        }
      });
    }

    it('does not try a weaker scheme with a refused password', async () => {
      const digest = digestGuard();
      const server = await serve((request) =>
        authorizationOf(request) === undefined ? digest(request) : ['Basic realm="x"'],
      );
      const made = transport({ credentials: { username: 'User', password: wrongPassword() } });
      expect((await bitsError(made.send(ping(server.url()), LONG))).code).to.equal('BITS_ERR_AUTH');
      expect(server.requests).to.have.length(2);
    });

    for (const [name, guard] of [
      ['NTLM', () => ntlmGuard()],
      ['Digest', () => digestGuard()],
      ['Basic', () => basicGuard()],
    ] as const) {
      it(`makes one attempt for twelve transports at the same time (${name})`, async () => {
        const server = await serve(guard());
        const credentials = { username: 'User', password: wrongPassword() };
        const errors = await Promise.all(
          Array.from({ length: 12 }, () =>
            bitsError(transport({ credentials }).send(ping(server.url()), LONG)),
          ),
        );
        expect(new Set(errors.map(({ code }) => code))).to.deep.equal(new Set(['BITS_ERR_AUTH']));
        const shown = server.requests.filter((request) => {
          const value = authorizationOf(request);
          return value !== undefined && !value.includes('TlRMTVNTUAAB');
        });
        expect(shown).to.have.length(1);
      });
    }

    it('makes one attempt with an Authorization header of the request', async () => {
      const server = await serve(basicGuard());
      const authorization = `Basic ${Buffer.from(`User:${wrongPassword()}`).toString('base64')}`;
      const inner = keep(createUndiciTransport());
      const send = () =>
        new Authenticator(inner, {
          server: undefined,
          mayAuthenticate: () => false,
        }).send(ping(server.url(), { Authorization: authorization }), LONG);
      expect((await send()).status).to.equal(401);
      const error = await bitsError(send());
      expect(error.message).to.match(/before.*not sent again/);
      expect(server.requests).to.have.length(1);
    });

    it('makes one attempt for simultaneous requests', async () => {
      const server = await serve(basicGuard());
      const made = transport({ credentials: { username: 'User', password: wrongPassword() } });
      const errors = await Promise.all(
        [1, 2, 3].map(() => bitsError(made.send(ping(server.url()), LONG))),
      );
      expect(errors.map(({ code }) => code)).to.deep.equal(Array(3).fill('BITS_ERR_AUTH'));
      expect(server.requests.filter((request) => authorizationOf(request))).to.have.length(1);
    });
  });

  describe('with Basic', () => {
    it('sends the password with every request after the first challenge', async () => {
      const server = await serve(basicGuard());
      const { send } = bound(transport({ credentials: USER }));
      await send(ping(server.url()), LONG);
      await send(fragment(server.url(), BODY), LONG);
      expect(statuses(server)).to.deep.equal(['Ping 401', 'Ping 200', 'Fragment 200']);
    });
  });

  describe('with a bearer token', () => {
    const bearerGuard =
      (good: () => string): Guard =>
      (request) =>
        authorizationOf(request) === `Bearer ${good()}`
          ? undefined
          : ['Bearer realm="x", error="invalid_token"'];

    it('sends the token from the first request on', async () => {
      const server = await serve(bearerGuard(() => 't1'));
      const { send } = bound(transport({ token: 't1' }));
      await send(fragment(server.url(), BODY), LONG);
      expect(statuses(server)).to.deep.equal(['Fragment 200']);
    });

    it('fetches one new token for all waiting requests when the old one has expired', async () => {
      let good = 't1';
      let asked = 0;
      const server = await serve(bearerGuard(() => good));
      const { send } = bound(
        transport({
          token: async () => {
            asked++;
            return good;
          },
        }),
      );
      await send(ping(server.url()), LONG);
      good = 't2';
      const answers = await Promise.all([1, 2, 3].map(() => send(ping(server.url()), LONG)));
      expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200]);
      expect(asked).to.equal(2);
    });

    it('fails when the new token is refused, or is the same', async () => {
      let n = 0;
      const server = await serve(bearerGuard(() => 'never'));
      const fresh = transport({ token: () => `t${++n}` });
      const error = await bitsError(fresh.send(ping(server.url()), LONG));
      expect(error.code).to.equal('BITS_ERR_AUTH');
      expect(server.requests).to.have.length(2);
      const fixed = transport({ token: SECRET });
      expect((await bitsError(fixed.send(ping(server.url()), LONG))).code).to.equal(
        'BITS_ERR_AUTH',
      );
      expect(server.requests).to.have.length(3);
      expect(inspect(fixed, { depth: 9 })).not.to.include(SECRET);
    });
  });

  describe('with an authorize function', () => {
    it('passes the challenges to the function and sends its answer', async () => {
      const server = await serve((request) =>
        authorizationOf(request) === 'Own 42' ? undefined : ['Own n="42"'],
      );
      const contexts: unknown[] = [];
      const { send } = bound(
        transport({
          authorize: ({ challenges, method, target }) => {
            contexts.push([method, target, challenges?.length]);
            const n = challenges?.[0]?.params.get('n');
            return n && `Own ${n}`;
          },
        }),
      );
      expect((await send(ping(server.url('/v/f')), LONG)).status).to.equal(200);
      expect(contexts).to.deep.equal([
        ['BITS_POST', '/v/f', undefined],
        ['BITS_POST', '/v/f', 1],
      ]);
    });

    it('fails when the function returns nothing or the same value again', async () => {
      const server = await serve(() => ['Own']);
      for (const authorize of [() => undefined, () => 'Own 1']) {
        const error = await bitsError(transport({ authorize }).send(ping(server.url()), LONG));
        expect(error.code).to.equal('BITS_ERR_AUTH');
      }
      expect(server.requests).to.have.length(2);
    });
  });

  describe('over http to another machine', () => {
    for (const [what, auth] of [
      ['password', { credentials: USER }],
      ['token', { token: Buffer.from('User:Password').toString('base64') }],
    ] as const) {
      it(`does not send a ${what} unless that is allowed`, async () => {
        const basic = basicGuard();
        const server = await serve((request) =>
          /^Bearer VX/.test(authorizationOf(request) ?? '') ? undefined : basic(request),
        );
        const near = createUndiciTransport();
        // The name leads to this machine.
        const inner: typeof near = {
          limitations: [],
          close: () => near.close(),
          send: (request, options) => near.send({ ...request, url: server.url() }, options),
        };
        const far = new URL('http://web.corp.example/vdir/file.bin');
        const error = await bitsError(transport(auth, {}, inner).send(ping(far), LONG));
        expect(error.code).to.equal('BITS_ERR_AUTH');
        expect(error.message).to.include('allowInsecureAuth').and.include('https');
        expect(server.requests.some((request) => authorizationOf(request))).to.equal(false);
        const lax = transport(auth, { allowInsecureAuth: true }, inner);
        expect((await lax.send(ping(far), LONG)).status).to.equal(200);
      });
    }
  });

  describe('and other hosts', () => {
    it('sends no credentials to a host that they are not for', async () => {
      const home = await serve(basicGuard());
      const other = await serve(basicGuard());
      const { send } = bound(
        transport({ credentials: USER }, { mayAuthenticate: (url) => url.port === `${home.port}` }),
      );
      await send(ping(home.url()), LONG);
      const error = await bitsError(send(ping(other.url()), LONG));
      expect(error.code).to.equal('BITS_ERR_UNTRUSTED_HOST');
      expect(error.message).to.include('trustedHosts').and.include(other.url().host);
      expect(other.requests.map((request) => authorizationOf(request))).to.deep.equal([undefined]);
    });

    it('uses the credentials at one host only after a challenge of that host', async () => {
      const first = await serve(basicGuard());
      const second = await serve(() => undefined);
      const { send } = bound(transport({ credentials: USER }));
      await send(ping(first.url()), LONG);
      await send(ping(second.url()), LONG);
      expect(second.requests.map((request) => authorizationOf(request))).to.deep.equal([undefined]);
    });

    it('does not replace the Authorization header of a request', async () => {
      const server = await serve(basicGuard());
      const { send } = bound(transport({ credentials: USER }));
      const answer = await send(ping(server.url(), { authorization: 'Own x' }), LONG);
      expect(answer.status).to.equal(401);
      expect(server.requests).to.have.length(1);
    });
  });

  describe('without a scheme in common', () => {
    for (const [offer, text] of [
      ['Hoba, Bearer', 'hoba, bearer for authentication, but the options allow only'],
      ['Hoba, Digest realm="x", nonce="1", algorithm=FOO', 'hoba, digest'],
      [
        'Digest realm="x", nonce="1", algorithm=FOO',
        'Digest in a form that this client does not know',
      ],
      ['', 'names no scheme'],
    ] as const) {
      it(`names the offers in the error (${text})`, async () => {
        const server = await serve(() => [offer]);
        const error = await bitsError(
          transport({ credentials: USER }).send(ping(server.url()), LONG),
        );
        expect(error.code).to.equal('BITS_ERR_AUTH');
        expect(error.message).to.include(text);
      });
    }

    it('uses only the allowed schemes', async () => {
      const server = await serve(basicGuard());
      const made = transport({ credentials: USER, schemes: ['ntlm', 'digest'] });
      expect((await bitsError(made.send(ping(server.url()), LONG))).code).to.equal('BITS_ERR_AUTH');
      expect(server.requests).to.have.length(1);
    });
  });

  describe("with a function of the caller's that does not answer", () => {
    const offers = ['Digest realm="x", nonce="1", qop="auth"', 'Basic realm="x"'];
    const never = () => new Promise<never>(() => {});

    for (const [name, auth] of [
      ['credentials', { credentials: never }],
      ['token', { token: never }],
      ['authorize', { authorize: never }],
    ] as const) {
      it(`rejects as soon as the signal aborts (${name}), and so do waiting requests`, async () => {
        const server = await serve(() => offers);
        const made = transport(auth);
        const controllers = [new AbortController(), new AbortController()];
        const failures = controllers.map(({ signal }) =>
          bitsError(made.send(ping(server.url()), { ...LONG, signal })),
        );
        await nextTurn();
        for (const [i, controller] of controllers.entries()) {
          controller.abort();
          expect((await failures[i]!).code).to.equal('BITS_ERR_ABORTED');
        }
      });
    }

    for (const [scheme, guard] of [
      ['Digest', digestGuard],
      ['Basic', basicGuard],
    ] as const) {
      it(`keeps no trace of the aborted request (${scheme})`, async () => {
        const server = await serve(guard());
        const asked = gate();
        const answered = gate();
        const made = transport({
          credentials: async () => {
            asked.open();
            await answered.promise;
            return USER;
          },
        });
        const controller = new AbortController();
        const aborted = bitsError(
          made.send(ping(server.url()), { ...LONG, signal: controller.signal }),
        );
        await asked.promise;
        controller.abort();
        expect((await aborted).code).to.equal('BITS_ERR_ABORTED');
        answered.open();
        expect((await made.send(ping(server.url()), LONG)).status).to.equal(200);
      });
    }
  });

  it('stops waiting for another request when the signal aborts', async () => {
    const server = await serve(ntlmGuard());
    const { send } = bound(transport({ credentials: NTLM_USER }));
    await send(ping(server.url()), LONG);
    const controller = new AbortController();
    const first = send(fragment(server.url(), BODY), LONG);
    const second = bitsError(send(ping(server.url()), { ...LONG, signal: controller.signal }));
    controller.abort();
    expect((await second).code).to.equal('BITS_ERR_ABORTED');
    await first;
    expect((await send(ping(server.url()), LONG)).status).to.equal(200);
  });
});

function bound(made: Authenticator): Pick<Authenticator, 'send'> {
  return { send: (request, options) => made.send(request, options) };
}
