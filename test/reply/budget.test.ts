import { expect } from 'chai';
import { ReplyBudget } from '../../src/reply/budget.js';

const minutes = 60_000;

/** The error that ends a series of events, and how many of them there were. */
function end(limit: number, event: (count: number) => void): { code: string; count: number } {
  for (let count = 1; count <= limit; count++) {
    try {
      event(count);
    } catch (error) {
      const { code, retryable } = error as { code: string; retryable: boolean };
      expect(retryable).to.equal(false);
      return { code, count };
    }
  }
  return { code: 'none', count: limit };
}

describe('the budget of a reply', () => {
  it('ends a reply of which a byte comes now and then', () => {
    const budget = new ReplyBudget(10 * minutes);
    const { code, count } = end(1000, () => budget.received(1, minutes));
    expect(code).to.equal('BITS_ERR_TIMEOUT');
    expect(count).to.be.within(10, 11);
  });

  it('ends such a reply also after megabytes came fast', () => {
    const budget = new ReplyBudget(10 * minutes);
    budget.received(900 * 1024 ** 2, 1000);
    budget.kept(900 * 1024 ** 2);
    expect(end(1000, () => budget.received(1, minutes)).count).to.be.within(10, 11);
  });

  it('does not end a large reply on a slow line', () => {
    const budget = new ReplyBudget(10 * minutes);
    // 300 bytes per second, for 40 days.
    const { code } = end(115_200, (count) => {
      budget.received(9000, 30_000);
      budget.kept(9000 * count);
    });
    expect(code).to.equal('none');
  });

  it('does not end a reply for one long wait, as after a night of sleep', () => {
    const budget = new ReplyBudget(10 * minutes);
    budget.received(100, 8 * 60 * minutes);
    budget.received(100_000, 10);
    budget.received(100, 8 * 60 * minutes);
  });

  it('ends a reply that is sent from its beginning again and again', () => {
    const budget = new ReplyBudget(10 * minutes);
    const replyBytes = 10 * 1024 ** 2;
    const { code, count } = end(1000, () => {
      budget.received(replyBytes, 1000);
      budget.kept(replyBytes);
    });
    expect(code).to.equal('BITS_ERR_REPLY');
    expect(count).to.equal(Math.floor((8 * replyBytes + 64 * 1024 ** 2) / replyBytes) + 1);
  });

  it('ends a reply that comes one byte an answer', () => {
    const budget = new ReplyBudget(10 * minutes);
    const { code, count } = end(100_000, (answers) => {
      budget.answered();
      budget.received(1, 1);
      budget.kept(answers);
    });
    expect(code).to.equal('BITS_ERR_REPLY');
    expect(count).to.be.below(1100);
  });

  it('does not end a reply that comes in one large piece', () => {
    const budget = new ReplyBudget(10 * minutes);
    budget.answered();
    budget.received(1024 ** 3, 1000);
    budget.kept(1024 ** 3);
  });

  it('does not end a reply that is cut every 64 KiB and resumed', () => {
    const budget = new ReplyBudget(10 * minutes);
    const { code } = end(16_384, (cuts) => {
      budget.answered();
      budget.received(64 * 1024, 100);
      budget.kept(64 * 1024 * cuts);
    });
    expect(code).to.equal('none');
  });
});
