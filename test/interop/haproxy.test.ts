import { expect } from 'chai';
import { UploadJob } from '../../src/index.js';
import type { ByteSource } from '../../src/source/source.js';
import { type Certificates, makeCertificates } from './support/certificates.js';
import { describeWith } from './support/installed.js';
import type { ServerProcess } from './support/process.js';
import { siteForSuite } from './support/site.js';
import {
  FILE_BYTES,
  FRAGMENT_BYTES,
  IDEAL,
  newPath,
  SHARED,
  sample,
  violationsSince,
} from './support/uploads.js';

const HAPROXY = { package: 'haproxy', files: ['haproxy'] };
const OPENSSL = { package: 'openssl', files: ['openssl'] };

describeWith('haproxy in front of a BITS server', [HAPROXY, OPENSSL], () => {
  const ports = { plain: 0, tls: 0 };
  let certificates: Certificates;
  let haproxy: ServerProcess;

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    ports.plain = await site.port();
    ports.tls = await site.port();
    certificates = await makeCertificates(scratch);
    const config = await scratch.write(
      'haproxy.cfg',
      `
global
  stats socket unix@${scratch.at('admin.sock')} level admin expose-fd listeners
  log stderr format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend plain
  bind 127.0.0.1:${ports.plain}
  default_backend bits
frontend tls
  bind 127.0.0.1:${ports.tls} ssl crt ${certificates.serverBundle} alpn h2,http/1.1
  default_backend bits
backend bits
  server one 127.0.0.1:${backend.port}
`,
    );
    haproxy = await site.start({
      command: 'haproxy',
      args: ['-W', '-db', '-f', config],
      port: ports.plain,
      cwd: scratch.path,
    });
  });

  it('takes uploads and replies over one connection', async () => {
    const door = await site().door(ports.plain);
    expect(await door.uploadBoth()).to.deep.equal(SHARED);
  });

  it('takes them over TLS, in HTTP/1.1 though HTTP/2 is offered', async () => {
    const door = await site().door(ports.tls);
    const tls = { ca: certificates.ca };
    expect(await door.uploadBoth({ tls }, door.https)).to.deep.equal(IDEAL);
  });

  it('finishes an upload through a reload in mid-fragment, over a second connection', async () => {
    const door = await site().door(ports.plain);
    const violations = violationsSince(door.backend);
    const { bytes, sha256 } = sample(FILE_BYTES);
    const path = newPath('plain');
    const job = new UploadJob({
      url: `http://${door.host}/${path}`,
      source: pausingAt(bytes, 2.5 * FRAGMENT_BYTES, async () => {
        const from = haproxy.output.length;
        haproxy.signal('SIGUSR2');
        await haproxy.untilSays(/Proxy bits stopped/, from);
      }),
      fragmentBytes: FRAGMENT_BYTES,
      retry: { limit: 2 },
    });
    expect((await job.start()).bytesSent).to.equal(FILE_BYTES);
    expect(door.backend.uploads.find(({ url }) => url.endsWith(path))).to.include({ sha256 });
    expect(door.connections).to.equal(2);
    expect(violations()).to.deep.equal([]);
  });
});

/** Bytes that are held back from an offset on until `pause` resolves. */
function pausingAt(bytes: Buffer, offset: number, pause: () => Promise<void>): ByteSource {
  return {
    name: 'dump.bin',
    open: async () => ({
      byteLength: bytes.length,
      async *read(start, end) {
        if (start > offset || end <= offset) {
          yield bytes.subarray(start, end);
          return;
        }
        yield bytes.subarray(start, offset);
        await pause();
        yield bytes.subarray(offset, end);
      },
      verify: async () => {},
      close: async () => {},
    }),
  };
}
