import { expect } from 'chai';
import { failureOf } from '../store/records.js';
import { describeWith } from './support/installed.js';
import { siteForSuite } from './support/site.js';

const LIGHTTPD = { package: 'lighttpd', files: ['lighttpd'] };

describeWith('lighttpd in front of a BITS server', [LIGHTTPD], () => {
  let port = 0;

  const site = siteForSuite(async (site) => {
    const { scratch, backend } = site;
    port = await site.port();
    const config = await scratch.write(
      'lighttpd.conf',
      `
server.modules = ("mod_proxy")
server.document-root = "${scratch.path}"
server.bind = "127.0.0.1"
server.port = ${port}
server.upload-dirs = ("${scratch.path}")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${backend.port})))
`,
    );
    await site.start({
      command: 'lighttpd',
      args: ['-D', '-f', config],
      port,
      cwd: scratch.path,
    });
  });

  it('does not know the verb: the upload fails at once and says what to look at', async () => {
    const door = await site().door(port);
    const upload = door.upload();
    const error = await failureOf(upload);
    expect(error).to.include({ code: 'BITS_ERR_SERVER', status: 501, retryable: false });
    expect(error.message).to.match(/BITS_POST/);
    expect(door.connections).to.equal(1);
    expect(door.backend.log).to.have.lengthOf(0);
  });
});
