import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Command } from 'commander';
import { NETWORK_OPTIONS, type NetworkFlags } from '../../src/cli/commands/network-flags.js';
import { networkOptions, secretWarnings } from '../../src/cli/commands/network-options.js';
import { variableOf } from '../../src/cli/environment.js';
import { connectionArguments } from '../../src/cli/resume-command.js';

const SECRET = 's3cret';

function parse(args: readonly string[]): NetworkFlags {
  const command = new Command().exitOverride();
  for (const option of NETWORK_OPTIONS) command.addOption(option);
  command.parse(args, { from: 'user' });
  return command.opts();
}

const { signal } = new AbortController();
const optionsOf = (args: readonly string[], env = {}) =>
  given(networkOptions(parse(args), { env, signal }));

/** Without those that are undefined. */
function given<T extends object>(options: T): T {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as T;
}

function failureOf(args: readonly string[], env = {}): string {
  try {
    optionsOf(args, env);
  } catch (error) {
    expect(error).to.include({ code: 'BITS_ERR_ARGUMENT' });
    const { message } = error as Error;
    expect(message).not.to.contain(SECRET);
    return message;
  }
  throw new Error('nothing was wrong');
}

const credentialsOf = (args: readonly string[], env = {}) => optionsOf(args, env).auth?.credentials;

