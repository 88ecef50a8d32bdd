import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { failureOf } from '../store/records.js';
import { describeWith } from './support/installed.js';
import { startKerberosRealm } from './support/kerberos-realm.js';
import { siteForSuite } from './support/site.js';
import { IDEAL, SHARED } from './support/uploads.js';

const MODULES = '/usr/lib/apache2/modules';
const APACHE = { package: 'apache2', files: ['apache2', `${MODULES}/mod_proxy_http.so`] };
const GSSAPI = {
  package: 'libapache2-mod-auth-gssapi',
  files: [`${MODULES}/mod_auth_gssapi.so`],
};
const NTLMSSP = { package: 'gss-ntlmssp', files: ['/etc/gss/mech.d/mech.ntlmssp.conf'] };
const KDC = { package: 'krb5-kdc', files: ['krb5kdc', 'kdb5_util'] };
const KADMIN = { package: 'krb5-admin-server', files: ['kadmin.local'] };

const USER = { username: 'uploader', password: 'open sesame' };

function configuration(
  folder: string,
  port: number,
  backendPort: number,
  modules: readonly string[],
  access: string,
): string {
  const loaded = ['mpm_event', 'authz_core', 'authz_user', 'authn_core', ...modules];
  return `
ServerRoot ${folder}
ServerName localhost
DefaultRuntimeDir ${folder}
PidFile ${folder}/apache.pid
Mutex file:${folder}
ErrorLog ${folder}/error.log
LogLevel info
Listen 127.0.0.1:${port}
${[...loaded, 'proxy', 'proxy_http', 'headers']
  .map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`)
  .join('\n')}
StartServers 1
ProxyPass / http://127.0.0.1:${backendPort}/
<Location />
${access}
</Location>
`;
}

describeWith('Apache in front of a BITS server', [APACHE], () => {
  const ports = { open: 0, digest: 0 };

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    ports.open = await site.port();
    ports.digest = await site.port();
    const secret = `${USER.username}:uploads:${USER.password}`;
    const hash = createHash('md5').update(secret).digest('hex');
    const users = await scratch.write('digest-users', `${USER.username}:uploads:${hash}\n`);
    const digest = [
      ...['AuthType Digest', 'AuthName "uploads"', `AuthUserFile ${users}`],
      ...['AuthDigestProvider file', 'Require valid-user'],
    ].join('\n');
    for (const [name, modules, access] of [
      ['open', [], 'Require all granted'],
      ['digest', ['auth_digest', 'authn_file'], digest],
    ] as const) {
      const folder = await scratch.folder(name);
      const text = configuration(folder, ports[name], backend.port, modules, access);
      await site.start({
        command: 'apache2',
        args: ['-DFOREGROUND', '-f', await scratch.write(`${name}.conf`, text)],
        port: ports[name],
        cwd: folder,
        logs: [`${folder}/error.log`],
      });
    }
  });

  it('takes uploads and replies over one connection', async () => {
    const door = await site().door(ports.open);
    expect(await door.uploadBoth()).to.deep.equal(SHARED);
  });

  it('takes them with Digest, with no fragment sent for nothing', async () => {
    const door = await site().door(ports.digest);
    const auth = { credentials: USER };
    expect(await door.uploadBoth({ auth })).to.deep.equal(IDEAL);
  });

  it('refuses a wrong password for Digest in one clear error', async () => {
    const door = await site().door(ports.digest);
    const auth = { credentials: { ...USER, password: 'wrong' } };
    const upload = door.upload({ auth });
    expect(await failureOf(upload)).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
  });
});

describeWith('Apache with NTLM', [APACHE, GSSAPI, NTLMSSP], () => {
  let port = 0;

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    port = await site.port();
    const users = await scratch.write('ntlm', `CORP:${USER.username}:${USER.password}\n`);
    const folder = await scratch.folder('apache');
    const access = [
      ...['AuthType GSSAPI', 'AuthName "uploads"', 'GssapiConnectionBound On'],
      ...['GssapiAllowedMech ntlmssp', 'Require valid-user'],
    ].join('\n');
    const text = configuration(folder, port, backend.port, ['auth_gssapi'], access);
    await site.start({
      command: 'apache2',
      args: ['-DFOREGROUND', '-f', await scratch.write('ntlm.conf', text)],
      port,
      cwd: folder,
      env: { NTLM_USER_FILE: users, NETBIOS_COMPUTER_NAME: 'WEB', NETBIOS_DOMAIN_NAME: 'CORP' },
      logs: [`${folder}/error.log`],
    });
  });

  it('takes uploads and replies over one connection each, with no fragment for nothing', async () => {
    const door = await site().door(port);
    const auth = { credentials: { ...USER, domain: 'CORP' } };
    expect(await door.uploadBoth({ auth })).to.deep.equal(IDEAL);
  });

  it('refuses a wrong password in one clear error', async () => {
    const door = await site().door(port);
    const auth = { credentials: { ...USER, domain: 'CORP', password: 'wrong' } };
    const upload = door.upload({ auth });
    expect(await failureOf(upload)).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
  });
});

const KERBEROS = {
  package: 'kerberos (npm install --no-save kerberos)',
  files: [new URL('../../node_modules/kerberos/package.json', import.meta.url).pathname],
};

/** Sets variables of this process; the result puts back what was there. */
function actAs(environment: Readonly<Record<string, string>>): () => void {
  const before = { ...process.env };
  Object.assign(process.env, environment);
  return () => {
    for (const name of Object.keys(environment)) delete process.env[name];
    Object.assign(process.env, before);
  };
}

describeWith('Apache with Kerberos', [APACHE, GSSAPI, KDC, KADMIN, KERBEROS], () => {
  let port = 0;
  let restore = () => {};
  after(() => restore());

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    port = await site.port();
    const realm = await startKerberosRealm(site);
    restore = actAs(realm.clientEnvironment);
    const folder = await scratch.folder('apache');
    const access = [
      ...['AuthType GSSAPI', 'AuthName "uploads"', 'GssapiAllowedMech krb5'],
      ...[`GssapiCredStore keytab:${realm.serverKeytab}`, 'Require valid-user'],
    ].join('\n');
    const text = configuration(folder, port, backend.port, ['auth_gssapi'], access);
    await site.start({
      command: 'apache2',
      args: ['-DFOREGROUND', '-f', await scratch.write('kerberos.conf', text)],
      port,
      cwd: folder,
      env: { KRB5_CONFIG: realm.config },
      logs: [`${folder}/error.log`],
    });
  });

  it('takes uploads and replies over one connection each, with no fragment for nothing', async () => {
    const door = await site().door(port);
    const auth = { kerberos: true } as const;
    expect(await door.uploadBoth({ auth }, door.byName)).to.deep.equal(IDEAL);
  });

  it('says what to look at when there is no ticket for the server', async () => {
    const door = await site().door(port);
    const auth = { kerberos: { servicePrincipal: 'HTTP@elsewhere.interop.test' } };
    const upload = door.upload({ auth }, door.byName);
    const error = await failureOf(upload);
    expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
    expect(error.message).to.match(/ticket/);
  });
});
