import { expect } from 'chai';
import { type BitsError, BitsServerError, BitsTransportError } from '../../src/errors.js';
import type { UploadOptions } from '../../src/job/options.js';
import {
  type Attempt,
  GIVEN_UP_MS,
  type HostFailure,
  Hosts,
  REFUSED_MS,
} from '../../src/queue/hosts.js';

const A = 'http://a.example/in/1';
const B = 'http://b.example:8080/in/1';
const failure = (code: string, status?: number): HostFailure => ({
  code,
  retryable: false,
  status,
});
const unreachable = failure('BITS_ERR_TRANSPORT');
const noAnswer = new BitsTransportError('x');
const busy = new BitsServerError('x', { status: 503 });

/** Whether another attempt is made after one that failed so. */
function isRetried(attempt: Attempt, delayMs = 0, error: BitsError = noAnswer) {
  return attempt.watched({}).retry?.shouldRetry?.({ attempt: 1, delayMs, error });
}

describe('the hosts of many uploads', () => {
  let nowMs: number;
  let hosts: Hosts;
  const to = (url: string, options: Partial<UploadOptions> = {}) =>
    hosts.attempt({ ...options, url });

  beforeEach(() => {
    nowMs = 0;
    hosts = new Hosts({ unreachableAfterMs: 1000, now: () => nowMs });
  });

  it('are waited for until the limit, unless they have answered', () => {
    const first = to(A);
    first.entered('create-session');
    nowMs = 100;
    expect(isRetried(first, 900)).to.equal(true);
    expect(isRetried(first, 901)).to.equal(false);
    first.entered('fragment');
    expect(isRetried(first, 901)).to.equal(true);
    expect(isRetried(to(A), 5000)).to.equal(true);
  });

  it('have answered also when they are too busy', () => {
    const first = to(A);
    first.entered('create-session');
    expect(isRetried(first, 5000, busy)).to.equal(true);
    expect(isRetried(first, 5000)).to.equal(true);
  });

  it('get one attempt after an upload that did not reach them, and none after two', () => {
    to(A).ended(unreachable);
    const second = to(A);
    expect(isRetried(second)).to.equal(false);
    expect(isRetried(to(B))).to.equal(true);
    expect(second.reasonToSkip).to.equal(undefined);
    second.ended(unreachable);
    expect(to(A).reasonToSkip).to.include({ code: 'BITS_ERR_TRANSPORT' });
    expect(to(A).reasonToSkip?.message).to.equal(
      'not begun: a.example did not respond to the uploads before',
    );
    expect(to(B).reasonToSkip).to.equal(undefined);
  });

  it('are waited for again when one has answered in the meantime', () => {
    to(A).ended(unreachable);
    to(A).ended(failure('BITS_ERR_SERVER', 403));
    to(A).ended(unreachable);
    expect(to(A).reasonToSkip).to.equal(undefined);
  });

  it('get one upload again, alone and once, a while after they were given up', () => {
    const answered = to(A);
    answered.entered('fragment');
    answered.ended();
    const giveUp = () => to(A).ended(unreachable);
    giveUp();
    giveUp();
    nowMs = GIVEN_UP_MS - 1;
    expect(to(A).reasonToSkip).to.be.an('error');
    nowMs = GIVEN_UP_MS;
    const [first, second] = [to(A), to(A)];
    expect(first.reasonToSkip).to.equal(undefined);
    first.begins();
    expect(second.mayBegin).to.equal(false);
    expect(isRetried(first)).to.equal(false);
    first.ended(unreachable);
    expect(second.reasonToSkip).to.be.an('error');
    nowMs = 2 * GIVEN_UP_MS;
    second.begins();
    second.entered('fragment');
    second.ended();
    giveUp();
    expect(to(A).reasonToSkip).to.equal(undefined);
  });

  it('are given up no more as soon as one has answered', () => {
    const running = to(A);
    for (let uploads = 0; uploads < 2; uploads++) to(A).ended(unreachable);
    expect(to(A).reasonToSkip).to.be.an('error');
    running.entered('fragment');
    expect(to(A).reasonToSkip).to.equal(undefined);
  });

  for (const status of [401, 407]) {
    it(`get credentials again 15 minutes after they were refused with ${status}`, () => {
      const auth = { credentials: { username: 'mallory', password: 'guess' } };
      to(A, { auth }).ended(failure('BITS_ERR_AUTH', status));
      nowMs = REFUSED_MS - 1;
      expect(to(A, { auth }).reasonToSkip).to.be.an('error');
      nowMs = REFUSED_MS;
      expect(to(A, { auth }).reasonToSkip).to.equal(undefined);
    });
  }

  it('get nothing more with the credentials that they refuse', () => {
    const auth = () => ({ credentials: { username: 'mallory', password: 'guess' } });
    to(A, { auth: auth() }).ended(failure('BITS_ERR_AUTH', 401));
    const { reasonToSkip } = to(A, { auth: auth() });
    expect(reasonToSkip).to.include({ code: 'BITS_ERR_AUTH' });
    expect(reasonToSkip?.message).to.equal(
      'not begun: a.example refuses the credentials, or requires some',
    );
    expect(to(B, { auth: auth() }).reasonToSkip).to.equal(undefined);
    const other = { credentials: { username: 'alice', password: 'right' } };
    expect(to(A, { auth: other }).reasonToSkip).to.equal(undefined);
  });

  it('get nothing more with the Authorization header that they refuse', () => {
    const headers = { Authorization: 'Bearer old' };
    to(A, { headers }).ended(failure('BITS_ERR_AUTH', 401));
    expect(to(A, { headers: [['authorization', 'Bearer old']] }).reasonToSkip).to.be.an('error');
    const newer = { Authorization: 'Bearer new' };
    expect(to(A, { headers: newer }).reasonToSkip).to.equal(undefined);
  });

  it('all get nothing more through a proxy that refuses the credentials', () => {
    to(A).ended(failure('BITS_ERR_AUTH', 407));
    for (const url of [A, B]) expect(to(url).reasonToSkip?.message).to.contain('the proxy');
    expect(to(A, { proxy: false }).reasonToSkip).to.equal(undefined);
  });

  it('get one upload alone, until they have answered it', () => {
    const [first, second, elsewhere] = [to(A), to(A), to(B)];
    expect(first.mayBegin).to.equal(true);
    first.begins();
    expect([first.mayBegin, second.mayBegin, elsewhere.mayBegin]).to.deep.equal([
      true,
      false,
      true,
    ]);
    first.entered('create-session');
    expect(second.mayBegin).to.equal(false);
    first.entered('fragment');
    expect(second.mayBegin).to.equal(true);
  });

  it('get another upload when the first one rests or ends without an answer', () => {
    const [first, second, third] = [to(A), to(A), to(A)];
    first.begins();
    first.ended();
    expect(second.mayBegin).to.equal(true);
    second.begins();
    expect(third.mayBegin).to.equal(false);
    second.ended(failure('BITS_ERR_SOURCE'));
    expect(third.mayBegin).to.equal(true);
  });

  it('leave the last word on a retry to the caller', () => {
    const asked: number[] = [];
    const shouldRetry = ({ delayMs }: { delayMs: number }) => {
      asked.push(delayMs);
      return false;
    };
    const attempt = to(A);
    const { retry } = attempt.watched({ retry: { shouldRetry, limit: 3 } });
    expect(retry?.limit).to.equal(3);
    expect(retry?.shouldRetry?.({ attempt: 1, delayMs: 7, error: busy })).to.equal(false);
    expect(asked).to.deep.equal([7]);
  });
});
