import { createRequire } from 'node:module';
import { expect } from 'chai';
import { buildConnector, Pool } from 'undici';
import { loadUndici, requireUndici } from '../../src/transport/load-undici.js';

describe('loading undici', () => {
  it('finds the parts in their places in the installed version, and they are the very same', () => {
    const require = createRequire(import.meta.url);
    const found: unknown[] = [];
    const parts = requireUndici((specifier) => {
      const part = require(specifier);
      found.push(part);
      return part;
    });
    expect(found).to.deep.equal([Pool, buildConnector]);
    expect(parts).to.deep.equal({ Pool, buildConnector });
    expect(requireUndici()).to.deep.equal({ Pool, buildConnector });
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
    it(`does without the parts when they ${title}`, () => {
      expect(requireUndici(load)).to.equal(null);
    });
  }

  it('takes the whole package without them', async () => {
    expect(await loadUndici(null)).to.deep.equal({ Pool, buildConnector });
  });
});
