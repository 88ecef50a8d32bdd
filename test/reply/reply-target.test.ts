import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { WritableStream } from 'node:stream/web';
import { expect } from 'chai';
import { BitsArgumentError } from '../../src/errors.js';
import type { ReplyOption } from '../../src/reply/reply-option.js';
import { checkReplyTarget, createReplySink } from '../../src/reply/reply-target.js';
import { bitsError } from '../transport/support.js';
import { resolved } from './support.js';

describe('createReplySink', () => {
  it('gives a job the same sink for the same stream, and another job a new one', () => {
    const reply = resolved({ to: new PassThrough() });
    const sink = createReplySink(reply, 'job-1');
    expect(createReplySink(reply, 'job-1')).to.equal(sink);
    expect(createReplySink(reply, 'job-2')).to.not.equal(sink);
  });
});

describe('checkReplyTarget', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'reply-target-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const check = (option: ReplyOption) => checkReplyTarget(resolved(option), 'job-1');

  it('accepts what can work, and leaves no trace', async () => {
    await check(true);
    await check({ maxBytes: 10 });
    await check({ to: new PassThrough() });
    await check({ to: new WritableStream() });
    await check({ to: join(directory, 'new.bin') });
    const present = join(directory, 'old.bin');
    await writeFile(present, 'old');
    await check({ to: present, overwrite: true });
  });

  it('refuses a target that exists, unless it may be overwritten', async () => {
    const to = join(directory, 'old.bin');
    await writeFile(to, 'old');
    const error = await bitsError(check({ to }));
    expect(error).to.be.instanceOf(BitsArgumentError);
    expect(error.message).to.include(to).and.include('overwrite: true');
  });

  it('refuses a missing directory, a directory as the target, and a device', async () => {
    for (const to of [join(directory, 'no', 'x'), join(directory, 'file', 'x')]) {
      await writeFile(join(directory, 'file'), '');
      expect(await bitsError(check({ to, overwrite: true }))).to.be.instanceOf(BitsArgumentError);
    }
    for (const to of [directory, '/dev/null']) {
      expect(await bitsError(check({ to, overwrite: true }))).to.be.instanceOf(BitsArgumentError);
    }
  });

  it('refuses a stream that takes nothing more', async () => {
    const ended = new PassThrough();
    ended.end();
    const locked = new WritableStream();
    locked.getWriter();
    const ours = new WritableStream();
    createReplySink(resolved({ to: ours }), 'job-1');
    await check({ to: ours });
    for (const stream of [ended, new PassThrough().destroy(), locked]) {
      expect(await bitsError(check({ to: stream }))).to.be.instanceOf(BitsArgumentError);
    }
  });
});
