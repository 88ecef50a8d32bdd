import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { expect } from 'chai';
import { Client } from 'undici';
import { isDeclared, loadUndici } from '../../src/transport/load-undici.js';

describe('loadUndici', () => {
  it('finds the Client in its place in the installed version, and it is the very same', async () => {
    const require = createRequire(import.meta.url);
    expect(require('undici/lib/dispatcher/client.js')).to.equal(Client);
    expect(isDeclared(require('undici/package.json').version)).to.equal(true);
    expect(await loadUndici()).to.equal(Client);
  });

  for (const [title, found] of [
    ['is not there', undefined],
    ['is something else', { default: Client }],
  ] as const) {
    it(`takes the whole package when the part ${title}`, async () => {
      expect(await loadUndici(() => found)).to.equal(Client);
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
