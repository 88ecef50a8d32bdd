import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { failureOf } from '../store/records.js';
import { describeWith } from './support/installed.js';
import { run } from './support/run.js';
import { siteForSuite } from './support/site.js';
import { IDEAL } from './support/uploads.js';

const SQUID = { package: 'squid', files: ['squid', '/usr/lib/squid/digest_file_auth'] };
const OPENSSL = { package: 'openssl', files: ['openssl'] };

const USER = { username: 'uploader', password: 'open sesame' };

describeWith('a BITS server behind squid', [SQUID, OPENSSL], () => {
  const ports = { open: 0, untuned: 0, basic: 0, digest: 0 };

  const site = siteForSuite(async (site) => {
    const { scratch } = site;
    const helpers = '/usr/lib/squid';
    const { username, password } = USER;
    const hash = await run(scratch, 'openssl', ['passwd', '-apr1', password]);
    const basicUsers = await scratch.write('basic', `${username}:${hash}`);
    const ha1 = createHash('md5').update(`${username}:uploads:${password}`).digest('hex');
    const digestUsers = await scratch.write('digest', `${username}:uploads:${ha1}\n`);
    const authenticated = 'acl known proxy_auth REQUIRED\nhttp_access allow known';
    for (const [name, access] of [
      ['open', 'http_access allow all'],
      ['untuned', 'http_access allow all'],
      [
        'basic',
        `auth_param basic program ${helpers}/basic_ncsa_auth ${basicUsers}
auth_param basic realm uploads
${authenticated}`,
      ],
      [
        'digest',
        `auth_param digest program ${helpers}/digest_file_auth -c ${digestUsers}
auth_param digest realm uploads
${authenticated}`,
      ],
    ] as const) {
      ports[name] = await site.port();
      const folder = await scratch.folder(`squid-${name}`);
      const config = await scratch.write(
        `${name}.conf`,
        `
http_port 127.0.0.1:${ports[name]}
visible_hostname localhost
pid_filename ${folder}/squid.pid
coredump_dir ${folder}
cache_log ${folder}/cache.log
access_log stdio:${folder}/access.log
cache deny all
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
${name === 'untuned' ? '' : 'client_request_buffer_max_size 8 MB'}
${access}
http_access deny all
`,
      );
      await site.start({
        command: 'squid',
        args: ['-N', '-n', `interop${process.pid}${name}`, '-f', config],
        port: ports[name],
        cwd: folder,
        logs: [`${folder}/cache.log`, `${folder}/access.log`],
      });
    }
  });

  it('takes uploads and replies as whole requests, over one connection each', async () => {
    const door = await site().door(ports.open);
    const proxy = `http://${door.host}`;
    expect(await door.uploadBoth({ proxy }, door.backend.url)).to.deep.equal(IDEAL);
  });

  // Squid 5.7 takes a full buffer for the end of a connection whose client is quicker than the server.
  it('finishes uploads though it drops connections, with the buffer that it has by default', async () => {
    const door = await site().door(ports.untuned);
    const proxy = `http://${door.host}`;
    const options = { proxy, retry: { minDelayMs: 10, limit: 10 } };
    const { retries } = await door.uploadBoth(options, door.backend.url);
    for (const reason of retries) expect(reason).to.match(/^BITS_ERR_TRANSPORT/);
  });

  it('takes them through a tunnel', async () => {
    const door = await site().door(ports.open);
    const proxy = { url: `http://${door.host}`, tunnel: true };
    expect(await door.uploadBoth({ proxy }, door.backend.url)).to.deep.equal(IDEAL);
  });

  for (const scheme of ['basic', 'digest'] as const) {
    for (const tunnel of [false, true]) {
      it(`takes them with ${scheme}, ${tunnel ? 'tunnelled' : 'as whole requests'}`, async () => {
        const door = await site().door(ports[scheme]);
        const auth = { credentials: USER };
        const proxy = { url: `http://${door.host}`, auth, tunnel };
        expect(await door.uploadBoth({ proxy }, door.backend.url)).to.deep.equal(IDEAL);
      });
    }

    it(`refuses a wrong password for ${scheme} in one clear error`, async () => {
      const door = await site().door(ports[scheme]);
      const auth = { credentials: { ...USER, password: 'wrong' } };
      const proxy = { url: `http://${door.host}`, auth };
      const error = await failureOf(door.upload({ proxy }, door.backend.url));
      expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
      expect(error.message).to.include(door.host).and.not.include('wrong');
    });
  }
});
