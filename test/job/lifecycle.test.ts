import { expect } from 'chai';
import fc from 'fast-check';
import {
  type Call,
  type Lifecycle,
  type LifecycleEffect,
  type LifecycleEvent,
  newLifecycle,
  type RunEndKind,
  type RunPurpose,
  transition,
} from '../../src/job/lifecycle.js';

/** A job around the machine: it keeps what a real one would, and checks the laws at each step. */
class World {
  life: Lifecycle;
  /** The run under way. */
  run: { readonly purpose: RunPurpose; isInterrupted: boolean } | undefined;
  readonly runs: RunPurpose[] = [];
  readonly settled: string[] = [];
  readonly pending: Record<Call, number> = { suspend: 0, resume: 0, cancel: 0 };
  /** Calls since the result was last pending, by what was asked for last. */
  isResultPending = true;
  wantsCancel = false;

  constructor(hasCheckpoint: boolean) {
    this.life = newLifecycle({ hasCheckpoint });
  }

  send(event: LifecycleEvent): readonly LifecycleEffect[] {
    if (event.type === 'suspend' || event.type === 'resume' || event.type === 'cancel') {
      this.pending[event.type]++;
    }
    if (event.type === 'cancel' && this.life.phase !== 'ended') this.wantsCancel = true;
    const [life, effects] = transition(this.life, event);
    this.life = life;
    if (event.type === 'runEnded') this.run = undefined;
    for (const effect of effects) this.#carryOut(effect);
    const hasRun = life.phase === 'running' || life.phase === 'stopping';
    expect(this.run !== undefined, 'a run exists just in these phases').to.equal(hasRun);
    return effects;
  }

  #carryOut(effect: LifecycleEffect): void {
    switch (effect.type) {
      case 'run':
        expect(this.run, 'one run at a time').to.equal(undefined);
        if (effect.purpose === 'upload' && this.isResultPending) {
          expect(this.wantsCancel, 'no upload after a cancel').to.equal(false);
        }
        this.run = { purpose: effect.purpose, isInterrupted: false };
        this.runs.push(effect.purpose);
        this.isResultPending = true;
        break;
      case 'interrupt':
        expect(this.run?.isInterrupted, 'a run is interrupted once').to.equal(false);
        if (this.run !== undefined) this.run.isInterrupted = true;
        break;
      case 'rest':
        expect(this.isResultPending).to.equal(true);
        break;
      case 'settle':
        expect(this.isResultPending, 'a result settles once').to.equal(true);
        expect(this.run, 'a result settles when its run has given all back').to.equal(undefined);
        this.isResultPending = false;
        this.wantsCancel = false;
        this.settled.push(effect.as);
        break;
      case 'answer':
        this.pending[effect.call] = 0;
    }
  }

  /** How the run may end, as the caller's calls and the server have it. */
  end(kind: RunEndKind, hasCheckpoint: boolean): void {
    const { run } = this;
    if (run === undefined) return;
    let possible = kind;
    if (kind === 'stopped' && run.purpose === 'cancel') possible = 'cancelled';
    else if (kind === 'stopped' && !run.isInterrupted) possible = 'failed';
    if (kind === 'cancelled' && run.purpose !== 'cancel') possible = 'failed';
    const keeps = possible === 'completed' ? false : hasCheckpoint;
    this.send({ type: 'runEnded', end: possible, hasCheckpoint: keeps });
  }
}

type Act =
  | { readonly call: 'start' | 'abort' | 'refuse' | Call }
  | { readonly end: RunEndKind; readonly keeps: boolean };

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      call: fc.constantFrom('start', 'suspend', 'resume', 'cancel', 'abort', 'refuse'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      end: fc.constantFrom<RunEndKind>('completed', 'failed', 'cancelled', 'stopped'),
      keeps: fc.boolean(),
    }),
  },
);

function play(hasCheckpoint: boolean, acts: readonly Act[]): World {
  const world = new World(hasCheckpoint);
  for (const one of acts) {
    if ('call' in one) world.send({ type: one.call });
    else world.end(one.end, one.keeps);
  }
  return world;
}

const script = [fc.boolean(), fc.array(act, { maxLength: 30 })] as const;

