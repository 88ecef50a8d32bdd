/** A process to be killed: `spool-child.ts <directory> <what>`; says `ready` when it is there. */
import { createSpoolFile } from '../../src/source/spool-file.js';
import { streamSource } from '../../src/source/stream.js';

const [directory = '', what] = process.argv.slice(2);
const MiB = 1024 * 1024;
const forever = new Promise<never>(() => setInterval(() => {}, 1000));

function ready(): Promise<unknown> {
  return new Promise((done) => process.stdout.write('ready\n', done));
}

async function* stuck(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(2 * MiB);
  await ready();
  await forever;
}

async function* whole(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(2 * MiB);
}

const refused = () => {
  throw Object.assign(new Error('busy'), { code: 'EBUSY' });
};

switch (what) {
  case 'spooling':
    await streamSource(stuck(), { directory }).open();
    break;
  case 'reading': {
    const opened = await streamSource(whole(), { directory }).open();
    for await (const _piece of opened.read(0, opened.byteLength)) {
      await ready();
      await forever;
    }
    break;
  }
  case 'exit-while-named':
    await createSpoolFile(directory, refused);
    await ready();
    process.exit(0);
    break;
  case 'crash-while-named':
    await createSpoolFile(directory, refused);
    await ready();
    throw new Error('crash');
}
