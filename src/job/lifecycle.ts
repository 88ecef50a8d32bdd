/**
 * The life cycle of a job as a pure machine: (state, event) → (state, effects).
 *
 * A job is a series of runs. A run opens the source and a connection, uploads, and gives everything
 * back at its end; what remains is a checkpoint, which is a value. Suspend, abort, cancel and failure
 * are one path: the run is interrupted, it ends, and only then is decided what follows. A cancel is a
 * run of its own that sends Cancel-Session and nothing else.
 *
 * While a run is being stopped further calls may come. The strongest one wins: cancel over abort over
 * suspend. A resume does not undo a stop: it is remembered, and another run follows the stopped one.
 *
 * | Phase    | A run exists | `result` of the job                                    |
 * | -------- | ------------ | ------------------------------------------------------ |
 * | idle     | no           | pending; nothing was asked for yet                     |
 * | running  | yes          | pending                                                |
 * | stopping | yes          | pending; the run was interrupted and has not ended yet |
 * | resting  | no           | pending; the job is suspended                          |
 * | ended    | no           | settled; a resume or a cancel makes a new one          |
 */
export interface Lifecycle {
  readonly phase: 'idle' | 'running' | 'stopping' | 'resting' | 'ended';
  /** What the run is for, while there is one. */
  readonly purpose: RunPurpose;
  /** Why the run is being stopped. */
  readonly stop: Stop | undefined;
  /** A resume came after the stop. */
  readonly resumesNext: boolean;
  /** An abort came after the cancel: the server gets little time to answer Cancel-Session. */
  readonly hurried: boolean;
  /** What the last run left: the server may hold a session, and a resume continues it. */
  readonly hasCheckpoint: boolean;
  /** Whether an ended job can be resumed. */
  readonly resumable: boolean;
}

export type RunPurpose = 'upload' | 'cancel';
export type Stop = 'suspend' | 'abort' | 'cancel';
export type Call = 'suspend' | 'resume' | 'cancel';

export type LifecycleEvent =
  /** `refuse`: a queue does not let the job begin. */
  | { readonly type: 'start' | 'abort' | 'refuse' | Call }
  | { readonly type: 'runEnded'; readonly end: RunEndKind; readonly hasCheckpoint: boolean };

/** `stopped`: it was interrupted. `cancelled`: the session was given up, as the caller asked. */
export type RunEndKind = 'completed' | 'failed' | 'cancelled' | 'stopped';

export type LifecycleEffect =
  /** Begins a run, of a new result when the last one is settled. */
  | { readonly type: 'run'; readonly purpose: RunPurpose; readonly hurried: boolean }
  | { readonly type: 'interrupt' }
  /** The job is suspended. */
  | { readonly type: 'rest' }
  /** Settles the result, by the run's end or by what stopped it. */
  | { readonly type: 'settle'; readonly as: 'completed' | 'failed' | 'cancelled' | 'aborted' }
  /** Settles every pending call of this kind. */
  | { readonly type: 'answer'; readonly call: Call; readonly refused: boolean };

export type Transition = readonly [Lifecycle, readonly LifecycleEffect[]];

const NO_RUN = { purpose: 'upload', stop: undefined, resumesNext: false, hurried: false } as const;

/** A job that was not started; `hasCheckpoint` for one that is restored from a record. */
export function newLifecycle({ hasCheckpoint }: { readonly hasCheckpoint: boolean }): Lifecycle {
  return { ...NO_RUN, phase: 'idle', hasCheckpoint, resumable: hasCheckpoint };
}

export function transition(life: Lifecycle, event: LifecycleEvent): Transition {
  if (event.type === 'runEnded') return runEnded(life, event.end, event.hasCheckpoint);
  return table[life.phase][event.type](life);
}

type Handler = (life: Lifecycle) => Transition;
type Handlers = Readonly<Record<'start' | 'abort' | 'refuse' | Call, Handler>>;

const ignore: Handler = (life) => [life, []];
const refuse =
  (call: Call): Handler =>
  (life) => [life, [answer(call, true)]];
/** Answered when the run ends. */
const wait: Handler = ignore;

