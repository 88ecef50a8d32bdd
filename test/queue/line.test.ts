import { expect } from 'chai';
import fc from 'fast-check';
import { Line, PRIORITIES, type Priority } from '../../src/queue/line.js';

const always = () => true;

/** What is done, one thing after the other, until there is nothing left to do. */
function turns(line: Line<string>, limit: number, mayStart = always as (item: string) => boolean) {
  const done: string[] = [];
  for (let turn = line.next(limit, mayStart); turn; turn = line.next(limit, mayStart)) {
    done.push(`${turn.type} ${turn.item}`);
  }
  return done;
}

describe('the line of a queue', () => {
  let line: Line<string>;
  beforeEach(() => {
    line = new Line();
  });

  it('starts by priority, then in the order in which they came', () => {
    line.add('n1', 'normal');
    line.add('l1', 'low');
    line.add('h1', 'high');
    line.add('n2', 'normal');
    line.add('f1', 'foreground');
    expect(turns(line, 9)).to.deep.equal(['f1', 'h1', 'n1', 'n2', 'l1'].map((it) => `start ${it}`));
  });

  it('runs no more at once than the limit', () => {
    for (const item of ['a', 'b', 'c']) line.add(item, 'normal');
    expect(turns(line, 2)).to.deep.equal(['start a', 'start b']);
    line.remove('a');
    expect(turns(line, 2)).to.deep.equal(['start c']);
  });

  it('stops none when the limit falls, and starts none until so many have ended', () => {
    for (const item of ['a', 'b', 'c']) line.add(item, 'normal');
    turns(line, 2);
    expect(turns(line, 1)).to.be.empty;
    line.remove('a');
    expect(turns(line, 1)).to.be.empty;
    line.remove('b');
    expect(turns(line, 1)).to.deep.equal(['start c']);
  });

  it('passes over those that something else holds back', () => {
    line.add('held', 'foreground');
    line.add('free', 'low');
    expect(turns(line, 1, (item) => item !== 'held')).to.deep.equal(['start free']);
  });

  it('suspends the low one that began last for a foreground one, and goes on with it first', () => {
    for (const item of ['l1', 'l2', 'l3']) line.add(item, 'low');
    turns(line, 2);
    line.add('f', 'foreground');
    expect(turns(line, 2)).to.deep.equal(['suspend l2']);
    line.move('l2', 'interrupted');
    expect(turns(line, 2)).to.deep.equal(['start f']);
    line.remove('f');
    expect(turns(line, 2)).to.deep.equal(['start l2']);
  });

  it('suspends as many low ones as there are foreground ones without a place', () => {
    for (const item of ['l1', 'l2', 'l3']) line.add(item, 'low');
    turns(line, 3);
    line.add('f1', 'foreground');
    line.add('f2', 'foreground');
    line.add('held', 'foreground');
    const mayStart = (item: string) => item !== 'held';
    expect(turns(line, 3, mayStart)).to.deep.equal(['suspend l3', 'suspend l2']);
  });

  for (const [urgent, running] of [
    ['high', 'low'],
    ['foreground', 'normal'],
  ] as const) {
    it(`lets a running ${running} one end before a ${urgent} one`, () => {
      line.add('running', running);
      turns(line, 1);
      line.add('urgent', urgent);
      expect(turns(line, 1)).to.be.empty;
    });
  }

  it('never has more at work than the limit, and starts each that is added, whatever happens', () => {
    const acts = fc.array(
      fc.oneof(
        fc.record({ add: fc.constantFrom<Priority>(...PRIORITIES) }),
        fc.record({ end: fc.nat(20) }),
        fc.record({ rest: fc.nat(20) }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(acts, fc.integer({ min: 1, max: 4 }), (script, limit) => {
        const each = new Line<number>();
        const started = new Set<number>();
        let added = 0;
        const look = () => {
          for (let turn = each.next(limit, always); turn; turn = each.next(limit, always)) {
            if (turn.type === 'start') started.add(turn.item);
          }
          const atWork = each.count('running') + each.count('stopping');
          expect(atWork).to.be.at.most(limit);
          const waiting = each.count('waiting') + each.count('interrupted');
          if (waiting > 0) expect(atWork, 'no place is left empty').to.equal(limit);
        };
        for (const act of script) {
          if ('add' in act) each.add(added++, act.add);
          else if ('end' in act) {
            if (each.placeOf(act.end) === 'running') each.remove(act.end);
          } else if (each.placeOf(act.rest) === 'stopping') each.move(act.rest, 'interrupted');
          look();
        }
        for (let left = 0; !each.isEmpty && left < 1000; left++) {
          for (const item of each.all('stopping')) each.move(item, 'interrupted');
          for (const item of each.all('running')) each.remove(item);
          look();
        }
        expect(started.size).to.equal(added);
      }),
    );
  });
});
