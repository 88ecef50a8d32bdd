import { mkdir, realpath, symlink } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { resolveBelow } from '../../src/testing/paths.js';
import { useTempDir } from '../support/files.js';
import { skipWithoutLinks } from '../support/skip.js';

describe('the file of a URL path', () => {
  const folder = useTempDir();
  let root: string;
  beforeEach(async () => {
    root = await realpath(folder.path);
  });

  it('is found while another upload creates its directories', async () => {
    for (let round = 0; round < 300; round += 1) {
      const segments = [`${round}`, 'a', 'b', 'file.bin'];
      const made = mkdir(path.join(root, ...segments.slice(0, -1)), { recursive: true });
      const found = Array.from({ length: 4 }, () => resolveBelow(root, segments));
      expect(await Promise.all(found)).to.deep.equal(Array(4).fill(path.join(root, ...segments)));
      await made;
    }
  });

  it('is not the target of a link that leads to nothing', async function () {
    skipWithoutLinks(this);
    await symlink(path.join(root, 'nothing'), path.join(root, 'link'));
    expect(await resolveBelow(root, ['link', 'file.bin'])).to.equal(undefined);
  });
});