const table: Readonly<Record<Lifecycle['phase'], Handlers>> = {
  idle: {
    start: (life) => begin(life, 'upload'),
    suspend: (life) => rest(life),
    resume: (life) =>
      life.hasCheckpoint ? begin(life, 'upload', answer('resume')) : refuse('resume')(life),
    cancel: (life) => giveUp(life),
    // The signal is looked at again when the job starts.
    abort: ignore,
    refuse: (life) => end(life, 'failed', life.hasCheckpoint),
  },
  running: {
    start: ignore,
    suspend: (life) => (life.purpose === 'cancel' ? wait(life) : interrupt(life, 'suspend')),
    resume: refuse('resume'),
    cancel: (life) => (life.purpose === 'cancel' ? wait(life) : interrupt(life, 'cancel')),
    // Of a cancel it ends the wait for the server: the job is cancelled all the same.
    abort: (life) => interrupt(life, life.purpose === 'cancel' ? 'cancel' : 'abort'),
    refuse: ignore,
  },
  stopping: {
    start: ignore,
    suspend: (life) => stopInstead(life, life.stop ?? 'suspend'),
    resume: (life) =>
      life.stop === 'cancel' ? refuse('resume')(life) : [{ ...life, resumesNext: true }, []],
    cancel: (life) => stopInstead(life, 'cancel'),
    abort: (life) =>
      life.stop === 'cancel' ? [{ ...life, hurried: true }, []] : stopInstead(life, 'abort'),
    refuse: ignore,
  },
  resting: {
    start: ignore,
    suspend: (life) => [life, [answer('suspend')]],
    resume: (life) => begin(life, 'upload', answer('resume')),
    cancel: (life) => giveUp(life),
    abort: (life) => end(life, 'aborted', true),
    refuse: (life) => end(life, 'failed', life.hasCheckpoint),
  },
  ended: {
    start: ignore,
    suspend: refuse('suspend'),
    resume: (life) =>
      life.resumable ? begin(life, 'upload', answer('resume')) : refuse('resume')(life),
    cancel: (life) => (life.hasCheckpoint ? giveUp(life) : [life, [answer('cancel')]]),
    abort: ignore,
    refuse: ignore,
  },
};

function begin(life: Lifecycle, purpose: RunPurpose, ...also: LifecycleEffect[]): Transition {
  const next: Lifecycle = { ...life, ...NO_RUN, phase: 'running', purpose };
  return [next, [{ type: 'run', purpose, hurried: life.hurried }, ...also]];
}

function interrupt(life: Lifecycle, stop: Stop): Transition {
  return [{ ...life, phase: 'stopping', stop }, [{ type: 'interrupt' }]];
}

/** The stop that now counts; a resume that came before this call is refused. */
function stopInstead(life: Lifecycle, stop: Stop): Transition {
  const effects = life.resumesNext ? [answer('resume', true)] : [];
  return [{ ...life, stop, resumesNext: false }, effects];
}

function rest(life: Lifecycle): Transition {
  return [{ ...life, ...NO_RUN, phase: 'resting' }, [{ type: 'rest' }, answer('suspend')]];
}

/** Cancels the session that the last run left; without one there is nothing to send. */
function giveUp(life: Lifecycle): Transition {
  return life.hasCheckpoint ? begin(life, 'cancel') : end(life, 'cancelled', false);
}

function runEnded(life: Lifecycle, how: RunEndKind, hasCheckpoint: boolean): Transition {
  const after: Lifecycle = { ...life, hasCheckpoint };
  const canGoOn = how === 'failed' || how === 'stopped';
  if (life.stop === 'cancel' && life.purpose === 'upload' && canGoOn && hasCheckpoint) {
    return begin(after, 'cancel', answer('suspend'));
  }
  if (how === 'completed') return end(after, 'completed', false);
  if (how === 'cancelled' || life.stop === 'cancel') return end(after, 'cancelled', false);
  if (how === 'failed') return end(after, 'failed', hasCheckpoint);
  if (life.stop === 'abort') return end(after, 'aborted', true);
  return life.resumesNext
    ? begin(after, 'upload', answer('suspend'), answer('resume'))
    : rest(after);
}

/** Settles the result and every call; a resume that is waiting begins the next run. */
function end(
  life: Lifecycle,
  as: 'completed' | 'failed' | 'cancelled' | 'aborted',
  resumable: boolean,
): Transition {
  const settle: LifecycleEffect = { type: 'settle', as };
  // A cancel that failed has cancelled nothing.
  const calls = [answer('suspend'), answer('cancel', as === 'failed')];
  if (life.resumesNext && resumable) {
    const [next, effects] = begin(life, 'upload', answer('resume'));
    return [next, [settle, ...calls, ...effects]];
  }
  const ended: Lifecycle = { ...life, ...NO_RUN, phase: 'ended', resumable };
  return [ended, [settle, ...calls, answer('resume', true)]];
}

function answer(call: Call, refused = false): LifecycleEffect {
  return { type: 'answer', call, refused };
}
