import { createFetchTransport, createUndiciTransport } from 'bits-upload';
import { createElectronTransport } from 'bits-upload/electron';
import { app, net } from 'electron';
import { runSmoke, type SmokeResult } from './smoke.js';

// Twelve uploads to the reference server on this machine, over each way to the network.
await app.whenReady();
const results: SmokeResult[] = [];
await runSmoke(
  {
    'net.request': createElectronTransport({ net }),
    'net.fetch': createFetchTransport((url, init) => net.fetch(url, init)),
    undici: createUndiciTransport(),
  },
  (result) => results.push(result),
);
const { electron, chrome, node } = process.versions;
console.log(`Electron ${electron}, Chromium ${chrome}, Node ${node}, ${process.platform}`);
console.table(results);
const failed = results.filter(({ result }) => result !== 'ok').length;
console.log(`${results.length - failed} of ${results.length} uploads as they should be`);
app.exit(failed === 0 ? 0 : 1);
