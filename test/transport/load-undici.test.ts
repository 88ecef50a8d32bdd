import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { expect } from 'chai';
import { buildConnector, Pool } from 'undici';
import { isDeclared, loadUndici } from '../../src/transport/load-undici.js';

describe('loadUndici', () => {
  it('finds the parts in their places in the installed version, and they are the very same', async () => {
    const require = createRequire(import.meta.url);
    expect(require('undici/lib/dispatcher/pool.js')).to.equal(Pool);
    expect(require('undici/lib/core/connect.js')).to.equal(buildConnector);
    expect(isDeclared(require('undici/package.json').version)).to.equal(true);
    expect(await loadUndici()).to.deep.equal({ Pool, buildConnector });
  });

  for (const [title, found] of [
    ['are not there', {}],
    [
      'are something else',
      { Pool: { default: Pool }, buildConnector: { default: buildConnector } },
    ],
  ] as const) {
    it(`takes the whole package when the parts ${title}`, async () => {
      expect(await loadUndici(() => found)).to.deep.equal({ Pool, buildConnector });
    });
  }

  it('knows the versions that package.json declares', async () => {
    const { dependencies } = JSON.parse(await readFile('package.json', 'utf8'));
    expect(dependencies.undici).to.equal('^7.30.0 || ^8.0.0');
    for (const version of ['7.30.0', '7.41.2', '8.0.0', '8.12.1']) {
      expect(isDeclared(version), version).to.equal(true);
    }
    for (const version of ['5.29.0', '6.30.0', '7.29.9', '9.0.0', '70.30.0', '']) {
      expect(isDeclared(version), version).to.equal(false);
    }
  });
});
