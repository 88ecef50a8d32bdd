import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { WritableStream } from 'node:stream/web';
import { expect } from 'chai';
import { BitsArgumentError } from '../../src/errors.js';
import {
  checkReplyTarget,
  createReplySink,
  MAX_REPLY_DATA_BYTES,
  type ReplyOption,
} from '../../src/reply/sink.js';
import { rejection } from './support.js';

const context = { id: 'job-1', sha256: false };

describe('createReplySink', () => {
  it('keeps a reply in memory up to 1 MiB by default', async () => {
    const sink = createReplySink(true, context);
    await sink.open(0);
    sink.expect(MAX_REPLY_DATA_BYTES);
    expect(() => sink.expect(MAX_REPLY_DATA_BYTES + 1)).to.throw(/\{ file: … \}/);
  });

  it('gives a job the same sink for the same stream, and another job a new one', () => {
    const stream = new PassThrough();
    const sink = createReplySink(stream, context);
    expect(createReplySink(stream, context)).to.equal(sink);
    expect(createReplySink(stream, { ...context, id: 'job-2' })).to.not.equal(sink);
  });

  for (const option of [false, 'file', {}, { file: 7 }, { maxBytes: 0 }, { maxBytes: 1.5 }, null]) {
    it(`refuses ${JSON.stringify(option)}`, async () => {
      const given = option as unknown as ReplyOption;
      expect(() => createReplySink(given, context)).to.throw(BitsArgumentError);
      expect(await rejection(checkReplyTarget(given, 'job-1'))).to.be.instanceOf(BitsArgumentError);
    });
  }
});

describe('checkReplyTarget', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'reply-target-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const check = (option: ReplyOption) => checkReplyTarget(option, 'job-1');

  it('accepts what can work, and leaves no trace', async () => {
    await check(true);
    await check({ maxBytes: 10 });
    await check(new PassThrough());
    await check(new WritableStream());
    await check({ file: join(directory, 'new.bin') });
    const present = join(directory, 'old.bin');
    await writeFile(present, 'old');
    await check({ file: present, overwrite: true });
  });

  it('refuses a target that exists, unless it may be overwritten', async () => {
    const file = join(directory, 'old.bin');
    await writeFile(file, 'old');
    const error = await rejection(check({ file }));
    expect(error).to.be.instanceOf(BitsArgumentError);
    expect(error.message).to.include(file).and.include('overwrite: true');
  });

  it('refuses a missing directory, a directory as the target, and a device', async () => {
    for (const file of [join(directory, 'no', 'x'), join(directory, 'file', 'x')]) {
      await writeFile(join(directory, 'file'), '');
      expect(await rejection(check({ file, overwrite: true }))).to.be.instanceOf(BitsArgumentError);
    }
    for (const file of [directory, '/dev/null', '']) {
      expect(await rejection(check({ file, overwrite: true }))).to.be.instanceOf(BitsArgumentError);
    }
  });

  it('refuses a stream that takes nothing more', async () => {
    const ended = new PassThrough();
    ended.end();
    const locked = new WritableStream();
    locked.getWriter();
    const ours = new WritableStream();
    createReplySink(ours, context);
    await check(ours);
    for (const stream of [ended, new PassThrough().destroy(), locked]) {
      expect(await rejection(check(stream))).to.be.instanceOf(BitsArgumentError);
    }
  });
});
