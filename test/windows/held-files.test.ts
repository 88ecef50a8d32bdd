import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { replaceFile } from '../../src/common/atomic-file.js';
import { whenFree } from '../../src/common/when-free.js';
import { UploadJob } from '../../src/index.js';
import { fileSource } from '../../src/source/file.js';
import { createFileStore } from '../../src/store/file.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { failureOf, jobRecord } from '../store/records.js';
import { useTempDir } from '../support/files.js';
import { describeOnWindows } from '../support/skip.js';

/** libuv's flag on Windows that keeps everybody else from the file, as some virus scanners do. */
const ALONE = 0x1000_0000;

/** Longer than a first attempt takes, and much shorter than patience. */
const MOMENT_MS = 150;

describe('work on a file that is not free', () => {
  const failing = (...codes: string[]) => {
    let attempts = 0;
    return async () => {
      attempts++;
      const code = codes.shift();
      if (code !== undefined) throw Object.assign(new Error(code), { code });
      return attempts;
    };
  };

  it('is tried again while the file is busy', async () => {
    expect(await whenFree(failing('EBUSY', 'EBUSY'), 'linux')).to.equal(3);
    expect(await whenFree(failing('EBUSY', 'EPERM'), 'win32')).to.equal(3);
  });

  it('is not tried again without permission, except on Windows, where that is no difference', async () => {
    expect(await failureOf(whenFree(failing('EPERM'), 'linux'))).to.include({ code: 'EPERM' });
  });

  it('is not tried again when it can never succeed', async () => {
    for (const code of ['ENOENT', 'ENOSPC', 'EROFS']) {
      expect(await failureOf(whenFree(failing(code), 'win32'))).to.include({ code });
    }
  });
});

describeOnWindows('on Windows, a file that another program has open', () => {
  const dir = useTempDir();
  const at = (name: string) => join(dir.path, name);

  const hold = (path: string): Promise<FileHandle> => open(path, constants.O_RDWR | ALONE);
  const holdForAMoment = async (path: string, flags = constants.O_RDWR | ALONE) => {
    const handle = await open(path, flags);
    setTimeout(() => handle.close(), MOMENT_MS);
  };

  it('is held against everybody else in these tests', async () => {
    await writeFile(at('file'), 'old');
    const holder = await hold(at('file'));
    try {
      expect(await failureOf(readFile(at('file')))).to.include({ code: 'EBUSY' });
    } finally {
      await holder.close();
    }
  });

  for (const [how, flags] of [
    ['that keeps others from it', constants.O_RDWR | ALONE],
    ['that shares it', constants.O_RDONLY],
  ] as const) {
    it(`is replaced once a program is done ${how}`, async () => {
      await writeFile(at('file'), 'old');
      await holdForAMoment(at('file'), flags);
      await replaceFile(at('file'), 'new');
      expect(await readFile(at('file'), 'utf8')).to.equal('new');
      expect(await readdir(dir.path)).to.deep.equal(['file']);
    });
  }

  it('stays as it was, and nothing is left beside it, when it does not become free', async () => {
    await writeFile(at('file'), 'old');
    const holder = await hold(at('file'));
    try {
      const { code } = (await failureOf(replaceFile(at('file'), 'new'))) as NodeJS.ErrnoException;
      expect(code).to.be.oneOf(['EBUSY', 'EPERM']);
    } finally {
      await holder.close();
    }
    expect(await readFile(at('file'), 'utf8')).to.equal('old');
    expect(await readdir(dir.path)).to.deep.equal(['file']);
  });

  describe('and that is a job record', () => {
    const store = () => createFileStore({ directory: dir.path });
    const record = jobRecord();
    const path = () => at(`${record.key}.json`);

    beforeEach(() => store().save(record));

    it('is read, replaced and removed once it is free', async () => {
      await holdForAMoment(path());
      expect(await store().load(record.key)).to.deep.equal(record);
      const newer = { ...record, updatedAtMs: 3 };
      await holdForAMoment(path());
      await store().save(newer);
      await holdForAMoment(path());
      expect(await store().list()).to.deep.equal({ records: [newer], problems: [] });
      await holdForAMoment(path());
      await store().remove(record.key);
      expect(await store().list()).to.deep.equal({ records: [], problems: [] });
    });

    it('is kept, and the error says what to do, when it does not become free', async () => {
      const holder = await hold(path());
      try {
        const error = await failureOf(store().save({ ...record, updatedAtMs: 3 }));
        expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'unavailable' });
        expect(error.message).to.include(path()).and.include('another program has it open');
      } finally {
        await holder.close();
      }
      expect(await store().load(record.key)).to.deep.equal(record);
    });

    it('can be damaged, and is set aside once it is free', async () => {
      await writeFile(path(), '{');
      await holdForAMoment(path());
      const { problems } = await store().list();
      expect(problems.map(({ where }) => where)).to.deep.equal([`${path()}.unreadable-1`]);
    });
  });

  describe('and that is to be uploaded', () => {
    let server: BitsServer;
    beforeEach(async () => {
      server = await createBitsServer();
      await writeFile(at('data.bin'), 'content');
    });
    afterEach(() => server.close());

    it('is uploaded while another program reads and writes it, but does not lock it', async () => {
      const writer = await open(at('data.bin'), 'r+');
      try {
        await new UploadJob({ url: `${server.url}x`, source: at('data.bin') }).start();
      } finally {
        await writer.close();
      }
      expect(await readFile(join(server.root, 'x'), 'utf8')).to.equal('content');
    });

    it('is refused with an error that may pass when another program locks it', async () => {
      const holder = await hold(at('data.bin'));
      try {
        const error = await failureOf(fileSource(at('data.bin')).open());
        expect(error).to.include({ code: 'BITS_ERR_SOURCE', retryable: true });
        expect(error.message).to.include('another program has locked it');
      } finally {
        await holder.close();
      }
    });

    it('receives its reply over a file that another program reads for a moment', async () => {
      await server.close();
      server = await createBitsServer({ reply: () => 'answer' });
      await writeFile(at('reply'), 'old');
      await holdForAMoment(at('reply'), constants.O_RDONLY);
      const reply = { to: at('reply'), overwrite: true };
      await new UploadJob({ url: `${server.url}x`, source: at('data.bin'), reply }).start();
      expect(await readFile(at('reply'), 'utf8')).to.equal('answer');
    });
  });
});
