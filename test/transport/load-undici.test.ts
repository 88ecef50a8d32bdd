import { createRequire } from 'node:module';
import { expect } from 'chai';
import { buildConnector, Pool } from 'undici';
import { loadUndici } from '../../src/transport/load-undici.js';

describe('loadUndici', () => {
  it('finds the parts in their places in the installed version, and they are the very same', async () => {
    const require = createRequire(import.meta.url);
    const found: unknown[] = [];
    const parts = await loadUndici((specifier) => {
      const part = require(specifier);
      found.push(part);
      return part;
    });
    expect(found).to.deep.equal([Pool, buildConnector]);
    expect(parts).to.deep.equal({ Pool, buildConnector });
    expect(await loadUndici()).to.deep.equal({ Pool, buildConnector });
  });

  for (const [title, load] of [
    [
      'are not there',
      () => {
        throw new Error('ERR_PACKAGE_PATH_NOT_EXPORTED');
      },
    ],
    ['are something else', () => ({ default: Pool })],
  ] as const) {
    it(`takes the whole package when the parts ${title}`, async () => {
      expect(await loadUndici(load)).to.deep.equal({ Pool, buildConnector });
    });
  }
});
