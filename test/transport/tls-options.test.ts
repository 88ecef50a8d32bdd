import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { expect } from 'chai';
import { resolveTls, type TlsOptions } from '../../src/transport/tls-options.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { tlsCertificate, tlsKey } from '../support/raw-server.js';
import { bitsError, closedAfterEach, LONG, OK, ping } from './support.js';

const PASSPHRASE = 'Passphrase';
const pfx = readFileSync(new URL('../fixtures/tls/client.p12', import.meta.url));
const lock = (key: string) =>
  createPrivateKey(key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: PASSPHRASE,
  }) as string;
const lockedKey = lock(tlsKey());
const pem = { type: 'pkcs8', format: 'pem' } as const;
const otherKinds = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem);
const others = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pem);

describe('TLS options', () => {
  const cert = tlsCertificate();
  const key = tlsKey();

  it('doubt the passphrase too where a wrong one decrypts to something', () => {
    const isSomething = (key: string) => {
      try {
        tls.createSecureContext({ key, passphrase: 'hunter2' });
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'ERR_OSSL_UNSUPPORTED';
      }
      return false;
    };
    // Each is locked with a salt of its own, and one in 256 will do.
    let locked = lockedKey;
    for (let i = 0; i < 10_000 && !isSomething(locked); i++) locked = lock(tlsKey());
    const attempt = () => resolveTls({ cert, key: locked, passphrase: 'hunter2' });
    expect(attempt).to.throw(/tls\.passphrase does not open tls\.key, or .*check the passphrase/);
  });

  for (const [what, options, told] of [
    ['a path for an authority', { ca: '/etc/ssl/ca.pem' }, /tls\.ca .*content of the file/],
    ['a cut authority', { ca: cert.slice(0, 300) }, /tls\.ca/],
    ['a broken authority', { ca: cert.replace(/\n.{8}/, '\nAAAAAAAA') }, /tls\.ca .*whole/],
    ['authorities of another kind', { ca: { file: 'x' } as never }, /tls\.ca/],
    ['a certificate without its key', { cert }, /both cert and key/],
    ['a key without its certificate', { key }, /both cert and key/],
    ['a path for a certificate', { cert: 'c.pem', key }, /tls\.cert must be PEM/],
    ['the key of another', { cert, key: others as string }, /not the key of tls\.cert/],
    ['a key of another kind', { cert, key: otherKinds as string }, /not the key of tls\.cert/],
    ['a locked key', { cert, key: lockedKey }, /give its passphrase/],
    ['a wrong passphrase', { cert, key: lockedKey, passphrase: 'hunter2' }, /does not open/],
    ['a cut key', { cert, key: key.slice(0, 100) }, /cannot be read/],
    ['a locked PFX', { pfx }, /give its passphrase/],
    ['a wrong passphrase of a PFX', { pfx, passphrase: 'hunter2' }, /does not open tls\.pfx/],
    ['a PFX that is none', { pfx: Buffer.from('hunter2') }, /PKCS #12/],
    ['a PFX beside a certificate', { pfx, cert, key }, /not both/],
    ['an unknown version', { minVersion: 'SSLv3' as never }, /TLSv1\.2/],
    ['a name that is none', { servername: 7 as never }, /servername/],
    ['rejectUnauthorized', { rejectUnauthorized: false } as never, /dangerouslyAllow/],
  ] as [string, TlsOptions, RegExp][]) {
    it(`refuse ${what}, and say what to do`, () => {
      const attempt = () => resolveTls(options);
      expect(attempt).to.throw(told).that.includes({ code: 'BITS_ERR_ARGUMENT' });
      expect(attempt).not.to.throw('hunter2');
    });
  }

  it('take PEM as text and as bytes, one or several', () => {
    for (const ca of [cert, Buffer.from(cert), [cert, Buffer.from(cert)], cert + cert]) {
      expect(resolveTls({ ca }).connection.ca).to.be.an('array');
    }
  });

  it('take PEM with the byte order mark of a Windows editor', () => {
    const marked = (text: string) => [
      `\uFEFF${text}`,
      Buffer.from(`\uFEFF${text}`),
      Buffer.from(`\uFEFF${text}`).toString('latin1'),
      Buffer.from(`\uFEFF${text}`, 'utf16le'),
    ];
    for (const [i, one] of marked(cert).entries()) {
      expect(resolveTls({ ca: one }).connection.ca).to.deep.equal([cert]);
      const { connection } = resolveTls({ cert: one, key: marked(key)[i] });
      expect([connection.cert, connection.key]).to.deep.equal([cert, key]);
    }
    // Two such files, one after the other.
    const both = `\uFEFF${cert}\uFEFF${cert}`;
    expect(resolveTls({ ca: both }).connection.ca).to.deep.equal([cert + cert]);
  });

  it('add the authorities of the system where Node knows them', () => {
    const { getCACertificates } = tls as { getCACertificates?: (type: string) => string[] };
    if (getCACertificates === undefined) {
      expect(() => resolveTls({ systemCa: true })).to.throw(/Node 22\.15.*tls\.ca/);
      return;
    }
    const { ca } = resolveTls({ ca: cert, systemCa: true }).connection;
    expect(ca).to.include(cert).and.to.include.members(getCACertificates('system'));
  });

  describe('on the wire', () => {
    const { keep, serve: serveRaw } = closedAfterEach();
    const serve = (options: tls.TlsOptions = {}) => serveRaw({ ...OK, tls: options });
    const make = (options: TlsOptions) =>
      keep(createUndiciTransport({ tls: options, proxy: false }));

    it('trust an authority whose file has a byte order mark', async () => {
      const server = await serve();
      const transport = make({ ca: Buffer.from(`\uFEFF${cert}`) });
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
    });

    for (const [name, options] of [
      ['PEM', { cert, key: lockedKey, passphrase: PASSPHRASE }],
      ['PFX', { pfx, passphrase: PASSPHRASE }],
    ] as const) {
      it(`show a client certificate from ${name}`, async () => {
        const server = await serve({ requestCert: true, rejectUnauthorized: true, ca: cert });
        const { status } = await make({ ca: cert, ...options }).send(ping(server.url()), LONG);
        expect(status).to.equal(200);
      });
    }

    it('check the name that was given, of the hosts that it was given for', async () => {
      const server = await serve();
      const url = server.url();
      const wrong = { ca: cert, servername: 'other.example' };
      const error = await bitsError(make(wrong).send(ping(url), LONG));
      expect(error.code).to.equal('BITS_ERR_TLS');
      expect(error.message).to.include('ERR_TLS_CERT_ALTNAME_INVALID');
      const elsewhere = {
        ca: cert,
        servername: (host: string) => (host === 'x' ? 'y' : undefined),
      };
      expect((await make(elsewhere).send(ping(url), LONG)).status).to.equal(200);
    });

    it('speak no older version than the least', async () => {
      const server = await serve({ maxVersion: 'TLSv1.2' });
      const error = await bitsError(
        make({ ca: cert, minVersion: 'TLSv1.3' }).send(ping(server.url()), LONG),
      );
      expect(error).to.include({ code: 'BITS_ERR_TLS', retryable: false });
    });

    it('trust anybody with a warning only', async () => {
      const server = await serve();
      const transport = make({ dangerouslyAllowInvalidCertificates: true });
      expect((await transport.send(ping(server.url()), LONG)).status).to.equal(200);
      expect(transport.limitations.map(({ code }) => code)).to.deep.equal([
        'certificates-not-checked',
      ]);
    });
  });
});
