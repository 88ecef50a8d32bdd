import { readFile } from 'node:fs/promises';
import { run } from './run.js';
import type { Scratch } from './scratch.js';

export interface Certificates {
  /** PEM of the authority that signed the others. */
  readonly ca: string;
  readonly caFile: string;
  /** For `localhost` and `127.0.0.1`. */
  readonly server: { readonly certFile: string; readonly keyFile: string };
  /** Key and certificate in one file. */
  readonly serverBundle: string;
  readonly client: { readonly cert: string; readonly key: string; readonly pfx: Buffer };
}

export const PFX_PASSPHRASE = 'open sesame';

/** An authority of its own, with a certificate for a server and one for a client. */
export async function makeCertificates(scratch: Scratch): Promise<Certificates> {
  const openssl = (...args: string[]) => run(scratch, 'openssl', args);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl(
    ...['req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2'],
    ...['-subj', '/CN=Interop Root'],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  );
  const issue = async (name: string, subject: string, extensions: string) => {
    await scratch.write(`${name}.ext`, extensions);
    await openssl(
      ...['req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject],
    );
    await openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...['-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`],
    );
  };
  await issue(
    'server',
    '/CN=localhost',
    'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n',
  );
  await issue('client', '/CN=uploader', 'extendedKeyUsage=clientAuth\n');
  await openssl(
    ...['pkcs12', '-export', '-in', 'client.pem', '-inkey', 'client.key', '-out', 'client.p12'],
    ...['-passout', `pass:${PFX_PASSPHRASE}`],
  );
  const text = (name: string) => readFile(scratch.at(name), 'utf8');
  const server = [await text('server.pem'), await text('server.key')].join('');
  return {
    ca: await text('ca.pem'),
    caFile: scratch.at('ca.pem'),
    server: { certFile: scratch.at('server.pem'), keyFile: scratch.at('server.key') },
    serverBundle: await scratch.write('server-bundle.pem', server),
    client: {
      cert: await text('client.pem'),
      key: await text('client.key'),
      pfx: await readFile(scratch.at('client.p12')),
    },
  };
}
