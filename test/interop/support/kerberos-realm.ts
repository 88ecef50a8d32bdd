import { run } from './run.js';
import type { Site } from './site.js';

const REALM = 'INTEROP.TEST';

export interface KerberosRealm {
  /** For KRB5_CONFIG. */
  readonly config: string;
  /** Of `HTTP/localhost`. */
  readonly serverKeytab: string;
  /** Makes a process that has it the user. */
  readonly clientEnvironment: Readonly<Record<string, string>>;
}

/** Starts a KDC that knows a user and the service HTTP/localhost. */
export async function startKerberosRealm(site: Site): Promise<KerberosRealm> {
  const { scratch } = site;
  const port = await site.port();
  const config = await scratch.write(
    'krb5.conf',
    `[libdefaults]
  default_realm = ${REALM}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  ${REALM} = {
    kdc = 127.0.0.1:${port}
  }
[domain_realm]
  localhost = ${REALM}
  .interop.test = ${REALM}
`,
  );
  const profile = await scratch.write(
    'kdc.conf',
    `[kdcdefaults]
  kdc_listen = 127.0.0.1:${port}
  kdc_tcp_listen = 127.0.0.1:${port}
[realms]
  ${REALM} = {
    database_name = ${scratch.at('principal')}
    key_stash_file = ${scratch.at('stash')}
    acl_file = ${scratch.at('kadm5.acl')}
  }
[logging]
  kdc = FILE:${scratch.at('kdc.log')}
`,
  );
  const env = { KRB5_CONFIG: config, KRB5_KDC_PROFILE: profile };
  await run(scratch, 'kdb5_util', ['create', '-s', '-r', REALM, '-P', 'interop'], env);
  const serverKeytab = scratch.at('server.keytab');
  const clientKeytab = scratch.at('client.keytab');
  for (const [principal, keytab] of [
    ['HTTP/localhost', serverKeytab],
    ['uploader', clientKeytab],
  ]) {
    const kadmin = (query: string) => run(scratch, 'kadmin.local', ['-r', REALM, '-q', query], env);
    await kadmin(`addprinc -randkey ${principal}`);
    await kadmin(`ktadd -k ${keytab} ${principal}`);
  }
  await site.start({
    command: 'krb5kdc',
    args: ['-n', '-r', REALM, '-P', scratch.at('kdc.pid')],
    port,
    cwd: scratch.path,
    env,
    logs: [scratch.at('kdc.log')],
  });
  const clientEnvironment = {
    KRB5_CONFIG: config,
    KRB5_CLIENT_KTNAME: `FILE:${clientKeytab}`,
    KRB5CCNAME: `FILE:${scratch.at('tickets')}`,
  };
  return { config, serverKeytab, clientEnvironment };
}
