import { expect } from 'chai';
import { Hosts } from '../../src/cli/commands/hosts.js';
import type { Failure } from '../../src/cli/failure.js';
import { BitsTransportError } from '../../src/index.js';

const A = 'http://a.example/in/1';
const B = 'http://b.example:8080/in/1';
const failure = (code: string, status?: number): Failure => ({
  code,
  message: '',
  retryable: false,
  status,
});
const unreachable = failure('BITS_ERR_TRANSPORT');

/** Whether another attempt is made after one that got no answer. */
function isRetried(hosts: Hosts, url: string, { answered = false, delayMs = 0 } = {}) {
  const { retry, onRequest, onResponse } = hosts.of(url).watched({});
  onRequest?.({} as never);
  if (answered) onResponse?.({} as never);
  const error = new BitsTransportError('x');
  return retry?.shouldRetry?.({ attempt: 1, delayMs, error });
}

describe('the hosts of a command', () => {
  it('are waited for until the limit, unless they have answered', () => {
    const hosts = new Hosts(1000);
    expect(isRetried(hosts, A, { delayMs: 900 })).to.equal(true);
    expect(isRetried(hosts, A, { delayMs: 1001 })).to.equal(false);
    expect(isRetried(hosts, A, { delayMs: 1001, answered: true })).to.equal(true);
    hosts.ended(A, undefined);
    expect(isRetried(hosts, A, { delayMs: 1001 })).to.equal(true);
  });

  it('get one attempt after an upload that did not reach them, and none after two', () => {
    const hosts = new Hosts(1000);
    hosts.ended(A, unreachable);
    expect(isRetried(hosts, A)).to.equal(false);
    expect(isRetried(hosts, B)).to.equal(true);
    expect(hosts.reasonToSkip(A)).to.equal(undefined);
    hosts.ended(A, unreachable);
    expect(hosts.reasonToSkip(A)).to.include({ code: 'BITS_ERR_TRANSPORT' });
    expect(hosts.reasonToSkip(B)).to.equal(undefined);
  });

  it('are waited for again when one has answered in the meantime', () => {
    const hosts = new Hosts(1000);
    hosts.ended(A, unreachable);
    expect(isRetried(hosts, A, { answered: true })).to.equal(true);
    hosts.ended(A, failure('BITS_ERR_SERVER', 403));
    hosts.ended(A, unreachable);
    expect(hosts.reasonToSkip(A)).to.equal(undefined);
  });

  it('get nothing more when they refuse the credentials', () => {
    const hosts = new Hosts(1000);
    hosts.ended(A, failure('BITS_ERR_AUTH', 401));
    expect(hosts.reasonToSkip(A)?.message).to.equal(
      'not attempted: a.example refuses the credentials, or requires some',
    );
    expect(hosts.reasonToSkip(B)).to.equal(undefined);
  });

  it('all get nothing more when the proxy refuses the credentials', () => {
    const hosts = new Hosts(1000);
    hosts.ended(A, failure('BITS_ERR_AUTH', 407));
    for (const url of [A, B]) expect(hosts.reasonToSkip(url)?.message).to.contain('the proxy');
  });
});
