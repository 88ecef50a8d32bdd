import { expect } from 'chai';
import { failureOf } from '../store/records.js';
import { type Certificates, makeCertificates } from './support/certificates.js';
import { describeWith } from './support/installed.js';
import { siteForSuite } from './support/site.js';
import { IDEAL, SHARED, violationsSince } from './support/uploads.js';

const CADDY = { package: 'caddy', files: ['caddy'] };
const OPENSSL = { package: 'openssl', files: ['openssl'] };

describeWith('Caddy in front of a BITS server', [CADDY, OPENSSL], () => {
  const ports = { plain: 0, tls: 0 };
  let certificates: Certificates;

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    ports.plain = await site.port();
    ports.tls = await site.port();
    certificates = await makeCertificates(scratch);
    const { certFile, keyFile } = certificates.server;
    const config = await scratch.write(
      'Caddyfile',
      `{
  admin off
  auto_https off
  default_bind 127.0.0.1
  storage file_system ${scratch.at('storage')}
}
http://:${ports.plain} {
  reverse_proxy 127.0.0.1:${backend.port}
}
https://:${ports.tls} {
  tls ${certFile} ${keyFile}
  reverse_proxy 127.0.0.1:${backend.port}
}
`,
    );
    await site.start({
      command: 'caddy',
      args: ['run', '--config', config, '--adapter', 'caddyfile'],
      port: ports.plain,
      cwd: scratch.path,
    });
  });

  // Go's HTTP client sends Content-Length: 0 with POST, PUT and PATCH only, and IIS insists on it.
  it('loses the Content-Length of packets without a body: the upload fails and says so', async () => {
    const door = await site().door(ports.plain);
    const violations = violationsSince(door.backend);
    const error = await failureOf(door.upload());
    expect(error).to.include({ code: 'BITS_ERR_SERVER', status: 400, retryable: false });
    expect(error.message).to.match(/no proxy changes requests/);
    expect(violations().join()).to.match(/^content-length/);
    expect(door.connections).to.equal(1);
  });

  it('takes uploads and replies over one connection, with methodOverride', async () => {
    const door = await site().door(ports.plain);
    const options = { methodOverride: true };
    expect(await door.uploadBoth(options)).to.deep.equal(SHARED);
  });

  it('takes them over TLS, in HTTP/1.1 though HTTP/2 is offered', async () => {
    const door = await site().door(ports.tls);
    const options = { methodOverride: true, tls: { ca: certificates.ca } };
    expect(await door.uploadBoth(options, door.https)).to.deep.equal(IDEAL);
  });
});
