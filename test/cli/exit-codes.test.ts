import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { EXIT, exitCodeOf } from '../../src/cli/exit-codes.js';
import type { Failure } from '../../src/cli/failure.js';

const failure = (code: Failure['code'], resumable = false): Failure => ({
  code,
  message: '',
  retryable: false,
  resumable,
});
const argument = failure('BITS_ERR_ARGUMENT');
const refused = failure('BITS_ERR_SERVER');
const credentials = failure('BITS_ERR_AUTH', true);
const unfinished = failure('BITS_ERR_TIMEOUT', true);
const changed = failure('BITS_ERR_SOURCE_CHANGED');
const busy = failure('BITS_ERR_STATE', true);

describe('the exit code', () => {
  it('is listed in docs/cli.md', async () => {
    const page = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
    const [, table = ''] = /\| Code \| Meaning \|\n.*\n((?:\|.*\n)+)/.exec(page) ?? [];
    const listed = table.match(/(?<=^\| `)\d+/gm);
    expect(listed?.map(Number)).to.deep.equal(Object.values(EXIT));
  });

  for (const [failures, files, code, why] of [
    [[], 2, 0, 'everything is done'],
    [[refused], 1, 1, 'an upload failed'],
    [[argument, argument], 2, 2, 'nothing was sent'],
    [[argument], 2, 3, 'another file was sent'],
    [[changed], 2, 3, 'only some files are stored'],
    [[credentials], 1, 4, 'credentials are missing, although the upload can be resumed'],
    [[unfinished], 2, 5, 'resuming is all that is left to do'],
    [[changed], 1, 6, 'the file changed'],
    [[busy], 1, 1, 'another process uploads the file'],
    [[unfinished, refused], 2, 1, 'resuming does not upload all files'],
    [[unfinished, changed], 2, 6, 'a file has to be uploaded again'],
    [[refused, credentials, unfinished], 3, 4, 'without credentials nothing works'],
  ] as const) {
    it(`is ${code} when ${why}`, () => {
      expect(exitCodeOf(failures, files)).to.equal(code);
    });
  }
});
