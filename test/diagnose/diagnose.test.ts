import { readdir, readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { type DiagnoseOptions, type DiagnosisStep, diagnose } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { openHandles, untilClosed } from '../support/handles.js';
import { startHttpProxy } from '../support/http-proxy.js';
import {
  answer,
  type RawRequest,
  type RawServerOptions,
  tlsCertificate,
  tlsKey,
} from '../support/raw-server.js';
import { closedAfterEach } from '../transport/support.js';

const ACK = answer(200, { 'BITS-Packet-Type': 'Ack' });
const USER = { username: 'User', password: 'Pa55word' };
const AUTHORIZATION = `Basic ${Buffer.from('User:Pa55word').toString('base64')}`;

const fixture = (name: string) =>
  readFile(new URL(`../fixtures/tls/${name}`, import.meta.url), 'utf8');

/** The steps, in one object, by name. */
async function diagnosed(
  options: DiagnoseOptions,
): Promise<{ steps: DiagnosisStep[]; of: (name: string) => DiagnosisStep; outcome: string }> {
  const steps: DiagnosisStep[] = [];
  for await (const step of diagnose({ proxy: false, ...options })) steps.push(step);
  const signs = { true: '+', false: '-', skipped: '.' };
  return {
    steps,
    of: (name) => steps.find(({ step }) => step === name)!,
    outcome: steps.map(({ step, ok }) => `${signs[`${ok}`]}${step}`).join(' '),
  };
}

describe('diagnose', () => {
  const { keep, serve } = closedAfterEach();
  let handles = 0;

  beforeEach(async () => {
    // mocha's own timer runs from the first wait on.
    await Promise.resolve();
    handles = openHandles();
  });

  afterEach(() => untilClosed(handles));

  const server = async (options: Parameters<typeof createBitsServer>[0] = {}) =>
    keep(await createBitsServer(options));
  const raw = (reply: (request: RawRequest) => string, options: RawServerOptions = {}) =>
    serve({
      ...options,
      onRequest: (request) => void request.connection.socket.write(reply(request)),
    });

  it('finds nothing wrong with a server that accepts uploads, and leaves nothing there', async () => {
    const bits = await server();
    const { steps, outcome } = await diagnosed({ url: bits.url, probe: true });
    expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping +create +cancel');
    for (const { durationMs, detail } of steps) {
      expect(durationMs).to.be.a('number').and.to.be.at.least(0);
      expect(detail).to.match(/^[\x20-\x7e]{5,}$/);
    }
    expect(bits.log.map(({ packet }) => packet)).to.deep.equal([
      'ping',
      'create-session',
      'cancel-session',
    ]);
    expect((await readdir(bits.root)).filter((name) => !name.startsWith('.'))).to.deep.equal([]);
    bits.assertNoViolations();
  });

  it('sends only a Ping without probe, to a file and not to the directory', async () => {
    const bits = await server();
    const { outcome } = await diagnosed({ url: `${bits.url}in/` });
    expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping');
    expect(bits.log.map(({ packet, target }) => `${packet} ${target}`)[0]).to.match(
      /^ping \/in\/bits-upload-probe-[\w-]+$/,
    );
    await diagnosed({ url: `${bits.url}in/my.zip` });
    expect(bits.log[1]?.target).to.equal('/in/my.zip');
  });

  it('looks up names', async () => {
    const bits = await server();
    const { of } = await diagnosed({ url: bits.url.replace('127.0.0.1', 'localhost') });
    expect(of('dns')).to.include({ ok: true });
    expect(of('dns').detail).to.match(/^localhost is .*(127\.0\.0\.1|::1)/);
  });

  it('fails at a name without an address, and skips the other steps', async () => {
    const { of, outcome } = await diagnosed({ url: 'http://bits.invalid/', probe: true });
    expect(outcome).to.equal('-dns .tcp .proxy .tls .auth .ping .create .cancel');
    expect(of('dns')).to.include({ code: 'BITS_ERR_TRANSPORT' });
    expect(of('dns').advice).to.contain('nslookup bits.invalid');
    expect(of('ping').detail).to.equal('not checked: dns failed');
  });

  it('reports that nothing listens on a port', async () => {
    const closed = await raw(() => '');
    const url = closed.url('/');
    await closed.close();
    const { of, outcome } = await diagnosed({ url });
    expect(outcome).to.equal('.dns -tcp .proxy .tls .auth .ping');
    expect(of('tcp').detail).to.contain('ECONNREFUSED');
    expect(of('tcp').advice).to.match(/nothing listens on port \d+/);
  });

  describe('TLS', () => {
    const tlsServer = async (cert: string) => raw(() => ACK, { tls: { key: tlsKey(), cert } });

    it('reports protocol, names, issuer and end of a valid certificate', async () => {
      const url = (await tlsServer(await fixture('issued-cert.pem'))).url('/');
      const ca = await fixture('authority-cert.pem');
      const { of, outcome } = await diagnosed({ url, tls: { ca } });
      expect(outcome).to.equal('.dns +tcp .proxy +tls +auth +ping');
      expect(of('tls').detail).to.equal(
        'TLSv1.3; certificate for localhost, 127.0.0.1, 0:0:0:0:0:0:0:1, issued by Test Authority, valid until 2126-01-01',
      );
      expect(of('tls')).not.to.have.property('advice');
    });

    for (const [what, cert, tls, code, advice] of [
      [
        'an unknown authority',
        'issued-cert.pem',
        {},
        /UNABLE_TO_VERIFY_LEAF/,
        /issued by Test Auth/,
      ],
      ['a self-signed certificate', 'cert.pem', {}, /SELF_SIGNED/, /tls\.ca/],
      [
        'an expired certificate',
        'expired-cert.pem',
        { trusted: true },
        /EXPIRED/,
        /ended on 2021-01-01/,
      ],
      [
        'a certificate for another name',
        'cert.pem',
        { trusted: true, servername: 'bits.example' },
        /ALTNAME_INVALID/,
        /localhost, 127\.0\.0\.1/,
      ],
    ] as const) {
      it(`says what is wrong with ${what}, and how to correct it`, async () => {
        const pem = await fixture(cert);
        const url = (await tlsServer(pem)).url('/');
        const { servername, trusted } = { servername: undefined, trusted: false, ...tls };
        const options = { servername, ...(trusted && { ca: pem }) };
        const { of, outcome } = await diagnosed({ url, tls: options });
        expect(outcome).to.equal('.dns +tcp .proxy -tls .auth .ping');
        expect(of('tls')).to.include({ code: 'BITS_ERR_TLS' });
        expect(of('tls').detail).to.match(code).and.to.contain('; certificate for localhost');
        expect(of('tls').advice).to.match(advice);
      });
    }

    it('warns that a certificate is not checked', async () => {
      const url = (await tlsServer(await fixture('expired-cert.pem'))).url('/');
      const tls = { dangerouslyAllowInvalidCertificates: true };
      const { of, outcome } = await diagnosed({ url, tls });
      expect(outcome).to.equal('.dns +tcp .proxy +tls +auth +ping');
      expect(of('tls').detail).to.contain('NOT checked');
      expect(of('tls').advice).to.contain('tls.ca');
    });

    it('recognizes a port that speaks http', async () => {
      const bits = await server();
      const { of, outcome } = await diagnosed({ url: bits.url.replace('http:', 'https:') });
      expect(outcome).to.equal('.dns +tcp .proxy -tls .auth .ping');
      expect(of('tls').advice).to.contain('whether the port speaks https:');
    });

    it('recognizes that the server requires a client certificate', async () => {
      const { port } = await raw(() => ACK, {
        tls: { key: tlsKey(), cert: tlsCertificate(), requestCert: true, rejectUnauthorized: true },
      });
      const tls = { ca: tlsCertificate() };
      const { of, outcome } = await diagnosed({ url: `https://127.0.0.1:${port}/`, tls });
      expect(outcome).to.equal('.dns +tcp .proxy +tls -auth .ping');
      expect(of('auth').advice).to.contain('tls.cert');
    });
  });

  describe('proxies', () => {
    it('reports which proxy is used and why, and that it opened a tunnel', async () => {
      const bits = await raw(() => ACK, { tls: true });
      const { port: proxy } = keep(await startHttpProxy());
      const { of, outcome } = await diagnosed({
        url: bits.url('/'),
        tls: { ca: tlsCertificate() },
        proxy: `http://me:Pa55word@127.0.0.1:${proxy}`,
      });
      expect(outcome).to.equal('.dns +tcp +proxy +tls +auth +ping');
      expect(of('proxy').detail).to.equal(
        `http://127.0.0.1:${proxy}, from the option proxy: it opened a tunnel to 127.0.0.1:${bits.port}`,
      );
      expect(of('tcp').detail).to.contain(`port ${proxy}`);
    });

    it('names the variable of the environment, and respects exceptions', async () => {
      const bits = await server();
      const kept = { ...process.env };
      try {
        process.env.http_proxy = 'http://127.0.0.1:1';
        const through = await diagnosed({ url: bits.url, proxy: undefined });
        expect(through.outcome).to.equal('.dns -tcp .proxy .tls .auth .ping');
        const exempt = await diagnosed({ url: bits.url, proxy: undefined, noProxy: '127.0.0.1' });
        expect(exempt.of('proxy').detail).to.equal('no proxy: the option noProxy names 127.0.0.1');
        process.env.http_proxy = `http://127.0.0.1:${(await raw(() => ACK)).port}`;
        const { of } = await diagnosed({ url: bits.url, proxy: undefined });
        expect(of('proxy').detail).to.contain('from http_proxy of the environment');
      } finally {
        process.env = kept;
      }
    });

    for (const [status, url, code] of [
      [403, 'https://bits.invalid/', 'BITS_ERR_PROXY'],
      [407, 'https://bits.invalid/', 'BITS_ERR_AUTH'],
      [407, 'http://bits.invalid/', 'BITS_ERR_AUTH'],
    ] as const) {
      it(`fails at a proxy that answers ${status} for ${url}`, async () => {
        const headers = { 'Proxy-Authenticate': 'Basic realm="x"' };
        const proxy = await raw(() => answer(status, headers));
        const { of, outcome } = await diagnosed({ url, proxy: `127.0.0.1:${proxy.port}` });
        expect(outcome).to.equal('.dns +tcp -proxy .tls .auth .ping');
        expect(of('proxy')).to.include({ code });
        expect(of('proxy').detail).to.contain(`The proxy 127.0.0.1:${proxy.port}`);
        const { detail, advice = '' } = of('proxy');
        expect(detail + advice).to.contain(status === 407 ? 'the option proxy' : 'NO_PROXY');
      });
    }
  });

  describe('authentication', () => {
    const guarded = (...offers: string[]) =>
      raw(({ headers }) =>
        headers.authorization === AUTHORIZATION
          ? ACK
          : answer(401, { 'WWW-Authenticate': offers.join(', ') }),
      );

    it('lists the schemes that the server offers when no credentials are given', async () => {
      const url = (await guarded('Negotiate', 'NTLM', 'Basic realm="x"')).url('/');
      const { of, outcome } = await diagnosed({ url });
      expect(outcome).to.equal('.dns +tcp .proxy .tls -auth .ping');
      expect(of('auth')).to.include({ code: 'BITS_ERR_AUTH' });
      expect(of('auth').detail).to.match(/^the server offers Negotiate, NTLM, Basic; /);
      expect(of('auth').advice).to.match(/auth\.credentials.*auth\.kerberos/);
    });

    it('reports which scheme was used and accepted', async () => {
      const url = (await guarded('Basic realm="x"')).url('/');
      const { of, outcome } = await diagnosed({ url, auth: { credentials: USER } });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping');
      expect(of('auth').detail).to.equal('the server offers Basic; Basic was used and accepted');
    });

    it('reports that credentials were not needed', async () => {
      const bits = await server();
      const { of } = await diagnosed({ url: bits.url, auth: { credentials: USER } });
      expect(of('auth')).to.deep.include({
        ok: true,
        detail: 'the server requires no authentication; the credentials given were not needed',
      });
    });

    for (const [what, given] of [
      ['a wrong password', { auth: { credentials: { username: 'User', password: 'Wr0ng' } } }],
      ['an expired token', { auth: { token: 'Wr0ng' } }],
      ['a header', { headers: { Authorization: 'Bearer Wr0ng' } }],
    ] as const) {
      it(`reports that ${what} is refused, without showing it`, async () => {
        const guard = await guarded('Basic realm="x"', 'Bearer');
        const { of, outcome, steps } = await diagnosed({ url: guard.url('/'), ...given });
        expect(outcome).to.equal('.dns +tcp .proxy .tls -auth .ping');
        expect(of('auth')).to.include({ code: 'BITS_ERR_AUTH' });
        expect(of('auth').detail).to.match(/(Basic|Bearer) was used/);
        expect(of('auth').advice).to.contain('401.1');
        expect(JSON.stringify(steps)).not.to.contain('Wr0ng').and.not.to.contain('V3IwbmcK');
      });
    }

    it('shows no secret of a scheme, a URL or a proxy', async () => {
      const guard = await guarded('Basic realm="x"');
      const { steps } = await diagnosed({
        url: `${guard.url('/')}?sig=Pa55word`,
        auth: { credentials: USER },
        headers: { 'X-Key': 'Pa55word' },
      });
      expect(JSON.stringify(steps))
        .not.to.contain('Pa55word')
        .and.not.to.contain(AUTHORIZATION.slice(6));
    });
  });

  describe('Ping', () => {
    const refused = (status: number, headers = {}) =>
      raw(({ method }) => (method === 'HEAD' ? answer(403) : answer(status, headers)));

    it('recognizes a blocked verb, and that methodOverride helps', async () => {
      const url = (
        await raw(({ method, headers }) =>
          method === 'POST' && headers['x-http-method-override'] === 'BITS_POST'
            ? ACK
            : answer(405),
        )
      ).url('/');
      const { of, outcome } = await diagnosed({ url, probe: true });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth -ping .create .cancel');
      expect(of('ping')).to.include({ code: 'BITS_ERR_SERVER' });
      expect(of('ping').advice).to.match(
        /^the same Ping is accepted as POST.*verb.*methodOverride/,
      );
    });

    for (const [status, advice] of [
      [405, /^the verb BITS_POST is blocked/],
      [404, /^the directory itself exists \(HEAD is answered with 403\).*404\.6/],
      [400, /in front of it.*verb/],
      [403, /permissions of the account/],
      [502, /front end answers/],
    ] as const) {
      it(`says what to check after ${status}, and who answered`, async () => {
        const url = (await refused(status, { Server: 'nginx/1.22.1' })).url('/');
        const { of, outcome } = await diagnosed({ url });
        expect(outcome).to.equal('.dns +tcp .proxy .tls +auth -ping');
        expect(of('ping').detail).to.match(new RegExp(`^answered by nginx/1.22.1; .*${status}`));
        expect(of('ping').advice).to.match(advice);
      });
    }

    it('uses methodOverride as uploads do', async () => {
      const front = await raw(({ method }) => (method === 'POST' ? ACK : answer(405)));
      const { outcome } = await diagnosed({ url: front.url('/'), methodOverride: true });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping');
      expect(front.requests[0]?.headers['x-http-method-override']).to.equal('BITS_POST');
    });

    it('does not try methodOverride again when it is on already', async () => {
      const front = await raw(() => answer(405));
      const { of } = await diagnosed({ url: front.url('/'), methodOverride: true });
      expect(of('ping')).to.include({ ok: false });
      expect(front.requests).to.have.length(1);
    });

    it('follows redirects as uploads do, and reports them', async () => {
      const bits = await server();
      const url = (await raw(() => answer(307, { Location: `${bits.url}x` }))).url('/');
      const { of, outcome } = await diagnosed({ url });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping');
      expect(of('ping').detail).to.contain(`after a redirect to ${new URL(bits.url).host}`);
      const stopped = await diagnosed({ url, auth: { credentials: USER }, trustedHosts: [] });
      expect(stopped.outcome).to.match(/\+auth \+ping$/);
    });

    it('sends no header of the caller to a host that only a redirect names', async () => {
      const target = await raw(() => ACK);
      const Location = `http://localhost:${target.port}/x`;
      const url = (await raw(() => answer(307, { Location }))).url('/');
      const { outcome } = await diagnosed({ url, headers: { 'X-Key': 'k' } });
      expect(outcome).to.match(/ \+ping$/);
      expect(target.requests[0]?.headers).not.to.have.property('x-key');
    });

    it('reports that the directory does not exist either', async () => {
      const url = (await raw(() => answer(404))).url('/');
      const { of } = await diagnosed({ url });
      expect(of('ping').advice).to.match(/^the directory of the URL is not found either/);
    });

    it('reports that uploads are not enabled', async () => {
      const { url } = await server({ uploadsEnabled: false });
      const { of, outcome } = await diagnosed({ url });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth -ping');
      expect(of('ping').advice).to.contain('uploads are not enabled for the directory');
    });

    it('recognizes a page that is no acknowledgement', async () => {
      const url = (await raw(() => answer(200, {}, '<html>'))).url('/');
      const { of } = await diagnosed({ url });
      expect(of('ping')).to.include({ ok: false, code: 'BITS_ERR_NOT_BITS' });
      expect(of('ping').advice).to.contain('login page');
    });

    it('shows schemes with the names of object properties as they are', async () => {
      const url = (
        await raw(() =>
          answer(401, { 'WWW-Authenticate': 'constructor, toString, Basic realm="x"' }),
        )
      ).url('/');
      const { of } = await diagnosed({ url });
      expect(of('auth').detail).to.match(/^the server offers constructor, tostring, Basic; /);
    });

    it('does not show a Server header that is no product name', async () => {
      const url = (await raw(() => answer(403, { Server: '\u001b[31mevil' }))).url('/');
      const { of } = await diagnosed({ url });
      expect(of('ping').detail).not.to.contain('evil');
    });

    it('stops waiting for a server that does not answer', async () => {
      const url = (await raw(() => '')).url('/');
      const { of, outcome } = await diagnosed({ url, stepTimeoutMs: 150 });
      expect(outcome).to.equal('.dns +tcp .proxy .tls .auth -ping');
      expect(of('ping')).to.include({ code: 'BITS_ERR_TIMEOUT' });
      expect(of('ping').detail).to.match(/gave no answer within 150 ms/);
      expect(of('ping').durationMs).to.be.within(100, 5000);
    });
  });

  it('stops waiting for a TLS handshake', async () => {
    const { port } = await raw(() => '');
    const { of } = await diagnosed({ url: `https://127.0.0.1:${port}/`, stepTimeoutMs: 150 });
    expect(of('tls')).to.include({ ok: false, code: 'BITS_ERR_TIMEOUT' });
    expect(of('tls').advice).to.contain('whether it speaks TLS');
  });

  describe('probe', () => {
    it('reports a directory without permission to write', async () => {
      const { url } = await server({
        faults: [
          { on: 'create-session', do: { status: 403, hresult: 0x80070005, context: 0x5 } as never },
        ],
      });
      const { of, outcome } = await diagnosed({ url, probe: true });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping -create .cancel');
      expect(of('create')).to.include({ code: 'BITS_ERR_SERVER' });
      expect(of('create').advice).to.contain('permissions of the directory');
    });

    it('reports that the server moves uploads to a host that must not get the credentials', async () => {
      const bits = await server({ hostId: 'other.example' });
      const { of, outcome } = await diagnosed({
        url: bits.url,
        probe: true,
        auth: { credentials: USER },
      });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping -create .cancel');
      expect(of('create')).to.include({ code: 'BITS_ERR_UNTRUSTED_HOST' });
      expect(of('create').advice).to.contain('trustedHosts');
    });

    it('creates no session for the file that the URL names, but for a name of its own', async () => {
      const bits = await server();
      const url = `${bits.url}in/my.zip?sig=1`;
      const { of, outcome } = await diagnosed({ url, probe: true });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping +create +cancel');
      const targets = bits.log.map(({ packet, target }) => `${packet} ${target}`);
      expect(targets[0]).to.equal('ping /in/my.zip?sig=1');
      const [, name = ''] = /^create-session (.*)\?sig=1$/.exec(targets[1] ?? '') ?? [];
      expect(name).to.match(/^\/in\/bits-upload-probe-[\w-]+$/);
      expect(targets[2]).to.equal(`cancel-session ${name}?sig=1`);
      expect(of('create').detail).to.contain(name);
    });

    it('goes on when the server refuses only Ping', async () => {
      const bits = await server({ faults: [{ on: 'ping', do: { status: 404 } }] });
      const { of, outcome } = await diagnosed({ url: bits.url, probe: true });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping +create +cancel');
      expect(of('ping').detail).to.match(/^Ping was refused with HTTP status 404; uploads work/);
      expect(bits.log.map(({ packet }) => packet)).to.deep.equal([
        'ping',
        'create-session',
        'cancel-session',
      ]);
    });

    it('leaves no session when the iteration ends early', async () => {
      const bits = await server({ faults: [{ on: 'ping', do: { status: 404 } }] });
      const { url } = bits;
      for await (const { step } of diagnose({ url, proxy: false, probe: true })) {
        if (step === 'ping') break;
      }
      expect(bits.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
    });

    it('cancels the session at the host that the server moves it to', async () => {
      const bits = await server({ hostId: () => new URL(bits.url).host });
      const { of, outcome } = await diagnosed({ url: bits.url, probe: true });
      expect(outcome).to.equal('.dns +tcp .proxy .tls +auth +ping +create +cancel');
      expect(of('create').detail).to.contain(`moves it to ${new URL(bits.url).host}`);
    });

    it('reports that a session could not be cancelled', async () => {
      const { url } = await server({
        faults: [{ on: 'cancel-session', do: { status: 500 } as never }],
      });
      const { of } = await diagnosed({ url, probe: true });
      expect(of('cancel')).to.include({ ok: false });
      expect(of('cancel').advice).to.contain('until its time-out');
    });
  });

  it('rejects when it is aborted, and leaves nothing open', async () => {
    const abort = new AbortController();
    const hanging = await raw(() => {
      abort.abort();
      return '';
    });
    const error = await diagnosed({ url: hanging.url('/'), signal: abort.signal }).then(
      () => undefined,
      (caught) => caught,
    );
    expect(error).to.include({ code: 'BITS_ERR_ABORTED' });
  });

  it('leaves nothing open when the iteration ends early', async () => {
    const { url } = await server();
    for await (const { step } of diagnose({ url, proxy: false })) if (step === 'tcp') break;
  });

  it('can be iterated twice', async () => {
    const { url } = await server();
    const steps = diagnose({ url, proxy: false });
    for (const _ of [1, 2]) {
      const names: string[] = [];
      for await (const { step } of steps) names.push(step);
      expect(names).to.have.length(6);
    }
  });

  for (const [what, options] of [
    ['a URL without http', { url: 'ftp://h/' }],
    ['a time limit of zero', { url: 'http://h/', stepTimeoutMs: 0 }],
    ['empty auth', { url: 'http://h/', auth: {} }],
    ['an unsupported proxy', { url: 'http://h/', proxy: 'gopher://h' }],
    ['certificates that are not PEM', { url: 'http://h/', tls: { ca: 'x' } }],
  ] as const) {
    it(`throws immediately for ${what}`, () => {
      expect(() => diagnose(options))
        .to.throw()
        .with.property('code', 'BITS_ERR_ARGUMENT');
    });
  }
});
