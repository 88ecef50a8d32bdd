import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { createElectronTransport } from '../../src/electron.js';
import { createFetchTransport, createUndiciTransport, type Transport } from '../../src/index.js';
import { standInNet } from '../support/electron/net.js';
import { standInFetch } from '../support/electron/net-fetch.js';
import {
  ChromiumNetwork,
  EXAMPLE,
  launchChromium,
  needsChromium,
  needsExample,
} from './chromium.js';

interface SmokeResult {
  readonly upload: string;
  readonly transport: string;
  readonly result: string;
}

type RunSmoke = (
  transports: Record<string, Transport>,
  onResult: (result: SmokeResult) => void,
) => Promise<void>;

describe("The example's smoke test", () => {
  let browser: Browser;
  let network: ChromiumNetwork;

  before(async function () {
    needsChromium(this);
    needsExample(this);
    browser = await launchChromium();
    network = await ChromiumNetwork.open(browser);
  });

  after(() => browser?.close());

  it('makes twelve uploads over each transport, and each is as it should be', async () => {
    const { href } = new URL('smoke/smoke.js', EXAMPLE);
    const { runSmoke } = (await import(href)) as { runSmoke: RunSmoke };
    const net = standInNet(network.start);
    const results: SmokeResult[] = [];
    const transports = {
      'net.request': createElectronTransport({ net }),
      'net.fetch': createFetchTransport(standInFetch(net)),
      undici: createUndiciTransport(),
    };
    await runSmoke(transports, (result) => results.push(result));
    expect(results.filter(({ result }) => result !== 'ok')).to.deep.equal([]);
    // Where a redirect leads is hidden from net.fetch.
    expect(results).to.have.lengthOf(3 * 12 - 1);
  }).timeout(120_000);
});