describe('the flags for the connection to a server', () => {
  it('give no options when there are none', () => {
    expect(optionsOf([])).to.deep.equal({});
  });

  it('take a user and a password from the command line or the environment', async () => {
    const expected = { username: 'CORP\\me', password: `${SECRET}:x` };
    expect(credentialsOf(['-u', `CORP\\me:${SECRET}:x`])).to.deep.equal(expected);
    const env = { BITS_UPLOAD_PASSWORD: `${SECRET}:x` };
    expect(credentialsOf(['--user', 'CORP\\me'], env)).to.deep.equal(expected);
    expect(credentialsOf([], { ...env, BITS_UPLOAD_USER: 'CORP\\me' })).to.deep.equal(expected);
    expect(credentialsOf([], { BITS_UPLOAD_USER: `CORP\\me:${SECRET}:x` })).to.deep.equal(expected);
    expect(credentialsOf(['-u', 'me:'])).to.deep.equal({ username: 'me', password: '' });
  });

  it('prefer the command line to the environment', async () => {
    const env = {
      BITS_UPLOAD_USER: 'other:other',
      BITS_UPLOAD_PASSWORD: 'other',
      BITS_UPLOAD_OAUTH2_BEARER: 'other',
      BITS_UPLOAD_DIGEST: '1',
      BITS_UPLOAD_PROXY: 'http://other/',
      BITS_UPLOAD_INSECURE: '1',
    };
    const { auth, proxy } = optionsOf(['-u', `me:${SECRET}`, '--ntlm', '-x', ''], env);
    expect(auth).to.deep.equal({
      credentials: { username: 'me', password: SECRET },
      schemes: ['ntlm'],
    });
    expect(proxy).to.equal(false);
    expect(optionsOf(['--oauth2-bearer', 't'], env).auth).to.deep.equal({ token: 't' });
    expect(optionsOf(['-u', 'me', '--anyauth'], env).auth).to.deep.equal({
      credentials: { username: 'me', password: 'other' },
    });
  });

  it('run a command for the password only when the password is needed', async () => {
    const credentials = credentialsOf([
      '-u',
      'me',
      '--password-command',
      `echo ${SECRET}&& echo x`,
    ]);
    expect(credentials).to.be.a('function');
    expect(await (credentials as () => unknown)()).to.deep.equal({
      username: 'me',
      password: SECRET,
    });
    const env = { BITS_UPLOAD_PASSWORD_COMMAND: `echo ${SECRET}`, BITS_UPLOAD_USER: 'me' };
    expect(await (credentialsOf([], env) as () => unknown)()).to.include({ password: SECRET });
  });

  for (const [what, command] of [
    ['fails', `echo ${SECRET}&& exit 3`],
    ['prints nothing', `exit 0 && echo ${SECRET}`],
    ['prints without end', `yes ${SECRET}`],
  ] as const) {
    it(`report that a password command ${what}, without showing its output`, async () => {
      const ask = credentialsOf(['-u', 'me', '--password-command', command]);
      const error = await (ask as () => Promise<unknown>)().catch((caught) => caught);
      expect(error).to.include({ code: 'BITS_ERR_AUTH' });
      expect((error as Error).message)
        .to.contain('--password-command')
        .and.not.to.contain(SECRET);
    });
  }

  for (const [args, schemes] of [
    [['--digest'], ['digest']],
    [
      ['--basic', '--ntlm'],
      ['ntlm', 'basic'],
    ],
    [['--negotiate'], ['negotiate']],
    [['--digest', '--anyauth'], undefined],
  ] as const) {
    it(`choose schemes with ${args.join(' ')}`, () => {
      expect(optionsOf(['-u', 'me:x', ...args]).auth?.schemes).to.deep.equal(schemes);
    });
  }

  it('use the Kerberos ticket with --negotiate and no user, like curl', () => {
    const expected = { kerberos: true, schemes: ['negotiate'] };
    expect(optionsOf(['--negotiate']).auth).to.deep.equal(expected);
    expect(optionsOf(['--negotiate', '-u', ':']).auth).to.deep.equal(expected);
    expect(optionsOf([], { BITS_UPLOAD_NEGOTIATE: 'yes' }).auth).to.deep.equal(expected);
  });

  it('read certificates in PEM, in PEM with their key, and in PKCS #12', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bits-cli-'));
    try {
      const pem = fileURLToPath(new URL('../fixtures/tls/cert.pem', import.meta.url));
      const key = fileURLToPath(new URL('../fixtures/tls/key.pem', import.meta.url));
      const pfx = join(folder, 'me.p12');
      await writeFile(pfx, Buffer.from([0x30, 0x82]));
      const contents = { cert: await readFile(pem), key: await readFile(key) };
      expect(optionsOf(['--cacert', pem]).tls).to.deep.equal({ ca: contents.cert });
      expect(optionsOf(['-E', pem, '--key', key]).tls).to.deep.equal(contents);
      expect(optionsOf(['--cert', pem]).tls).to.deep.equal({
        cert: contents.cert,
        key: contents.cert,
      });
      expect(optionsOf(['--cert', pfx, '--pass', SECRET]).tls).to.deep.equal({
        pfx: Buffer.from([0x30, 0x82]),
        passphrase: SECRET,
      });
      expect(failureOf(['--cert', pfx, '--key', key])).to.contain('PEM');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('become options of the SDK', () => {
    expect(
      optionsOf(
        [
          ...['-k', '--allow-insecure-auth', '--method-override', '-A', 'mine/1'],
          ...['--trusted-host', 'a', '--trusted-host', '*.b', '--noproxy', '*'],
          ...['-x', 'http://p:3128', '-U', 'me'],
        ],
        { BITS_UPLOAD_PROXY_PASSWORD: SECRET },
      ),
    ).to.deep.equal({
      tls: { dangerouslyAllowInvalidCertificates: true },
      allowInsecureAuth: true,
      methodOverride: true,
      userAgent: 'mine/1',
      trustedHosts: ['a', '*.b'],
      noProxy: '*',
      proxy: { url: 'http://p:3128', username: 'me', password: SECRET },
    });
  });

  it('can all be set in the environment', () => {
    for (const option of NETWORK_OPTIONS.filter((option) => option.isBoolean())) {
      const variable = variableOf(option);
      expect(failureOf([], { [variable]: SECRET })).to.contain(variable);
      expect(networkOptions({}, { env: { [variable]: '0' }, signal }).auth).to.equal(undefined);
    }
    expect(optionsOf([], { BITS_UPLOAD_TRUSTED_HOST: 'a, *.b' })).to.deep.equal({
      trustedHosts: ['a', '*.b'],
    });
    expect(optionsOf([], { BITS_UPLOAD_USER: '', BITS_UPLOAD_PROXY: '' })).to.deep.equal({
      proxy: false,
    });
  });

  for (const [args, message] of [
    [['-u', 'me'], /BITS_UPLOAD_PASSWORD/],
    [['-u', `:${SECRET}`], /name/],
    [['-u', `me:${SECRET}`, '--password-command', SECRET], /already/],
    [['-u', `me:${SECRET}`, '--oauth2-bearer', SECRET], /exclude/],
    [['--oauth2-bearer', SECRET, '--digest'], /schemes/],
    [['--oauth2-bearer', ''], /token/],
    [['--ntlm'], /--ntlm needs --user/],
    [['--password-command', SECRET], /--user/],
    [['--pass', SECRET], /--cert/],
    [['--key', 'x.pem'], /--cert/],
    [['--cacert', '/no/such.pem'], /no\/such.*ENOENT/],
    [['--proxy-user', `me:${SECRET}`], /--proxy/],
    [['-x', 'p:1', '-U', 'me'], /BITS_UPLOAD_PROXY_PASSWORD/],
  ] as const) {
    it(`are refused for ${args.map((arg) => arg.replace(SECRET, '…')).join(' ')}`, () => {
      expect(failureOf(args)).to.match(message);
    });
  }

  it('warn of secrets on the command line, without showing them, and of nothing else', () => {
    const seen = [
      ...['-u', `me:${SECRET}`, '--oauth2-bearer', SECRET, '--pass', SECRET],
      ...['-x', `http://me:${SECRET}@p:1`, '-U', `me:${SECRET}`],
    ];
    const warnings = secretWarnings(parse(seen));
    expect(warnings.map(({ message }) => /set (\w+) instead$/.exec(message)?.[1])).to.deep.equal([
      'BITS_UPLOAD_PASSWORD',
      'BITS_UPLOAD_OAUTH2_BEARER',
      'BITS_UPLOAD_PASS',
      'BITS_UPLOAD_PROXY_PASSWORD',
      'BITS_UPLOAD_PROXY_PASSWORD',
    ]);
    expect(JSON.stringify(warnings)).not.to.contain(SECRET);
    const harmless = ['-u', 'me', '-x', 'http://p:3128', '-U', 'me', '--key', 'k'];
    expect(secretWarnings(parse(harmless))).to.deep.equal([]);
  });

  it('can be printed for another command, without secrets', () => {
    const args = [
      ...['-u', `me:${SECRET}`, '--digest', '--trusted-host', 'a', '--trusted-host', 'b'],
      ...['-x', `http://me:${SECRET}@p:1`, '--pass', SECRET, '--cert', 'c.pem'],
    ];
    expect(connectionArguments(parse(args), undefined)).to.deep.equal([
      ...['--user', 'me:…', '--digest', '--trusted-host', 'a', '--trusted-host', 'b'],
      ...['--cert', 'c.pem', '--pass', '…', '--proxy', 'http://…@p:1'],
    ]);
  });
});
