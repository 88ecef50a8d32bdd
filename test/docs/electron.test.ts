import { createElectronTransport } from '../../src/electron.js';
import { UploadJob } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { standInNet } from '../support/electron/net.js';
import { startNodeLoader } from '../support/electron/node-loader.js';
import { codeBlocks, runCode } from './code-blocks.js';

describe('docs/electron.md', () => {
  it('has an example that uploads', async () => {
    const server = await createBitsServer();
    const [upload = ''] = await codeBlocks('docs/electron.md');
    const code = upload
      .replace('https://server.example/drop/', `${server.url}drop/`)
      .replace("'dump.zip'", 'Uint8Array.of(1, 2, 3), name: "dump.zip"');
    const net = standInNet(startNodeLoader);
    const app = { whenReady: async () => {} };
    await runCode(code, { UploadJob, createElectronTransport, app, net });
    server.assertNoViolations();
    await server.close();
  });
});
