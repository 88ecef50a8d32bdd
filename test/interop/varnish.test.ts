import { expect } from 'chai';
import { describeWith } from './support/installed.js';
import { siteForSuite } from './support/site.js';

const VARNISH = { package: 'varnish', files: ['varnishd'] };

describeWith('Varnish in front of a BITS server', [VARNISH], () => {
  let port = 0;

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    port = await site.port();
    await site.start({
      command: 'varnishd',
      args: [
        ...['-F', '-j', 'none', '-n', await scratch.folder('varnish'), '-s', 'default,8m'],
        ...['-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${backend.port}`],
      ],
      port,
      cwd: scratch.path,
    });
  });

  it('takes uploads, each BITS_POST over a connection that it then closes', async () => {
    const door = await site().door(port);
    expect(await door.uploadBoth()).to.deep.equal({
      file: 7,
      reply: 7,
      wasted: 0,
      retries: [],
    });
  });
});
