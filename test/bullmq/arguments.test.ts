import { expect } from 'chai';
import { MAX_LOCK_MS } from '../../src/bullmq/redis-store.js';
import {
  cancelUpload,
  createRedisStore,
  createUploadWorker,
  enqueueUploads,
  openUploadQueue,
  retryUpload,
  uploadState,
} from '../../src/bullmq.js';
import { failureOf } from '../store/records.js';

describe('a wrong argument of bits-upload/bullmq', () => {
  /** Where nothing answers: what is wrong is told before anything is connected. */
  const connection = 'redis://127.0.0.1:1';
  const worker = (options: object) => createUploadWorker({ connection, ...options });
  const open = (options: object) => openUploadQueue({ connection, ...options });
  const store = async (options: object) => createRedisStore(options as never);
  const client = { evalsha() {} };
  const queue = { addBulk() {}, getJobCounts() {}, getJobState() {} } as never;
  const calls: Record<string, readonly [call: () => Promise<unknown>, says: RegExp]> = {
    'a misspelt option of a worker': [() => worker({ conection: 'x' }), /no option conection/],
    'no connection': [() => worker({ connection: undefined }), /connection must be a URL/],
    'a client of ioredis as connection': [
      () => worker({ connection: { connect() {} } }),
      /worker makes a client of its own/,
    ],
    'a queue name with a colon': [() => worker({ queueName: 'a:b' }), /queueName must/],
    'an empty queue name': [() => open({ queueName: '' }), /queueName must/],
    'a name with a space': [() => worker({ name: 'a b' }), /without spaces/],
    'a lock that would look like one of a stranger': [
      () => worker({ lockMs: MAX_LOCK_MS + 1 }),
      /lockMs must/,
    ],
    'a default with which every job would fail': [
      () => worker({ defaults: { retry: { limit: -1 } } }),
      /retry\.limit/,
    ],
    'credentials with which every job would fail': [
      () => worker({ credentials: { a: { origins: ['http://x'], headers: { 'a b': 'x' } } } }),
      /a b/,
    ],
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
    'no options of a queue': [
      () => openUploadQueue(null as never),
      /openUploadQueue takes an object/,
    ],
    'a misspelt option of a queue': [() => open({ queue: 'x' }), /no option queue/],
    'a wait of no time': [() => open({ connectTimeoutMs: 0 }), /connectTimeoutMs must be/],
    'a misspelt option of a store': [() => store({ prefx: 'x' }), /no option prefx/],
    'a connection that is none': [() => store({ connection: 'redis://x' }), /client of ioredis/],
    'an empty prefix': [() => store({ connection: client, prefix: '' }), /prefix/],
    'a lock that ends at once': [() => store({ connection: client, lockMs: 1 }), /lockMs/],
    'no uploads': [() => enqueueUploads(queue, 5 as never), /uploads must be an array/],
    'no upload': [() => enqueueUploads(queue, [null as never]), /An upload/],
    'no id to cancel': [() => cancelUpload(queue, 5 as never), /jobId must be a text/],
    'no id to retry': [() => retryUpload(queue, ''), /jobId must be a text/],
    'a patience that is none': [() => uploadState(queue, '1', 5 as never), /patience must be/],
  };
  for (const timeoutMs of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    calls[`a patience of ${timeoutMs} ms`] = [
      () => uploadState(queue, '1', { timeoutMs }),
      /timeoutMs must be/,
    ];
  }
  for (const [what, [call, says]] of Object.entries(calls)) {
    it(`is refused and named when it is ${what}`, async () => {
      const error = await failureOf(call());
      expect(error).to.have.property('code', 'BITS_ERR_ARGUMENT');
      expect(String(error)).to.match(says);
    });
  }
});
