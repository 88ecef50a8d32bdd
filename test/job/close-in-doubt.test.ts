import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { UploadOptions } from '../../src/job/options.js';
import type { UploadProgress } from '../../src/job/progress.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { bytesSource } from '../../src/source/bytes.js';
import type { ByteSource } from '../../src/source/source.js';
import { createMemoryStore } from '../../src/store/memory.js';
import type { JobStore } from '../../src/store/store.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { errorOf } from '../source/reading.js';
import { patterned, temporaryFolder } from '../support/files.js';
import { gate } from '../transport/support.js';

const KIB = 1024;
const HOUR_MS = 3_600_000;

describe('a packet that was not handed to the transport', () => {
  const folder = temporaryFolder();
  const content = patterned(100 * KIB);
  let nowMs: number;
  let server: BitsServer;

  beforeEach(async () => {
    nowMs = Date.now();
    server = await createBitsServer({ now: () => nowMs, sessionTimeoutMs: HOUR_MS });
  });

  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  const jobOf = (options: Partial<UploadOptions> = {}) =>
    new UploadJob({
      url: new URL('file.bin', server.url),
      source: content,
      fragmentBytes: 16 * KIB,
      retry: { minDelayMs: 0 },
      ...options,
    });
  const packets = () => server.log.map(({ packet }) => packet);
  const sent = (packet: string) => packets().filter((each) => each === packet).length;

  /** Each stops the job when all bytes are acknowledged and no Close was sent. */
  const stops: Record<string, () => Promise<UploadJob>> = {
    'is suspended at 100 %': async () => {
      const job = jobOf();
      const suspended = new Promise<void>((resolve) => {
        const onProgress = ({ bytesAcknowledged }: UploadProgress) => {
          if (bytesAcknowledged < content.length) return;
          job.off('progress', onProgress);
          resolve(job.suspend());
        };
        job.on('progress', onProgress);
      });
      void job.start();
      await suspended;
      return job;
    },
    'is suspended while onRequest is at work': async () => {
      const suspended: Promise<void>[] = [];
      const job = jobOf({
        onRequest: async ({ packet }) => {
          if (packet !== 'close-session' || suspended.length > 0) return;
          suspended.push(job.suspend());
          await new Promise(() => {});
        },
      });
      void job.start();
      while (job.state !== 'suspended') await once(job, 'state');
      await suspended[0];
      return job;
    },
    'is suspended while the record of it is written': async () => {
      const path = join(folder(), 'file.bin');
      await writeFile(path, content);
      const memory = createMemoryStore();
      const saving = gate<Promise<void>>();
      let isFirst = true;
      const store: JobStore = {
        ...memory,
        save: async (record) => {
          if (record.session.closeUncertain && isFirst) {
            isFirst = false;
            saving.open(job.suspend());
          }
          await memory.save(record);
        },
      };
      const job = jobOf({ source: path, store });
      void job.start();
      await saving.promise;
      return job;
    },
    'fails in onRequest': async () => {
      let isFirst = true;
      const onRequest = ({ packet }: { readonly packet: string }) => {
        if (packet !== 'close-session' || !isFirst) return;
        isFirst = false;
        throw new Error('there is no token');
      };
      const job = jobOf({ onRequest });
      expect(await errorOf(job.start())).to.include({ code: 'BITS_ERR_ARGUMENT' });
      return job;
    },
    'fails in verify() of its source': async () => {
      let isFirst = true;
      const source: ByteSource = {
        name: 'file.bin',
        open: async () => {
          const opened = await bytesSource(content).open();
          return {
            byteLength: opened.byteLength,
            read: (start, end) => opened.read(start, end),
            verify: async () => {
              if (!isFirst) return;
              isFirst = false;
              throw new Error('the drive is away');
            },
            close: () => opened.close(),
          };
        },
      };
      const job = jobOf({ source });
      expect(await errorOf(job.start())).to.include({ code: 'BITS_ERR_SOURCE' });
      return job;
    },
  };

  for (const [what, stop] of Object.entries(stops)) {
    it(`is no Close in doubt: a job that ${what} starts over when the server forgets its session`, async () => {
      const job = await stop();
      expect(packets()).to.not.include('close-session');
      nowMs += 2 * HOUR_MS;
      expect(await job.resume()).to.include({ closed: 'acknowledged' });
      expect(sent('create-session')).to.equal(2);
      expect(server.uploads).to.have.lengthOf(1);
      expect(await readFile(join(server.root, 'file.bin'))).to.deep.equal(content);
    });
  }

  it('is no Fragment in doubt: a job suspended before it does not start over', async () => {
    const suspended: Promise<void>[] = [];
    const job = jobOf({
      onUncertainFragment: 'restart',
      onRequest: async ({ packet }) => {
        if (packet !== 'fragment' || sent('fragment') === 0 || suspended.length > 0) return;
        suspended.push(job.suspend());
        await new Promise(() => {});
      },
    });
    void job.start();
    while (job.state !== 'suspended') await once(job, 'state');
    await suspended[0];
    expect(sent('fragment')).to.equal(1);
    expect(await job.resume()).to.include({ bytes: content.length });
    expect(sent('create-session')).to.equal(1);
    expect(sent('fragment')).to.equal(7);
  });

  it('is no Fragment in doubt: a job that fails in onRequest before it does not start over', async () => {
    let isFirst = true;
    const job = jobOf({
      onUncertainFragment: 'restart',
      onRequest: ({ packet }) => {
        if (packet !== 'fragment' || sent('fragment') === 0 || !isFirst) return;
        isFirst = false;
        throw new Error('there is no token');
      },
    });
    expect(await errorOf(job.start())).to.include({ code: 'BITS_ERR_ARGUMENT' });
    expect(await job.resume()).to.include({ bytes: content.length });
    expect(sent('create-session')).to.equal(1);
    expect(sent('fragment')).to.equal(7);
  });
});
