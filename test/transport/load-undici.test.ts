import { expect } from 'chai';
import { buildConnector, Pool } from 'undici';
import { loadUndici } from '../../src/transport/load-undici.js';

describe('loadUndici', () => {
  it('finds the parts in their places in the installed version, and they are the very same', async () => {
    const asked: string[] = [];
    const parts = await loadUndici((specifier) => {
      asked.push(specifier);
      return import(specifier);
    });
    expect(asked).to.deep.equal(['undici/lib/dispatcher/pool.js', 'undici/lib/core/connect.js']);
    for (const specifier of asked) await import(specifier);
    expect(parts).to.deep.equal({ Pool, buildConnector });
  });

  for (const [title, load] of [
    ['are not there', () => Promise.reject(new Error('ERR_PACKAGE_PATH_NOT_EXPORTED'))],
    ['are something else', () => Promise.resolve({ Pool })],
  ] as const) {
    it(`takes the whole package when the parts ${title}`, async () => {
      expect(await loadUndici(load)).to.deep.equal({ Pool, buildConnector });
    });
  }
});
