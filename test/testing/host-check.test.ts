import { expect } from 'chai';
import { isForThisServer } from '../../src/testing/host-check.js';
import type { Exchange } from '../../src/testing/http1-connection.js';
import type { ServerState } from '../../src/testing/server-state.js';

describe('a server that listens on all addresses', () => {
  /** A request to an address of this machine. */
  function isAccepted(localAddress: string, headers: Record<string, string>, host = '0.0.0.0') {
    const exchange = { req: { headers, url: '/f' }, connection: { localAddress } };
    const state = { options: { host, allowedHosts: [] }, hostIds: [] };
    return isForThisServer(exchange as unknown as Exchange, state as unknown as ServerState);
  }

  it('answers other machines by whatever name they know it', () => {
    expect(isAccepted('192.0.2.1', { host: 'bits.corp.example' })).to.equal(true);
    expect(isAccepted('::ffff:192.0.2.1', { host: 'bits.corp.example' }, '::')).to.equal(true);
    expect(isAccepted('192.0.2.1', { host: 'no host' })).to.equal(false);
  });

  it('refuses what a web page sends by a name that is not known', () => {
    const headers = { host: 'evil.example', origin: 'http://evil.example' };
    expect(isAccepted('192.0.2.1', headers)).to.equal(false);
  });

  it('answers clients on this machine only by names that are known', () => {
    expect(isAccepted('127.0.0.1', { host: 'evil.example' })).to.equal(false);
    expect(isAccepted('::1', { host: 'evil.example' }, '::')).to.equal(false);
    expect(isAccepted('127.0.0.1', { host: 'localhost' })).to.equal(true);
  });

  it('checks names as ever when it listens on one address', () => {
    expect(isAccepted('192.0.2.1', { host: 'evil.example' }, '192.0.2.1')).to.equal(false);
  });
});
