import { expect } from 'chai';
import { failureOf } from '../store/records.js';
import { type Certificates, makeCertificates, PFX_PASSPHRASE } from './support/certificates.js';
import { describeWith } from './support/installed.js';
import { run } from './support/run.js';
import { siteForSuite } from './support/site.js';
import { IDEAL, SHARED } from './support/uploads.js';

const NGINX = { package: 'nginx-light', files: ['nginx'] };
const OPENSSL = { package: 'openssl', files: ['openssl'] };

describeWith('nginx in front of a BITS server', [NGINX, OPENSSL], () => {
  const ports = { plain: 0, streaming: 0, limited: 0, tls: 0, clientCertificate: 0, basic: 0 };
  let certificates: Certificates;

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    for (const name of Object.keys(ports) as (keyof typeof ports)[])
      ports[name] = await site.port();
    certificates = await makeCertificates(scratch);
    const { certFile, keyFile } = certificates.server;
    const hash = await run(scratch, 'openssl', ['passwd', '-apr1', 'open:sesame']);
    const users = await scratch.write('users', `uploader:${hash}`);
    const tls = `ssl_certificate ${certFile}; ssl_certificate_key ${keyFile};`;
    const server = (listen: string, more: string) => `
      server {
        listen 127.0.0.1:${listen};
        ${more}
        location / { proxy_pass http://bits; }
      }`;
    const config = await scratch.write(
      'nginx.conf',
      `
      daemon off;
      pid ${scratch.at('nginx.pid')};
      worker_processes 1;
      error_log stderr warn;
      events { worker_connections 64; }
      http {
        access_log ${scratch.at('access.log')};
        client_body_temp_path ${scratch.at('body')};
        proxy_temp_path ${scratch.at('proxy')};
        fastcgi_temp_path ${scratch.at('fastcgi')};
        uwsgi_temp_path ${scratch.at('uwsgi')};
        scgi_temp_path ${scratch.at('scgi')};
        upstream bits { server 127.0.0.1:${backend.port}; keepalive 4; }
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        client_max_body_size 0;
        ${server(`${ports.plain}`, '')}
        ${server(`${ports.streaming}`, 'proxy_request_buffering off;')}
        ${server(`${ports.limited}`, 'client_max_body_size 1m;')}
        ${server(`${ports.tls} ssl http2`, tls)}
        ${server(
          `${ports.clientCertificate} ssl`,
          `${tls} ssl_client_certificate ${certificates.caFile}; ssl_verify_client on;`,
        )}
        ${server(`${ports.basic}`, `auth_basic "uploads"; auth_basic_user_file ${users};`)}
      }`,
    );
    await site.start({
      command: 'nginx',
      args: ['-e', 'stderr', '-p', scratch.path, '-c', config],
      port: ports.plain,
      cwd: scratch.path,
      logs: [scratch.at('access.log')],
    });
  });

  it('takes uploads and replies over one connection, with request buffering', async () => {
    const door = await site().door(ports.plain);
    expect(await door.uploadBoth()).to.deep.equal(SHARED);
  });

  it('takes them without request buffering', async () => {
    const door = await site().door(ports.streaming);
    expect(await door.uploadBoth()).to.deep.equal(SHARED);
  });

  it('takes fragments that are halved until they fit into client_max_body_size', async () => {
    const door = await site().door(ports.limited);
    const from = door.backend.log.length;
    await door.upload({ fragmentBytes: undefined });
    const sizes = door.backend.log.slice(from).map(({ bodyBytes }) => bodyBytes);
    expect(Math.max(...sizes)).to.be.within(512 * 1024, 1024 * 1024);
  });

  it('takes them over TLS, in HTTP/1.1 though HTTP/2 is offered', async () => {
    const door = await site().door(ports.tls);
    const tls = { ca: certificates.ca };
    expect(await door.uploadBoth({ tls }, door.https)).to.deep.equal(IDEAL);
  });

  for (const kind of ['PEM', 'PKCS #12'] as const) {
    it(`takes them with a client certificate in ${kind}`, async () => {
      const door = await site().door(ports.clientCertificate);
      const { ca, client } = certificates;
      const own =
        kind === 'PEM'
          ? { cert: client.cert, key: client.key }
          : { pfx: client.pfx, passphrase: PFX_PASSPHRASE };
      const tls = { ca, ...own };
      expect(await door.uploadBoth({ tls }, door.https)).to.deep.equal(IDEAL);
    });
  }

  it('refuses those without a client certificate, once', async () => {
    const door = await site().door(ports.clientCertificate);
    const tls = { ca: certificates.ca };
    const error = await failureOf(door.upload({ tls }, door.https));
    expect(error).to.include({ code: 'BITS_ERR_SERVER', retryable: false });
    expect(door.connections).to.equal(1);
  });

  it('takes them with Basic, with no fragment sent for nothing', async () => {
    const door = await site().door(ports.basic);
    const auth = { credentials: { username: 'uploader', password: 'open:sesame' } };
    expect(await door.uploadBoth({ auth })).to.deep.equal(IDEAL);
  });

  it('takes them with an Authorization header of the caller', async () => {
    const door = await site().door(ports.basic);
    const token = Buffer.from('uploader:open:sesame').toString('base64');
    const headers = { Authorization: `Basic ${token}` };
    expect(await door.uploadBoth({ headers })).to.deep.equal(SHARED);
  });

  it('refuses a wrong password in one clear error', async () => {
    const door = await site().door(ports.basic);
    const auth = { credentials: { username: 'uploader', password: 'wrong' } };
    const error = await failureOf(door.upload({ auth }));
    expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
    expect(error.message).to.not.include('wrong');
  });
});
