import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { ReplyDownload, type ReplyResumePoint } from '../../src/reply/download.js';
import { checkReplyTarget } from '../../src/reply/reply-target.js';
import { patterned, sha256 } from '../support/files.js';
import { httpFetch, never, ReplyHost, resolved } from './support.js';

const script = fileURLToPath(new URL('fixtures/download.ts', import.meta.url));
const bytes = patterned(400_000);
const etag = '"v1"';

describe('a process killed while it downloads a reply', () => {
  let host: ReplyHost;
  let directory: string;
  let file: string;

  beforeEach(async () => {
    host = await new ReplyHost((request, response) => {
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      response.writeHead(start === 0 ? 200 : 206, {
        ETag: etag,
        'Content-Length': bytes.byteLength - start,
        ...(start > 0 && { 'Content-Range': `bytes ${start}-399999/400000` }),
      });
      drip(response, bytes.subarray(start));
    }).start();
    directory = await mkdtemp(join(tmpdir(), 'reply-killed-'));
    file = join(directory, 'answer.bin');
  });
  afterEach(async () => {
    await host.stop();
    await rm(directory, { recursive: true });
  });

  // Slow enough for the download to secure a part of it, which it does once a second.
  function drip(response: ServerResponse, rest: Uint8Array): void {
    if (rest.byteLength === 0) response.end();
    else if (!response.destroyed) {
      response.write(rest.subarray(0, 10_000));
      setTimeout(drip, 50, response, rest.subarray(10_000));
    }
  }

  /** Runs until `enough`, kills with SIGKILL and gives what the process had said last. */
  async function runAndKill(
    saved: ReplyResumePoint | undefined,
    enough: (point: ReplyResumePoint | undefined) => boolean,
  ): Promise<ReplyResumePoint | undefined> {
    const args = ['--import', 'tsx', script, host.url.href, file, JSON.stringify(saved ?? null)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let last = saved;
    for await (const line of createInterface(child.stdout)) {
      const point = line === 'stored' ? undefined : (JSON.parse(line) as ReplyResumePoint);
      last = point ?? last;
      if (enough(point)) child.kill('SIGKILL');
    }
    await closed;
    return last;
  }

  it('leaves what the next one needs, whenever it dies', async () => {
    let saved = await runAndKill(undefined, () => true);
    expect(await readdir(directory)).to.not.include('answer.bin');

    saved = await runAndKill(saved, (point) => (point?.receivedBytes ?? 0) > 0);
    expect(await readdir(directory)).to.not.include('answer.bin');

    saved = await runAndKill(saved, (point) => point === undefined);
    const resumed = host.seen.at(-1);
    expect(resumed?.ifRange).to.equal(etag);
    expect(Number(/\d+/.exec(resumed?.range ?? '')?.[0])).to.be.greaterThan(0);
    expect(await readFile(file)).to.deep.equal(bytes);

    const requests = host.seen.length;
    await checkReplyTarget(resolved({ to: file }), 'job-1');
    const last = new ReplyDownload({
      signal: never,
      id: 'job-1',
      reply: resolved({ to: file, sha256: true }),
      candidates: host.candidates(),
      fetch: httpFetch,
      slowLimitMs: 60_000,
      saved,
    });
    expect((await last.attempt()).sha256).to.equal(sha256(bytes));
    await last.close({ keepPartial: false });
    expect(host.seen).to.have.length(requests);
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
  });
});
