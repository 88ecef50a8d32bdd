import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { UploadJob, type UploadOptions } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { patterned } from '../support/files.js';
import { bitsError } from '../transport/support.js';
import { ReplyHost } from './support.js';

type ServerOptions = Parameters<typeof createBitsServer>[0];

describe('the reply of an upload', () => {
  let directory: string;
  let server: Awaited<ReturnType<typeof createBitsServer>> | undefined;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'reply-job-'));
  });
  afterEach(async () => {
    await server?.close();
    await rm(directory, { recursive: true });
  });

  async function job(options: Partial<UploadOptions>, serverOptions: ServerOptions) {
    server = await createBitsServer(serverOptions);
    const url = new URL('file.bin', server.url);
    return new UploadJob({ url, source: patterned(9000), ...options });
  }

  it('is fetched from a host that is not listed without any header of the caller but User-Agent', async () => {
    const host = await new ReplyHost((request, response) => {
      seen.push(request.headers);
      response.end('answer');
    }).start();
    const seen: Record<string, unknown>[] = [];
    const other = new URL(`http://localhost:${host.url.port}/reply`);
    const headers = { 'X-API-Key': 's3cret', 'X-Trace': '1', 'User-Agent': 'mine/1' };
    try {
      for (const trustedHosts of [[], ['localhost']]) {
        const reply = { body: '', url: other };
        const upload = await job({ reply: true, headers, trustedHosts }, { reply: () => reply });
        const result = await upload.start();
        expect(Buffer.from(result.reply?.data ?? []).toString()).to.equal('answer');
        await server?.close();
      }
    } finally {
      await host.stop();
    }
    expect(seen[0]).to.include({ 'user-agent': 'mine/1' });
    expect(seen[0]).to.not.have.any.keys('x-api-key', 'x-trace');
    expect(seen[1]).to.include({ 'user-agent': 'mine/1', 'x-api-key': 's3cret', 'x-trace': '1' });
  });

  it('leaves no part file when the job fails and nobody has a record of it', async () => {
    const reply = { to: join(directory, 'answer.bin') };
    const upload = await job({ reply }, { reply: () => ({ body: 'x', missing: true }) });
    expect((await bitsError(upload.start())).code).to.equal('BITS_ERR_REPLY');
    expect(await readdir(directory)).to.deep.equal([]);
  });

  it('ends at once when the job is stopped while the stream for it takes nothing', async () => {
    const stream = new PassThrough({ highWaterMark: 1 });
    const controller = new AbortController();
    const upload = await job(
      { reply: { to: stream }, signal: controller.signal },
      { reply: () => patterned(1_000_000) },
    );
    stream.once('readable', () => controller.abort());
    expect((await bitsError(upload.start())).code).to.equal('BITS_ERR_ABORTED');
  });

  it('fails with the error of a stream that failed before the reply came', async () => {
    const cause = new Error('no such directory');
    const early = new PassThrough();
    const upload = await job({ reply: { to: early } }, { reply: () => 'answer' });
    early.destroy(cause);
    await new Promise((resolve) => early.on('close', resolve));
    expect(await bitsError(upload.start())).to.include({ code: 'BITS_ERR_ARGUMENT', cause });
    await server?.close();

    const late = new PassThrough();
    const sending = await job({ reply: { to: late } }, { reply: () => 'answer' });
    sending.once('state', () => late.destroy(cause));
    expect(await bitsError(sending.start())).to.include({ code: 'BITS_ERR_REPLY', cause });
  });
});
