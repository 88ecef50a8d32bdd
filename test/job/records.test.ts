import { once } from 'node:events';
import { copyFile, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { BitsError, BitsTransportError } from '../../src/errors.js';
import type { UploadResult, UploadWarning } from '../../src/job/events.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { createMemoryStore } from '../../src/store/memory.js';
import type { JobStore } from '../../src/store/store.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import type { Transport } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { sha256, temporaryFolder, writePatterned } from '../support/files.js';

import { otherCopy } from '../support/other-copy.js';
import { skipOnWindows } from '../support/skip.js';
import { bitsError, gate } from '../transport/support.js';

const KIB = 1024;

describe('the record of a job', () => {
  const folder = temporaryFolder();
  let count = 0;
  let path: string;
  let content: Buffer;
  let store: JobStore;
  let server: BitsServer;

  async function serve(options: BitsServerOptions = {}): Promise<void> {
    server = await createBitsServer(options);
  }

  beforeEach(async () => {
    store = createMemoryStore();
    path = join(folder(), `file-${count++}.bin`);
    content = await writePatterned(path, 100 * KIB, count);
  });

  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  function job(options: Partial<UploadOptions> = {}): UploadJob {
    return new UploadJob({
      url: new URL('file.bin', server.url),
      source: path,
      fragmentBytes: 10 * KIB,
      store,
      ...options,
      retry: { minDelayMs: 0, ...options.retry },
    });
  }

  const records = async () => (await store.list()).records;
  const kinds = () => server.log.map(({ packet }) => packet);
  const uploaded = () => readFile(join(server.root, 'file.bin'));

  /** A job whose process, so to speak, died after some fragments. */
  async function interrupted(options: Partial<UploadOptions> = {}): Promise<UploadJob> {
    const controller = new AbortController();
    const first = job({ signal: controller.signal, ...options });
    const result = first.start();
    await server.waitForRequest('fragment', 4);
    controller.abort();
    await bitsError(result);
    return first;
  }

  const unreachable = (): Transport => ({
    limitations: [],
    close: async () => {},
    send: async () => {
      throw new BitsTransportError('the certificate has expired', { retryable: false });
    },
  });

  for (const [how, stop] of [
    ['suspended', (it: UploadJob) => void it.suspend()],
    ['cancelled', (it: UploadJob) => void it.cancel()],
    ['aborted', (_it: UploadJob, controller: AbortController) => controller.abort()],
  ] as const) {
    it(`is the last thing that is done for a job ${how} while it is written: no Close goes out`, async () => {
      await serve();
      const stopping: JobStore = {
        ...store,
        save: async (record) => {
          if (record.session.closeUncertain) stop(stopped, controller);
          await store.save(record);
        },
      };
      const inner = createUndiciTransport();
      const packets: (string | undefined)[] = [];
      const transport: Transport = {
        limitations: [],
        close: () => inner.close(),
        // As one may be that listens to the signal, and does not look at it first.
        send: (request, { signal: _, ...options }) => {
          packets.push(request.headers['BITS-Packet-Type']);
          return inner.send(request, options);
        },
      };
      const controller = new AbortController();
      const stopped = job({ store: stopping, transport, signal: controller.signal });
      const ended = stopped.start().catch(() => {});
      while (stopped.state !== how && stopped.state !== 'suspended') await once(stopped, 'state');
      if (how !== 'suspended') await ended;
      expect(packets).to.include('Fragment').and.not.include('Close-Session');
      await stopped.cancel();
      await transport.close();
    });
  }

  it('is gone when the file is in place', async () => {
    await serve();
    await job().start();
    expect(await records()).to.have.lengthOf(0);
  });

  it('lets another job of the same file and URL resume it, under an id of its own', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const first = await interrupted();
    const [record] = await records();
    expect(record).to.include({ id: first.id, totalBytes: 100 * KIB, state: 'suspended' });
    const second = job();
    const result = await second.start();
    expect(second.id).to.not.equal(first.id);
    expect(result).to.include({ id: second.id, resumed: true });
    expect(result.bytesSent).to.be.at.most(70 * KIB + 5 * KIB);
    expect(kinds().filter((kind) => kind === 'create-session')).to.have.lengthOf(1);
    expect(kinds()).to.include('ping');
    expect(sha256(await uploaded())).to.equal(sha256(content));
    expect(await records()).to.have.lengthOf(0);
  });

  it('is dropped, and its session cancelled, when the caller does not want to resume', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    await interrupted();
    const second = job({ resume: false });
    const warnings: string[] = [];
    second.on('warning', ({ code }) => warnings.push(code));
    const result = await second.start();
    expect(result).to.include({ resumed: false, bytesSent: 100 * KIB });
    expect(second.resumed).to.equal(false);
    expect(warnings).to.deep.equal(['earlier-upload-dropped']);
    const first = kinds().indexOf('cancel-session');
    expect(first).to.be.lessThan(kinds().lastIndexOf('create-session')).and.greaterThan(0);
    expect(await records()).to.have.lengthOf(0);
  });

  it('does not hold up a stop when a store hangs that it is to be dropped from', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const first = job();
    void first.start();
    await server.waitForRequest('fragment', 4);
    await first.suspend();
    const removing = gate();
    const hanging: JobStore = {
      ...store,
      remove: () => {
        removing.open();
        return new Promise(() => {});
      },
    };
    const second = job({ store: hanging, resume: false });
    void second.start();
    await removing.promise;
    await second.suspend();
    expect(second.state).to.equal('suspended');
  });

  it('of another query of the same URL is left alone by one who begins anew', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const first = await interrupted({ url: new URL('file.bin?part=1', server.url) });
    await job({ resume: false }).start();
    expect((await records()).map(({ id }) => id)).to.deep.equal([first.id]);
  });

  it('is there or not as the job says, when it has failed and when it has ended', async () => {
    await serve({
      faults: [
        { on: 'create-session', do: { status: 403 } },
        { on: 'fragment', nth: 3, do: { status: 503 } },
      ],
    });
    const upload = job({ retry: { limit: 0 } });
    await bitsError(upload.start());
    expect(upload.recorded).to.equal(false);
    const second = job({ retry: { limit: 0 } });
    await bitsError(second.start());
    expect(second).to.include({ state: 'error', recorded: true, resumed: false });
    await second.resume();
    expect(second).to.include({ state: 'completed', recorded: false, resumed: true });
  });

  it('forgets a session that was lost, with the Close that told so', async () => {
    await serve({
      faults: [
        { on: 'close-session', do: 'session-gone' },
        { on: 'create-session', nth: 2, do: 'hang' },
      ],
    });
    const controller = new AbortController();
    const first = job({ signal: controller.signal });
    const result = first.start();
    await server.waitForRequest('create-session', 2);
    expect((await records())[0]?.session).to.include({
      sessionId: undefined,
      closeUncertain: false,
    });
    controller.abort();
    await bitsError(result);
    expect(await job().start()).to.include({ closed: 'acknowledged', bytesSent: 100 * KIB });
    expect(sha256(await uploaded())).to.equal(sha256(content));
  });

  it('says of a Close no more that it may have worked before Cancel-Session goes out', async () => {
    await serve({ faults: [{ on: 'close-session', do: 'hang' }] });
    const order: string[] = [];
    const saving = gate();
    const saved = gate();
    const slow: JobStore = {
      ...store,
      save: async (record) => {
        if (record.state === 'cancel-session') {
          saving.open();
          await saved.promise;
          order.push(`closeUncertain: ${record.session.closeUncertain}`);
        }
        await store.save(record);
      },
    };
    const onRequest = ({ packet }: { readonly packet: string }) => {
      if (packet === 'cancel-session') order.push(packet);
    };
    const upload = job({ store: slow, onRequest });
    const ended = bitsError(upload.start());
    await server.waitForRequest('close-session');
    const cancelled = upload.cancel();
    await saving.promise;
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    saved.open();
    await cancelled;
    expect(await ended).to.include({ code: 'BITS_ERR_ABORTED' });
    expect(order).to.deep.equal(['closeUncertain: false', 'cancel-session']);
  });

  it('of an upload that is given up says so, too, before Cancel-Session goes out', async () => {
    await serve({
      faults: [
        { on: 'close-session', do: 'hang' },
        { on: 'cancel-session', do: 'hang' },
      ],
    });
    const first = job();
    void first.start();
    await server.waitForRequest('close-session');
    await first.suspend();
    expect((await records())[0]?.session).to.include({ closeUncertain: true });
    const controller = new AbortController();
    const ended = bitsError(job({ resume: false, signal: controller.signal }).start());
    await server.waitForRequest('cancel-session');
    expect((await records())[0]?.session).to.include({ closeUncertain: false });
    controller.abort();
    expect(await ended).to.include({ code: 'BITS_ERR_ABORTED' });
  });

  it('of an upload that is given up has been moved before another job may have it', async () => {
    await serve({
      faults: [
        { on: 'fragment', nth: 4, do: 'hang' },
        { on: 'cancel-session', do: 'hang' },
      ],
    });
    const { id } = await interrupted();
    const saving = gate();
    const saved = gate();
    const order: string[] = [];
    const slow: JobStore = {
      ...store,
      lock: async (key) => {
        const { lock, holder } = await store.lock(key);
        if (lock === undefined) return { holder };
        return { lock: { ...lock, release: async () => void order.push('released') } };
      },
      save: async (record) => {
        saving.open();
        await saved.promise;
        await store.save(record);
        order.push('saved');
      },
      remove: async (key) => {
        await store.remove(key);
        order.push('removed');
      },
    };
    const controller = new AbortController();
    const ended = bitsError(job({ resume: false, store: slow, signal: controller.signal }).start());
    await server.waitForRequest('cancel-session');
    controller.abort();
    await saving.promise;
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    saved.open();
    await ended;
    expect(order).to.deep.equal(['saved', 'removed', 'released']);
    expect((await records()).map((record) => record.id)).to.deep.equal([id]);
  });

  it('that cannot be kept is none, and the job says so', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 3, do: { status: 503 } }] });
    const full = new BitsError('BITS_ERR_STORE', 'the disk is full');
    const broken: JobStore = { ...store, save: () => Promise.reject(full) };
    const upload = job({ store: broken, retry: { limit: 0 } });
    await bitsError(upload.start());
    expect(upload).to.include({ state: 'error', recorded: false });
    expect(await upload.resume()).to.include({ resumed: true });
  });

  it('restores the job by its id', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    const restored = await UploadJob.restore(store, id);
    expect(restored.state).to.equal('suspended');
    expect(await restored.resume()).to.include({ id, resumed: true });
    expect(sha256(await uploaded())).to.equal(sha256(content));
  });

  it('restores a job whose name no caller could give', async function () {
    skipOnWindows(this, 'names');
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const odd = `${path}\twith a tab`;
    await rename(path, odd);
    const { id } = await interrupted({ source: odd });
    await (await UploadJob.restore(store, id)).resume();
    expect(await uploaded()).to.deep.equal(content);
    const names = server.log.map(({ headers }) => headers['content-name']).filter(Boolean);
    expect(new Set(names)).to.have.property('size', 1);
  });

  it('is suspended, and can be resumed, when the caller says so before anything is sent', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    await interrupted();
    const packets = kinds().length;
    const second = job();
    void second.start();
    await second.suspend();
    expect(second.state).to.equal('suspended');
    expect(kinds().length).to.equal(packets);
    expect(await second.resume()).to.include({ resumed: true, closed: 'acknowledged' });
  });

  it('restores a job that is only to be cancelled, though its file is gone', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    const restored = await UploadJob.restore(store, id, { source: join(folder(), 'gone') });
    await restored.cancel();
    expect(restored.state).to.equal('cancelled');
    expect(kinds().at(-1)).to.equal('cancel-session');
    expect(await records()).to.have.lengthOf(0);
  });

  it('is kept when the caller waits no longer for the answer to Cancel-Session, to cancel once more', async () => {
    await serve({
      faults: [
        { on: 'fragment', nth: 4, do: 'hang' },
        { on: 'cancel-session', do: 'hang' },
      ],
    });
    const { id } = await interrupted();
    const controller = new AbortController();
    const restored = await UploadJob.restore(store, id, { signal: controller.signal });
    const cancelled = restored.cancel();
    await server.waitForRequest('cancel-session');
    controller.abort();
    await cancelled;
    expect(restored).to.include({ state: 'cancelled', recorded: true });
    const [record] = await records();
    expect(record?.session.sessionId).to.be.a('string');
    const again = await UploadJob.restore(store, id);
    await again.cancel();
    expect(again).to.include({ state: 'cancelled', recorded: false });
    expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
    expect(await records()).to.be.empty;
  });

  it('is of no use to a job restored from it once the file has changed', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    await writePatterned(path, 90 * KIB, 77);
    const restored = await UploadJob.restore(store, id);
    expect(await bitsError(restored.resume())).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
    expect(restored).to.include({ state: 'failed', recorded: false });
    expect(await bitsError(restored.resume())).to.include({ code: 'BITS_ERR_STATE' });
    await restored.cancel();
    expect(kinds().filter((kind) => kind === 'cancel-session')).to.have.lengthOf(1);
  });

  it('is dropped, and its session cancelled, when the file has changed since', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    await interrupted();
    content = await writePatterned(path, 90 * KIB, 77);
    const second = job();
    const warnings: string[] = [];
    second.on('warning', ({ code }) => warnings.push(code));
    const result = await second.start();
    expect(result).to.include({ resumed: false, bytes: 90 * KIB });
    expect(warnings).to.deep.equal(['earlier-upload-dropped']);
    expect(kinds()).to.include('cancel-session');
    expect(sha256(await uploaded())).to.equal(sha256(content));
    expect(await records()).to.have.lengthOf(0);
  });

  it('stays when the file has changed but the server cannot be asked to free the session', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    content = await writePatterned(path, 90 * KIB, 77);
    server.addFault({ on: 'cancel-session', do: 'reset-before' });
    await job().start();
    expect((await records()).map((record) => record.id)).to.deep.equal([id]);
    const left = await UploadJob.restore(store, id);
    await left.cancel();
    expect(kinds().at(-1)).to.equal('cancel-session');
    expect(await records()).to.have.lengthOf(0);
  });

  it('is resumed, with a warning, when a file of the same size and time took the place of the first', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const sameTime = new Date(1_700_000_000_000);
    await utimes(path, sameTime, sameTime);
    await interrupted();
    await copyFile(path, `${path}.copy`);
    await utimes(`${path}.copy`, sameTime, sameTime);
    await rename(`${path}.copy`, path);
    const second = job();
    const warnings: string[] = [];
    second.on('warning', ({ code }) => warnings.push(code));
    expect(await second.start()).to.include({ resumed: true });
    expect(warnings).to.deep.equal(['source-replaced']);
    expect(sha256(await uploaded())).to.equal(sha256(content));
  });

  it('restored by id, refuses a changed file and frees the session', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    await writePatterned(path, 100 * KIB, 78);
    const restored = await UploadJob.restore(store, id);
    expect(await bitsError(restored.resume())).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
    expect(kinds().at(-1)).to.equal('cancel-session');
    expect(await records()).to.have.lengthOf(0);
  });

  it('keeps two jobs from uploading one file to one URL at once', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const first = job();
    void first.start();
    await server.waitForRequest('fragment', 4);
    const error = await bitsError(job().start());
    expect(error).to.include({ code: 'BITS_ERR_STATE' });
    expect(error.message).to.include(String(process.pid));
    const [record] = await records();
    if (record === undefined) throw new Error('no record');
    expect(await store.holder(record.key)).to.include({ pid: process.pid });
    await first.cancel();
    expect(await store.holder(record.key)).to.equal(undefined);
    expect((await job().start()).bytes).to.equal(100 * KIB);
  });

  it('keeps other jobs off while the reply is downloaded, too', async () => {
    await serve({ reply: () => 'done', faults: [{ on: 'reply', do: 'hang' }] });
    const first = job({ reply: true });
    void first.start();
    await server.waitForRequest('reply');
    expect(await bitsError(job({ reply: true }).start())).to.include({ code: 'BITS_ERR_STATE' });
    await first.cancel();
  });

  it('says before Close-Session that it is going out, so that nothing is uploaded twice', async () => {
    await serve({ faults: [{ on: 'close-session', do: 'hang-after-commit' }] });
    const controller = new AbortController();
    const first = job({ signal: controller.signal });
    const result = first.start();
    await server.waitForRequest('close-session');
    expect((await records())[0]?.session.closeUncertain).to.equal(true);
    controller.abort();
    await bitsError(result);
    const second = await job().start();
    expect(second).to.include({ closed: 'presumed', bytesSent: 0 });
    expect(sha256(await uploaded())).to.equal(sha256(content));
  });

  it('that cannot be kept costs a warning, not the upload', async () => {
    await serve();
    const full = new BitsError('BITS_ERR_STORE', 'the disk is full');
    const broken: JobStore = { ...store, save: () => Promise.reject(full) };
    const upload = job({ store: { ...broken, lock: (id) => store.lock(id) } });
    const warnings: string[] = [];
    upload.on('warning', ({ code }) => warnings.push(code));
    await upload.start();
    expect(warnings).to.deep.equal(['record-not-kept']);
    expect(sha256(await uploaded())).to.equal(sha256(content));
  });

  it('is no obstacle when the whole store is unusable', async () => {
    await serve();
    const broken = { ...store, lock: () => Promise.reject(new BitsError('BITS_ERR_STORE', 'no')) };
    const upload = job({ store: broken });
    const warnings: string[] = [];
    upload.on('warning', ({ code }) => warnings.push(code));
    await upload.start();
    expect(warnings).to.deep.equal(['store-unusable']);
  });

  const down = () => Promise.reject(new Error('the database is down'));
  const unusable: readonly [string, Partial<JobStore>, string][] = [
    ['fails to lock with an error of its own', { lock: down }, 'store-unusable'],
    ['locks nothing', { lock: () => Promise.resolve(undefined as never) }, 'store-unusable'],
    ['fails to load with an error of its own', { load: down }, 'record-unusable'],
    ['loads what is no record', { load: () => Promise.resolve(null as never) }, 'record-unusable'],
  ];
  for (const [how, methods, warning] of unusable) {
    it(`is no obstacle when a store of the caller ${how}`, async () => {
      await serve();
      const upload = job({ store: { ...store, ...methods } });
      const warnings: string[] = [];
      upload.on('warning', ({ code }) => warnings.push(code));
      await upload.start();
      expect(warnings).to.deep.equal([warning]);
      expect(sha256(await uploaded())).to.equal(sha256(content));
    });
  }

  it('is no obstacle when the unusable store is of another copy of this package', async () => {
    await serve();
    const { BitsError: OtherError } = await otherCopy();
    expect(OtherError).to.not.equal(BitsError);
    const broken = { ...store, lock: () => Promise.reject(new OtherError('BITS_ERR_STORE', 'no')) };
    const upload = job({ store: broken });
    const warnings: string[] = [];
    upload.on('warning', ({ code }) => warnings.push(code));
    await upload.start();
    expect(warnings).to.deep.equal(['store-unusable']);
  });

  it('is gone on with by its file and URL also when the reply is in place already', async () => {
    const reply = join(folder(), 'placed.bin');
    await serve({
      reply: () => Buffer.alloc(5000, 7),
      faults: [{ on: 'close-session', do: 'hang' }],
    });
    const controller = new AbortController();
    const first = job({ signal: controller.signal, reply: { to: reply } });
    const result = first.start();
    await server.waitForRequest('close-session');
    controller.abort();
    await bitsError(result);
    const second = await job({ reply: { to: reply } }).start();
    expect(second).to.include({ bytesSent: 0, resumed: true });
    expect(second.reply).to.include({ file: reply, bytes: 5000 });
    expect(kinds().filter((kind) => kind === 'reply')).to.have.lengthOf(1);
    expect((await readdir(folder())).filter((name) => name.endsWith('.part'))).to.be.empty;
  });

  it('knows the URL of the reply before the reply is asked for', async () => {
    await serve({ reply: () => 'done', faults: [{ on: 'reply', do: 'hang' }] });
    const slow: JobStore = {
      ...store,
      save: async (record) => {
        for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
        await store.save(record);
      },
    };
    const upload = job({ reply: true, store: slow });
    void upload.start();
    await server.waitForRequest('reply');
    const [record] = await records();
    expect(record?.session).to.include({ offset: 100 * KIB });
    expect(record?.session.replyUrl).to.be.a('string');
    await upload.cancel();
  });

  it('takes what there is of a reply with it when the file has changed since', async () => {
    const reply = join(folder(), 'stale.bin');
    await serve({ reply: () => Buffer.alloc(50_000, 7), allowOverwrite: true });
    const parts = async () => (await readdir(folder())).filter((name) => name.endsWith('.part'));
    for (const begin of [
      async () => job({ reply: { to: reply } }).start(),
      async (id: string) => (await UploadJob.restore(store, id)).resume().catch(() => {}),
    ]) {
      server.addFault({ on: 'reply', do: { bytesPerSecond: 20_000 } });
      const controller = new AbortController();
      const first = job({ signal: controller.signal, reply: { to: reply } });
      first.on('progress', ({ replyBytes }) => replyBytes > 0 && controller.abort());
      await bitsError(first.start());
      expect(await parts()).to.have.lengthOf(1);
      content = await writePatterned(path, 90 * KIB, ++count);
      await begin(first.id);
      expect(await parts()).to.have.lengthOf(0);
      await rm(reply, { force: true });
    }
  });

  it('tells how much of the reply is stored while it is downloaded, for a process that is killed', async () => {
    await serve({
      reply: () => Buffer.alloc(200_000, 7),
      faults: [{ on: 'reply', do: { bytesPerSecond: 40_000 } }],
    });
    const stored = gate<number>();
    const noticing: JobStore = {
      ...store,
      save: async (record) => {
        const bytes = record.reply?.resume?.receivedBytes ?? 0;
        if (bytes > 0 && record.state === 'get-reply') stored.open(bytes);
        await store.save(record);
      },
    };
    const upload = job({ reply: { to: join(folder(), 'told.bin') }, store: noticing });
    const ended = bitsError(upload.start());
    expect(await stored.promise).to.be.below(200_000);
    await upload.cancel();
    await ended;
  });

  it('takes what there is of a reply with it when the job is cancelled', async () => {
    const reply = join(folder(), 'partial.bin');
    await serve({
      reply: () => Buffer.alloc(50_000, 7),
      faults: [{ on: 'reply', do: { bytesPerSecond: 20_000 } }],
    });
    const controller = new AbortController();
    const first = job({ signal: controller.signal, reply: { to: reply } });
    first.on('progress', ({ replyBytes }) => replyBytes > 0 && controller.abort());
    await bitsError(first.start());
    const parts = async () => (await readdir(folder())).filter((name) => name.endsWith('.part'));
    expect(await parts()).to.have.lengthOf(1);
    await writeFile(reply, 'of somebody else');
    await (await UploadJob.restore(store, first.id)).cancel();
    expect(await parts()).to.be.empty;
    expect(await readFile(reply, 'utf8')).to.equal('of somebody else');
    expect(kinds().at(-1)).to.equal('cancel-session');
  });

  it('leaves nothing of a reply where it was to go when it goes elsewhere', async () => {
    const answer = Buffer.alloc(50_000, 7);
    await serve({
      reply: () => answer,
      faults: [{ on: 'reply', do: { bytesPerSecond: 20_000 } }],
    });
    const controller = new AbortController();
    const reply = { to: join(folder(), 'here.bin') };
    const first = job({ signal: controller.signal, reply });
    first.on('progress', ({ replyBytes }) => replyBytes > 0 && controller.abort());
    await bitsError(first.start());
    const parts = async () => (await readdir(folder())).filter((name) => name.endsWith('.part'));
    expect(await parts()).to.have.lengthOf(1);
    const elsewhere = { to: join(folder(), 'there.bin') };
    await (await UploadJob.restore(store, first.id, { reply: elsewhere })).resume();
    expect(await readFile(elsewhere.to)).to.deep.equal(answer);
    expect(await parts()).to.be.empty;
  });

  it('goes on in get-reply without uploading again', async () => {
    const reply = join(folder(), 'reply.bin');
    await serve({
      reply: () => Buffer.alloc(50_000, 7),
      faults: [{ on: 'reply', do: 'hang' }],
    });
    const controller = new AbortController();
    const first = job({ signal: controller.signal, reply: { to: reply } });
    const result = first.start();
    await once(first, 'state');
    await server.waitForRequest('reply');
    controller.abort();
    await bitsError(result);
    expect((await records())[0]).to.include({ state: 'suspended' });
    const second = await (await UploadJob.restore(store, first.id)).resume();
    expect(second).to.include({ bytesSent: 0, resumed: true });
    expect(await readFile(reply)).to.deep.equal(Buffer.alloc(50_000, 7));
  });

  it('restores a job without a look at all the others', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    const [record] = await records();
    if (record === undefined) throw new Error('no record');
    const unlisted: JobStore = { ...store, list: () => Promise.reject(new Error('listed')) };
    const restored = await UploadJob.restore(unlisted, JSON.parse(JSON.stringify(record)));
    expect(await restored.resume()).to.include({ id, resumed: true });
    const damaged = { ...record, key: '../secret' };
    expect(await bitsError(UploadJob.restore(store, damaged))).to.include({
      code: 'BITS_ERR_STORE',
    });
  });

  it('of a later job that was stopped too serves the first one as well', async () => {
    await serve({
      faults: [
        { on: 'fragment', nth: 4, do: 'hang' },
        { on: 'fragment', nth: 8, do: { status: 503 } },
      ],
    });
    const first = await interrupted();
    const [before] = await records();
    const second = job({ retry: { limit: 0 } });
    await bitsError(second.start());
    const { createdAtMs } = before ?? {};
    const [after] = await records();
    expect(after).to.include({ id: second.id, createdAtMs });
    const result = await first.resume();
    expect(result).to.include({ id: first.id, resumed: true });
    expect(kinds().filter((kind) => kind === 'create-session')).to.have.lengthOf(1);
    expect(sha256(await uploaded())).to.equal(sha256(content));
    expect(await records()).to.be.empty;
  });

  it('that is gone says that another job has ended this one, which sends nothing then', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const first = await interrupted();
    const [record] = await records();
    await job().start();
    const sent = server.log.length;
    const error = await bitsError(first.resume());
    expect(error).to.include({ code: 'BITS_ERR_STATE' });
    expect(error.message).to.include(`has finished, cancelled or dropped job ${record?.id}`);
    expect(server.log).to.have.lengthOf(sent);
    const { holder } = await store.lock(record?.key ?? '');
    expect(holder, 'who has the lock then').to.equal(undefined);
  });

  it('is found by the query with which the upload began, also when its job was restored with another', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const url = new URL('file.bin?token=1', server.url);
    const { id } = await interrupted({ url });
    const restored = await UploadJob.restore(store, id, {
      url: new URL('file.bin?token=2', server.url),
      transport: unreachable(),
    });
    expect(await bitsError(restored.resume())).to.include({ code: 'BITS_ERR_TRANSPORT' });
    expect(restored.recorded).to.equal(true);
    expect(await job({ url }).start()).to.include({ resumed: true });
    expect(kinds().filter((kind) => kind === 'create-session')).to.have.lengthOf(1);
  });

  it('says once that a Close goes out, and before it', async () => {
    await serve();
    const saved: string[] = [];
    const noting: JobStore = {
      ...store,
      save: async (record) => {
        saved.push(record.state);
        await store.save(record);
      },
    };
    await job({ store: noting }).start();
    expect(saved.filter((state) => state === 'close-session')).to.have.lengthOf(1);
  });

  it('is free when its lock comes too late for a job that was stopped', async () => {
    await serve();
    const locking = gate<string>();
    const locked = gate();
    const released = gate();
    const slow: JobStore = {
      ...store,
      lock: async (key) => {
        locking.open(key);
        await locked.promise;
        const { lock, holder } = await store.lock(key);
        if (lock === undefined) return { holder };
        return { lock: { ...lock, release: () => lock.release().then(() => released.open()) } };
      },
    };
    const controller = new AbortController();
    const ended = bitsError(job({ store: slow, signal: controller.signal }).start());
    const key = await locking.promise;
    controller.abort();
    await ended;
    locked.open();
    await released.promise;
    expect((await store.lock(key)).holder).to.equal(undefined);
  });

  it('restores a job that sends no more at once than its transport takes', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted({ fragmentBytes: 20 * KIB });
    const inner = createUndiciTransport();
    const sizes: number[] = [];
    const transport: Transport = {
      limitations: [],
      maxBodyBytes: 8 * KIB,
      close: () => inner.close(),
      send: (request, options) => {
        sizes.push(request.body?.byteLength ?? 0);
        return inner.send(request, options);
      },
    };
    await (await UploadJob.restore(store, id, { transport })).resume();
    await inner.close();
    expect(Math.max(...sizes)).to.equal(8 * KIB);
    expect(await uploaded()).to.deep.equal(content);
  });

  it('refuses a source of another length in place of the file', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    const restored = await UploadJob.restore(store, id, { source: new Uint8Array(110 * KIB) });
    expect(await bitsError(restored.resume())).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
    expect(kinds().at(-1)).to.equal('cancel-session');
    expect(await records()).to.be.empty;
  });

  it('refuses such a source, too, when another job has resumed the upload in between', async () => {
    await serve({
      faults: [
        { on: 'fragment', nth: 4, do: 'hang' },
        { on: 'fragment', nth: 8, do: { status: 503 } },
      ],
    });
    const { id } = await interrupted();
    const restored = await UploadJob.restore(store, id, { source: new Uint8Array(110 * KIB) });
    await bitsError(job({ retry: { limit: 0 } }).start());
    expect(await bitsError(restored.resume())).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
    expect(server.uploads).to.be.empty;
  });

  it('that cannot be removed after Close says that the file may be in place', async () => {
    await serve();
    const full = new BitsError('BITS_ERR_STORE', 'the disk is read-only');
    const closing: boolean[] = [];
    const stuck: JobStore = {
      ...store,
      save: async (record) => {
        closing.push(record.session.closeUncertain);
        await store.save(record);
      },
      remove: () => Promise.reject(full),
    };
    const upload = job({ store: stuck });
    const warnings: UploadWarning[] = [];
    upload.on('warning', (warning) => warnings.push(warning));
    await upload.start();
    expect(warnings.map(({ code }) => code)).to.deep.equal(['record-not-removed']);
    expect(warnings[0]?.message).to.match(/^The upload is over.*the disk is read-only$/);
    expect(closing).to.include(true);
    expect(closing.slice(closing.indexOf(true))).to.not.include(false);
    expect((await records())[0]?.session).to.include({ closeUncertain: true });
  });

  describe('whose lock another process may have taken', () => {
    let changes: string[];
    let lost: AbortController;

    beforeEach(() => {
      lost = new AbortController();
      changes = [];
    });

    /** Notes what changes a record once the lock is lost. */
    const watched = (): JobStore => {
      const noting = (what: string) => lost.signal.aborted && changes.push(what);
      return {
        ...store,
        lock: async (key) => {
          const claim = await store.lock(key);
          if (claim.lock === undefined) return claim;
          return { lock: { ...claim.lock, lost: lost.signal } };
        },
        save: (record) => {
          noting('save');
          return store.save(record);
        },
        remove: (key) => {
          noting('remove');
          return store.remove(key);
        },
      };
    };

    it('is left as it is by a job in the middle, which is stopped', async () => {
      await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
      const upload = job({ store: watched() });
      const ended = bitsError(upload.start());
      await server.waitForRequest('fragment', 4);
      lost.abort();
      const error = await ended;
      expect(error).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(error.cause).to.include({ code: 'BITS_ERR_STATE' });
      expect(upload.state).to.equal('suspended');
      expect(changes).to.be.empty;
    });

    it('is left as it is by a job that ends at the same moment', async () => {
      await serve({ faults: [{ on: 'close-session', do: 'reset-after-commit' }] });
      const upload = job({ store: watched() });
      upload.on('warning', ({ code }) => code === 'close-presumed' && lost.abort());
      expect(await upload.start()).to.include({ closed: 'presumed' });
      expect(lost.signal.aborted).to.equal(true);
      expect(changes).to.be.empty;
      expect(await records()).to.have.lengthOf(1);
    });

    it('is left as it is by a job that was about to give it up', async () => {
      await serve({
        faults: [
          { on: 'fragment', nth: 4, do: 'hang' },
          { on: 'cancel-session', do: 'hang' },
        ],
      });
      await interrupted();
      const before = await records();
      const ended = bitsError(job({ store: watched(), resume: false }).start());
      await server.waitForRequest('cancel-session');
      lost.abort();
      expect(await ended).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(changes).to.be.empty;
      expect(await records()).to.deep.equal(before);
    });

    it('is not even begun when that happened before anything is sent', async () => {
      await serve();
      lost.abort();
      const error = await bitsError(job({ store: watched() }).start());
      expect(error).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(error.cause).to.include({ code: 'BITS_ERR_STATE' });
      expect(server.log).to.be.empty;
      expect(changes).to.be.empty;
    });
  });

  it('stays when the file has changed but Cancel-Session could not go out', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const { id } = await interrupted();
    await writePatterned(path, 90 * KIB, 77);
    const second = job({ transport: unreachable() });
    const warnings: string[] = [];
    second.on('warning', ({ message }) => warnings.push(message));
    expect(await bitsError(second.start())).to.include({ code: 'BITS_ERR_TRANSPORT' });
    expect(warnings.join()).to.include('its record stays');
    expect((await records()).map((record) => record.id)).to.deep.equal([id]);
    await (await UploadJob.restore(store, id)).cancel();
    expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
    expect(await records()).to.be.empty;
  });

  it('of an older upload is given up by a job that has a session of its own', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    await interrupted();
    let isAway = true;
    const flaky: JobStore = {
      ...store,
      lock: async (key) => {
        if (isAway) throw new BitsError('BITS_ERR_STORE', 'the disk is away');
        return store.lock(key);
      },
    };
    server.addFault({ on: 'fragment', nth: 6, do: { status: 503 } });
    const upload = job({ store: flaky, retry: { limit: 0 } });
    const warnings: string[] = [];
    upload.on('warning', ({ code }) => warnings.push(code));
    await bitsError(upload.start());
    expect(upload).to.include({ state: 'error', recorded: false });
    isAway = false;
    const sentBefore = server.log.filter(({ packet }) => packet === 'fragment').length;
    expect(await upload.resume()).to.include({ resumed: true, closed: 'acknowledged' });
    expect(warnings).to.deep.equal(['store-unusable', 'earlier-upload-dropped']);
    const sentAfter = server.log.filter(({ packet }) => packet === 'fragment').length - sentBefore;
    // Five fragments had arrived; a probe may ask for the offset.
    expect(sentAfter).to.be.within(5, 6);
    expect(kinds().filter((kind) => kind === 'create-session')).to.have.lengthOf(2);
    const first = server.log.find(({ packet }) => packet === 'fragment')?.sessionId;
    const cancels = server.log.filter(({ packet }) => packet === 'cancel-session');
    expect(first).to.be.a('string');
    expect(cancels.map(({ sessionId }) => sessionId)).to.deep.equal([first]);
    expect(sha256(await uploaded())).to.equal(sha256(content));
    expect(await records()).to.be.empty;
  });

  it('makes cancel() fail, as result does, while another process has the job', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const upload = job();
    const ended = bitsError(upload.start());
    await server.waitForRequest('fragment', 4);
    await upload.suspend();
    const { lock } = await store.lock((await records())[0]?.key ?? '');
    const error = await bitsError(upload.cancel());
    expect(error).to.include({ code: 'BITS_ERR_STATE' });
    expect(await ended).to.equal(error);
    expect(upload.state).to.equal('error');
    expect(kinds()).to.not.include('cancel-session');
    await lock?.release();
    await upload.cancel();
    expect(upload.state).to.equal('cancelled');
    expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
  });

  it('makes cancel() fail also when a listener for failed resumes the job at once', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const upload = job();
    void upload.start();
    await server.waitForRequest('fragment', 4);
    await upload.suspend();
    const { lock } = await store.lock((await records())[0]?.key ?? '');
    const resumed = new Promise<UploadResult>((resolve, reject) => {
      upload.once('failed', () => {
        void lock?.release();
        upload.resume().then(resolve, reject);
      });
    });
    expect(await bitsError(upload.cancel())).to.include({ code: 'BITS_ERR_STATE' });
    expect(await resumed).to.include({ closed: 'acknowledged' });
  });

  it('is kept by a cancel of an aborted job that waits for the store, and not for ever', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    let isSlow = false;
    const slow: JobStore = {
      ...store,
      lock: (key) => (isSlow ? new Promise(() => {}) : store.lock(key)),
    };
    const controller = new AbortController();
    const upload = job({ store: slow, signal: controller.signal });
    const ended = bitsError(upload.start());
    await server.waitForRequest('fragment', 4);
    isSlow = true;
    const cancelled = upload.cancel();
    controller.abort();
    await cancelled;
    expect((await ended).message).to.include('did not confirm');
    expect(upload).to.include({ state: 'cancelled', recorded: true });
  });

  it('is kept by a cancel that is stopped before it sends anything, and the error says so', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 4, do: 'hang' }] });
    const locking = gate();
    let isSlow = false;
    const slow: JobStore = {
      ...store,
      lock: async (key) => {
        if (isSlow) {
          locking.open();
          await new Promise(() => {});
        }
        return store.lock(key);
      },
    };
    const upload = job({ store: slow });
    const ended = bitsError(upload.start());
    await server.waitForRequest('fragment', 4);
    await upload.suspend();
    isSlow = true;
    const controller = new AbortController();
    const cancelled = upload.cancel({ signal: controller.signal });
    await locking.promise;
    controller.abort();
    await cancelled;
    const error = await ended;
    expect(error).to.include({ code: 'BITS_ERR_ABORTED' });
    expect(error.message).to.include('did not confirm');
    expect(upload).to.include({ state: 'cancelled', recorded: true });
    isSlow = false;
    await upload.cancel();
    expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
    expect(await records()).to.be.empty;
  });

  describe('of a file that fits into one fragment', () => {
    let uses: string[];

    /** Notes the calls that cost something. */
    function noting(): JobStore {
      const noted =
        <A, R>(name: string, call: (argument: A) => R) =>
        (argument: A): R => {
          uses.push(name);
          return call(argument);
        };
      return {
        ...store,
        save: noted('save', store.save),
        remove: noted('remove', store.remove),
        lock: noted('lock', store.lock),
      };
    }

    const small = (options: Partial<UploadOptions> = {}) =>
      job({ fragmentBytes: 100 * KIB, store: noting(), ...options });

    beforeEach(() => {
      uses = [];
    });

    it('is not made, and nothing is locked, while all goes well', async () => {
      await serve();
      await small().start();
      expect(uses).to.be.empty;
    });

    it('is made when the store cannot say whether there is one, with a warning', async () => {
      await serve();
      const away = new BitsError('BITS_ERR_STORE', 'the disk is away');
      const upload = small({ store: { ...noting(), load: () => Promise.reject(away) } });
      const warnings: string[] = [];
      upload.on('warning', ({ message }) => warnings.push(message));
      await upload.start();
      expect(warnings).to.deep.equal(['the disk is away']);
      expect(uses).to.include('save').and.to.include('lock');
    });

    it('is made for a file that is one byte longer', async () => {
      await serve();
      await small({ fragmentBytes: 100 * KIB - 1 }).start();
      expect(uses).to.include('save').and.to.include('lock');
    });

    it('is made for a file that has a reply', async () => {
      await serve({ reply: () => 'done' });
      await small({ reply: true }).start();
      expect(uses).to.include('save').and.to.include('lock');
    });

    it('is made for a file of more than 1 MiB, whatever the size of a fragment', async () => {
      await serve();
      content = await writePatterned(path, KIB * KIB + 1, count);
      await small({ fragmentBytes: 2 * KIB * KIB }).start();
      expect(uses).to.include('save').and.to.include('lock');
    });

    it('is there when the upload has failed, and resumes it', async () => {
      await serve({ faults: [{ on: 'fragment', do: { status: 503 } }] });
      const first = small({ retry: { limit: 0 } });
      await bitsError(first.start());
      expect(first).to.include({ state: 'error', recorded: true });
      expect(await store.holder((await records())[0]?.key ?? '')).to.equal(undefined);
      expect(await small().start()).to.include({ resumed: true });
      expect(sha256(await uploaded())).to.equal(sha256(content));
      expect(await records()).to.be.empty;
    });

    it('is there before a retry waits', async () => {
      await serve({ faults: [{ on: 'fragment', do: { status: 503 } }] });
      const recorded: boolean[] = [];
      const upload = small();
      upload.on('retry', () => recorded.push(uses.includes('lock')));
      await upload.start();
      expect(recorded).to.deep.equal([true]);
      expect(await records()).to.be.empty;
    });

    for (const [how, stop] of [
      ['suspended', (it: UploadJob) => it.suspend()],
      ['aborted', (_it: UploadJob, controller: AbortController) => controller.abort()],
    ] as const) {
      it(`is there when the upload is ${how} in its fragment`, async () => {
        await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
        const controller = new AbortController();
        const first = small({ signal: controller.signal });
        const ended = first.start().catch(() => {});
        await server.waitForRequest('fragment');
        await stop(first, controller);
        if (how === 'aborted') await ended;
        expect(first).to.include({ state: 'suspended', recorded: true });
        expect(await small().start()).to.include({ resumed: true });
        expect(sha256(await uploaded())).to.equal(sha256(content));
      });
    }

    it('says of an unanswered Close that the file may be in place', async () => {
      await serve({ faults: [{ on: 'close-session', do: 'hang-after-commit' }] });
      const first = small({ timeouts: { answerMs: 1000 }, retry: { limit: 0 } });
      await bitsError(first.start());
      expect((await records())[0]?.session.closeUncertain).to.equal(true);
      expect(await small().start()).to.include({ closed: 'presumed', bytesSent: 0 });
    });

    it('does not replace the record that another process has left meanwhile', async () => {
      await serve({ faults: [{ on: 'fragment', nth: 1, do: 'hang' }] });
      const first = small();
      const warnings: string[] = [];
      first.on('warning', ({ code }) => warnings.push(code));
      void first.start();
      await server.waitForRequest('fragment');
      server.addFault({ on: 'fragment', do: { status: 503 } });
      const second = small({ retry: { limit: 0 } });
      await bitsError(second.start());
      await first.suspend();
      expect((await records()).map(({ id }) => id)).to.deep.equal([second.id]);
      expect(warnings).to.deep.equal(['record-not-kept']);
      expect(first.recorded).to.equal(false);
      await first.cancel();
      expect(await records()).to.have.lengthOf(1);
      await second.resume();
    });
  });
});
