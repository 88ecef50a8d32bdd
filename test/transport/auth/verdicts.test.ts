import { inspect } from 'node:util';
import { expect } from 'chai';
import { Trial, VERDICT_MS, Verdicts } from '../../../src/transport/auth/verdicts.js';
import { bitsError } from '../support.js';
import { peer } from './schemes.js';

const SECRET = 'hunter2-secret';
const HERE = peer();
const THERE = peer({ title: 'other.example' });

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('the verdicts on secrets', () => {
  let nowMs: number;
  let verdicts: Verdicts;
  beforeEach(() => {
    nowMs = 1_000_000;
    verdicts = new Verdicts(() => nowMs);
  });

  it('are kept for each peer and each secret', () => {
    verdicts.set(HERE, SECRET, 'refused');
    expect(verdicts.of(HERE, SECRET)).to.equal('refused');
    expect(verdicts.of(THERE, SECRET)).to.equal(undefined);
    expect(verdicts.of(HERE, 'another')).to.equal(undefined);
    expect([verdicts.hasRefusals(HERE), verdicts.hasRefusals(THERE)]).to.deep.equal([true, false]);
    verdicts.set(HERE, SECRET, 'accepted');
    expect(verdicts.of(HERE, SECRET)).to.equal('accepted');
    expect(verdicts.hasRefusals(HERE)).to.equal(false);
  });

  it('expire, also when the clock is set back', () => {
    verdicts.set(HERE, SECRET, 'refused');
    nowMs += VERDICT_MS - 1;
    expect(verdicts.of(HERE, SECRET)).to.equal('refused');
    nowMs += 1;
    expect([verdicts.of(HERE, SECRET), verdicts.hasRefusals(HERE)]).to.deep.equal([
      undefined,
      false,
    ]);
    verdicts.set(HERE, SECRET, 'refused');
    nowMs -= 1;
    expect(verdicts.of(HERE, SECRET)).to.equal(undefined);
  });

  it('are limited in number, and the oldest ones go first', () => {
    for (let i = 0; i < 300; i++) verdicts.set(HERE, `${i}`, 'refused');
    expect(verdicts.of(HERE, '0')).to.equal(undefined);
    expect(verdicts.of(HERE, '299')).to.equal('refused');
    for (let i = 0; i < 300; i++) verdicts.set(peer({ title: `${i}` }), SECRET, 'refused');
    expect(verdicts.hasRefusals(HERE)).to.equal(false);
    expect(verdicts.hasRefusals(peer({ title: '299' }))).to.equal(true);
  });

  it('contain no secret, and no hash that another process would make', () => {
    verdicts.set(HERE, SECRET, 'refused');
    const shown = inspect(verdicts, { depth: 9, showHidden: true });
    expect(shown).not.to.include('hunter2');
  });

  it('let one request at a time show a secret that nobody has judged', async () => {
    const [first, second, third] = [1, 2, 3].map(() => new Trial(HERE, verdicts));
    await first!.begin(SECRET, undefined);
    const waiting = [second!, third!].map((trial) => bitsError(trial.begin(SECRET, undefined)));
    // Other secrets and other peers are not concerned.
    await new Trial(HERE, verdicts).begin('another', undefined);
    await new Trial(THERE, verdicts).begin(SECRET, undefined);
    verdicts.set(HERE, SECRET, 'refused');
    first!.end();
    for (const error of await Promise.all(waiting)) {
      expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
      expect(error.message).to.match(/web\.corp\.example:8080 .*before.*not sent/);
      expect(error.message).to.include(`${VERDICT_MS / 60_000} minutes`);
    }
  });

  it('let everybody show a secret that was accepted', async () => {
    const first = new Trial(HERE, verdicts);
    await first.begin(SECRET, undefined);
    let entered = 0;
    for (let i = 0; i < 3; i++) {
      void new Trial(HERE, verdicts).begin(SECRET, undefined).then(() => entered++);
    }
    await nextTurn();
    expect(entered).to.equal(0);
    verdicts.set(HERE, SECRET, 'accepted');
    first.end();
    await nextTurn();
    expect(entered).to.equal(3);
  });

  it('do not keep a request waiting whose signal aborts', async () => {
    const first = new Trial(HERE, verdicts);
    await first.begin(SECRET, undefined);
    const aborting = new AbortController();
    const second = bitsError(new Trial(HERE, verdicts).begin(SECRET, aborting.signal));
    aborting.abort();
    expect((await second).code).to.equal('BITS_ERR_ABORTED');
    first.end();
    await new Trial(HERE, verdicts).begin(SECRET, undefined);
  });

  it('do not block a request that shows another secret after the first one', async () => {
    const [first, second] = [new Trial(HERE, verdicts), new Trial(HERE, verdicts)];
    await Promise.all([first.begin('a', undefined), second.begin('b', undefined)]);
    await Promise.all([first.begin('b', undefined), second.begin('a', undefined)]);
  });
});
