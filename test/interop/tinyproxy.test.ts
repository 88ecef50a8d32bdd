import { expect } from 'chai';
import { failureOf } from '../store/records.js';
import { describeWith } from './support/installed.js';
import { siteForSuite } from './support/site.js';
import { IDEAL } from './support/uploads.js';

const TINYPROXY = { package: 'tinyproxy', files: ['tinyproxy'] };

describeWith('a BITS server behind tinyproxy', [TINYPROXY], () => {
  const ports = { open: 0, basic: 0 };

  const site = siteForSuite(async (site) => {
    const { scratch } = site;
    for (const [name, access] of [
      ['open', ''],
      ['basic', 'BasicAuth uploader sesame'],
    ] as const) {
      ports[name] = await site.port();
      const config = await scratch.write(
        `${name}.conf`,
        `Port ${ports[name]}
Listen 127.0.0.1
Timeout 600
MaxClients 20
Allow 127.0.0.1
LogLevel Connect
${access}
`,
      );
      await site.start({
        command: 'tinyproxy',
        args: ['-d', '-c', config],
        port: ports[name],
        cwd: scratch.path,
      });
    }
  });

  it('takes uploads and replies through a tunnel, over one connection each', async () => {
    const door = await site().door(ports.open);
    const proxy = { url: `http://${door.host}`, tunnel: true };
    expect(await door.uploadBoth({ proxy }, door.backend.url)).to.deep.equal(IDEAL);
  });

  // It closes the connection after each answer and does not say so: a request may be on its way.
  it('finishes uploads as whole requests, with a few that it cuts off', async () => {
    const door = await site().door(ports.open);
    const proxy = `http://${door.host}`;
    const options = { proxy, retry: { minDelayMs: 10, limit: 10 } };
    const { file, retries } = await door.uploadBoth(options, door.backend.url);
    expect(file).to.be.at.least(7);
    for (const reason of retries) expect(reason).to.match(/^BITS_ERR_TRANSPORT/);
  });

  it('takes them with a user name and password', async () => {
    const door = await site().door(ports.basic);
    const user = { username: 'uploader', password: 'sesame' };
    const proxy = { url: `http://${door.host}`, ...user, tunnel: true };
    expect(await door.uploadBoth({ proxy }, door.backend.url)).to.deep.equal(IDEAL);
  });

  // It answers 401 to a wrong one, as a server would, and 407 to none.
  it('refuses a wrong password in one clear error', async () => {
    const door = await site().door(ports.basic);
    const user = { username: 'uploader', password: 'wrong' };
    const proxy = { url: `http://${door.host}`, ...user };
    const error = await failureOf(door.upload({ proxy }, door.backend.url));
    expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
    expect(error.message).to.not.include('wrong');
  });
});
