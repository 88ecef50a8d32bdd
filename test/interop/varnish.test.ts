import { expect } from 'chai';
import { describeWith } from './support/installed.js';
import { siteForSuite } from './support/site.js';
import { uploadBoth } from './support/uploads.js';

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
    const { backend } = site();
    const door = await site().door(port);
    const counts = await uploadBoth(backend, door, `http://127.0.0.1:${door.port}/`);
    expect(counts).to.deep.equal({
      file: 7,
      reply: 7,
      wasted: 0,
      retries: [],
    });
  });
});
