import { expect } from 'chai';
import {
  cancelUpload,
  createRedisStore,
  createUploadWorker,
  enqueueUploads,
  fleetStatus,
  openUploadQueue,
  retryUpload,
  uploadFlowJob,
  uploadState,
} from '../../src/bullmq.js';
import { failureOf } from '../store/records.js';

describe('a wrong argument of bits-upload/bullmq', () => {
  const worker = (options: object | null) => createUploadWorker(options as never);
  const store = async (options: object | null) => createRedisStore(options as never);
  const open = (options: object | null) => openUploadQueue(options as never);
  const client = { evalsha() {} };
  const queue = { getJobCounts() {}, getJobState() {} } as never;
  const calls: Readonly<Record<string, readonly [call: () => Promise<unknown>, says: RegExp]>> = {
    'no options of a worker': [() => worker(null), /createUploadWorker takes an object/],
    'a misspelt option of a worker': [() => worker({ conection: 'x' }), /no option conection/],
    'no connection': [() => worker({}), /connection must be a URL/],
    'credentials that are none': [
      () => worker({ credentials: null }),
      /credentials takes an object/,
    ],
    'credentials without origins': [
      () => worker({ credentials: { a: {} } }),
      /credentials\.a\.orig/,
    ],
    'named credentials that are none': [
      () => worker({ credentials: { a: null } }),
      /credentials\.a must be an object/,
    ],
    'directories that are none': [
      () => worker({ directories: '/in' }),
      /directories must be an array/,
    ],
    'defaults that are none': [() => worker({ defaults: 5 }), /defaults must be an object/],
    'a resolveSource that is none': [
      () => worker({ resolveSource: 's3' }),
      /resolveSource must be a f/,
    ],
    'a prefix that is none': [() => worker({ prefix: 5 }), /prefix must be a string/],
    'a concurrency of 0': [
      () => worker({ concurrency: 0 }),
      /concurrency must be a whole number, 1/,
    ],
    'no options of a queue': [() => open(null), /openUploadQueue takes an object/],
    'a misspelt option of a queue': [() => open({ queue: 'x' }), /no option queue/],
    'a wait of no time': [() => open({ connectTimeoutMs: 0 }), /connectTimeoutMs must be/],
    'no options of a store': [() => store(null), /createRedisStore takes an object/],
    'a misspelt option of a store': [() => store({ prefx: 'x' }), /no option prefx/],
    'a connection that is none': [() => store({ connection: 'redis://x' }), /client of ioredis/],
    'an empty prefix': [() => store({ connection: client, prefix: '' }), /prefix/],
    'a lock that ends at once': [() => store({ connection: client, lockMs: 1 }), /lockMs/],
    'no queue': [() => enqueueUploads(null as never, []), /queue must be a Queue/],
    'no uploads': [() => enqueueUploads(queue, 5 as never), /uploads must be an array/],
    'no upload': [() => enqueueUploads(queue, [null as never]), /upload must be an object/],
    'no name of a queue': [
      async () => uploadFlowJob(5 as never, null as never),
      /queueName must be/,
    ],
    'a status of no queue': [() => fleetStatus(5 as never), /queue must be a Queue/],
    'no id to cancel': [() => cancelUpload(queue, 5 as never), /jobId must be the id/],
    'no id to retry': [() => retryUpload(queue, ''), /jobId must be the id/],
    'a state in no queue': [() => uploadState({} as never, '1'), /queue must be a Queue/],
    'a patience that is none': [() => uploadState(queue, '1', 5 as never), /patience must be/],
  };
  for (const [what, [call, says]] of Object.entries(calls)) {
    it(`is refused and named when it is ${what}`, async () => {
      const error = await failureOf(call());
      expect(error).to.have.property('code', 'BITS_ERR_ARGUMENT');
      expect(String(error)).to.match(says);
    });
  }
});
