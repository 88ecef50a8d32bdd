import { Readable } from 'node:stream';
import { expect } from 'chai';
import * as fleet from '../src/bullmq.js';
import * as main from '../src/index.js';
import { jobStoreContract } from '../src/store/contract.js';

const stream = () => Readable.from([Buffer.from('abc')]);
const sized = () => ({ stream: stream(), byteLength: 3 });
const store = main.createMemoryStore();
const job = () => new main.UploadJob({ url: 'http://127.0.0.1:1/x', source: new Uint8Array(1) });
const queue = () => new main.UploadQueue({ defaults: { store } });

/** A function called with a wrong argument, and what its error names. */
type Case = readonly [call: string, names: RegExp, call: (wrong: never) => unknown];

const objects: readonly Case[] = [
  ['new UploadJob', /^UploadJob takes/, (wrong) => new main.UploadJob(wrong)],
  ['UploadJob.restore with a store', /^store /, (wrong) => main.UploadJob.restore(wrong, 'id')],
  ['UploadJob.restore', /^UploadJob.restore /, (w) => main.UploadJob.restore(store, 'id', w)],
  ['resume', /^resume\(\) /, (wrong) => job().resume(wrong)],
  ['cancel', /^cancel\(\) /, (wrong) => job().cancel(wrong)],
  ['cancel with a signal', /^signal /, (signal) => job().cancel({ signal })],
  ['new UploadQueue', /^UploadQueue /, (wrong) => new main.UploadQueue(wrong)],
  ['add', /^A job of a queue /, (wrong) => queue().add(wrong)],
  ['restore of a queue', /^restore\(\) /, (wrong) => queue().restore(wrong)],
  ['new Bandwidth', /^bandwidth /, (wrong) => new main.Bandwidth(wrong)],
  ['change', /^bandwidth /, (wrong) => new main.Bandwidth().change(wrong)],
  ['createFileStore', /^createFileStore /, (wrong) => main.createFileStore(wrong)],
  ['blobSource', /^blob /, (wrong) => main.blobSource(wrong)],
  ['blobSource with a name', /^name /, (wrong) => main.blobSource(new Blob([]), wrong)],
  ['bytesSource', /^bytes /, (wrong) => main.bytesSource(wrong)],
  ['bytesSource with a name', /^name /, (wrong) => main.bytesSource(new Uint8Array(1), wrong)],
  ['fileSource', /^path /, (wrong) => main.fileSource(wrong)],
  ['streamSource', /^stream /, (wrong) => main.streamSource(wrong)],
  ['streamSource with options', /^streamSource /, (w) => main.streamSource(stream(), w)],
  [
    'streamSource in a directory',
    /^directory /,
    (w) => main.streamSource(stream(), { directory: w }),
  ],
  ['sizedStreamSource', /^source /, (wrong) => main.sizedStreamSource(wrong)],
  [
    'sizedStreamSource of it',
    /^stream /,
    (w) => main.sizedStreamSource({ stream: w, byteLength: 1 }),
  ],
  [
    'sizedStreamSource with options',
    /^sizedStreamSource /,
    (w) => main.sizedStreamSource(sized(), w),
  ],
  ['diagnose', /^diagnose /, (wrong) => main.diagnose(wrong)[Symbol.asyncIterator]().next()],
  ['createFetchTransport', /^createFetchTransport /, (w) => main.createFetchTransport(fetch, w)],
  ['createUndiciTransport', /^createUndiciTransport /, (w) => main.createUndiciTransport(w)],
  ['jobStoreContract', /^factory /, (wrong) => jobStoreContract(wrong)],
  ['createRedisStore', /^createRedisStore /, (wrong) => fleet.createRedisStore(wrong)],
  ['createUploadWorker', /^createUploadWorker /, (wrong) => fleet.createUploadWorker(wrong)],
  ['enqueueUploads', /^queue /, (wrong) => fleet.enqueueUploads(wrong, [])],
  ['cancelUpload', /^queue /, (wrong) => fleet.cancelUpload(wrong, '1')],
  ['retryUpload', /^queue /, (wrong) => fleet.retryUpload(wrong, '1')],
  ['uploadState', /^queue /, (wrong) => fleet.uploadState(wrong, '1')],
  ['fleetStatus', /^queue /, (wrong) => fleet.fleetStatus(wrong)],
  ['uploadFlowJob', /^queueName /, (wrong) => fleet.uploadFlowJob(wrong, {} as never)],
];

describe('A wrong argument', () => {
  for (const [call, names, run] of objects) {
    for (const wrong of [null, 5, true]) {
      it(`is refused and named when ${call} gets ${wrong}`, async () => {
        const error = await (async () => run(wrong as never))().catch((thrown: unknown) => thrown);
        expect(error).to.include({ code: 'BITS_ERR_ARGUMENT' });
        expect((error as Error).message).to.match(names);
      });
    }
  }

  for (const given of [store, main.createFileStore({ directory: '/nowhere' })]) {
    it(`is refused by save() of a ${given.constructor.name} as no record`, async () => {
      const error = await given.save(null as never).catch((thrown: unknown) => thrown);
      expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'damaged' });
    });
  }
});