describe('the life cycle of a job, in any order of calls and endings', () => {
  it('has one run at a time, and settles a result once and after its run', () => {
    fc.assert(fc.property(...script, (has, acts) => void play(has, acts)));
  });

  it('settles every call as soon as no run is left', () => {
    fc.assert(
      fc.property(...script, (has, acts) => {
        const world = play(has, acts);
        for (let i = 0; i < 3 && world.run !== undefined; i++) world.end('stopped', true);
        if (world.run === undefined) {
          expect(world.pending).to.deep.equal({ suspend: 0, resume: 0, cancel: 0 });
        }
      }),
    );
  });

  it('ends the result of a job that was cancelled, whatever was called before and after', () => {
    fc.assert(
      fc.property(...script, fc.array(act, { maxLength: 6 }), (has, before, after) => {
        const world = play(has, before);
        if (world.life.phase === 'ended') return;
        world.send({ type: 'cancel' });
        const settledBefore = world.settled.length;
        for (const one of after) if ('call' in one) world.send({ type: one.call });
        for (let i = 0; i < 3 && world.isResultPending; i++) world.end('stopped', true);
        const [outcome] = world.settled.slice(Math.max(0, settledBefore - 1)).slice(-1);
        expect(outcome).to.equal('cancelled');
      }),
    );
  });

  it('begins no run after a stop but that of a cancel or of a later resume', () => {
    fc.assert(
      fc.property(
        ...script,
        fc.constantFrom('suspend', 'abort', 'cancel'),
        fc.array(fc.constantFrom('start', 'suspend', 'abort'), { maxLength: 6 }),
        (has, before, stop, after) => {
          const world = play(has, before);
          if (world.life.resumesNext || world.life.phase === 'idle') return;
          world.send({ type: stop });
          const runs = world.runs.length;
          for (const type of after) world.send({ type });
          for (let i = 0; i < 3 && world.run?.isInterrupted; i++) world.end('stopped', true);
          const more = world.runs.slice(runs);
          expect(more.every((purpose) => purpose === 'cancel')).to.equal(true);
        },
      ),
    );
  });
});

describe('the life cycle of a job', () => {
  const says = (...calls: LifecycleEvent['type'][]) => {
    const world = new World(false);
    for (const call of calls) {
      if (call === 'runEnded') world.end('stopped', true);
      else world.send({ type: call });
    }
    return world;
  };

  const rows: readonly [
    calls: LifecycleEvent['type'][],
    phase: string,
    runs: string,
    settled: string,
  ][] = [
    [['start'], 'running', 'upload', ''],
    [['start', 'start'], 'running', 'upload', ''],
    [['suspend'], 'resting', '', ''],
    [['suspend', 'start'], 'resting', '', ''],
    [['suspend', 'resume'], 'running', 'upload', ''],
    [['cancel'], 'ended', '', 'cancelled'],
    [['start', 'suspend', 'runEnded'], 'resting', 'upload', ''],
    [['start', 'suspend', 'resume', 'runEnded'], 'running', 'upload upload', ''],
    [['start', 'suspend', 'resume', 'suspend', 'runEnded'], 'resting', 'upload', ''],
    [['start', 'suspend', 'abort', 'runEnded'], 'ended', 'upload', 'aborted'],
    [['start', 'abort', 'suspend', 'runEnded'], 'ended', 'upload', 'aborted'],
    [['start', 'abort', 'resume', 'runEnded'], 'running', 'upload upload', 'aborted'],
    [['start', 'abort', 'cancel', 'runEnded'], 'running', 'upload cancel', ''],
    [['start', 'cancel', 'abort', 'runEnded', 'runEnded'], 'ended', 'upload cancel', 'cancelled'],
    [['start', 'cancel', 'resume', 'runEnded', 'runEnded'], 'ended', 'upload cancel', 'cancelled'],
    [['start', 'suspend', 'runEnded', 'abort'], 'ended', 'upload', 'aborted'],
    [['start', 'suspend', 'runEnded', 'cancel'], 'running', 'upload cancel', ''],
    [['start', 'abort', 'runEnded', 'cancel'], 'running', 'upload cancel', 'aborted'],
  ];
  for (const [calls, phase, runs, settled] of rows) {
    it(`is ${phase} after ${calls.join(', ')}`, () => {
      const world = says(...calls);
      expect(world.life.phase).to.equal(phase);
      expect(world.runs.join(' ')).to.equal(runs);
      expect(world.settled.join(' ')).to.equal(settled);
    });
  }

  it('gives a server little time for Cancel-Session when an abort follows the cancel', () => {
    const world = new World(false);
    for (const type of ['start', 'cancel', 'abort'] as const) world.send({ type });
    const effects = world.send({ type: 'runEnded', end: 'stopped', hasCheckpoint: true });
    expect(effects[0]).to.deep.equal({ type: 'run', purpose: 'cancel', hurried: true });
  });

  it('can cancel once more what the server did not confirm', () => {
    const world = new World(false);
    for (const type of ['start', 'cancel'] as const) world.send({ type });
    world.end('stopped', true);
    world.send({ type: 'runEnded', end: 'cancelled', hasCheckpoint: true });
    expect(world.settled).to.deep.equal(['cancelled']);
    world.send({ type: 'cancel' });
    expect(world.runs).to.deep.equal(['upload', 'cancel', 'cancel']);
  });
});
