import {
  assertOptions,
  callOptions,
  duration,
  mustBe,
  type OptionNames,
  optionGroup,
} from '../common/check-options.js';
import type { Bandwidth, BandwidthOptions } from '../job/bandwidth.js';
import type { UploadOptions } from '../job/options.js';
import { OPTION_NAMES, toBandwidth } from '../job/resolve-options.js';
import { MAX_LIMIT } from './auto-concurrency.js';
import { PRIORITIES, type Priority } from './line.js';

/** Options of an `UploadQueue`. */
export interface QueueOptions {
  /**
   * How many jobs run at once, 1 to 32. `'auto'`: 4 at first, and up to 32 while that brings more files
   * a second; fewer when the server is busy (429, 503), or connections break or get no answer.
   * @default 'auto'
   */
  concurrency?: number | 'auto' | undefined;
  /**
   * Options of every job that does not have its own; `retry` and `timeouts` are joined name by name.
   * @default none
   */
  defaults?: Partial<QueuedUploadOptions> | undefined;
  /**
   * Limits the speed of all jobs together; a job that has a `bandwidth` of its own does not count.
   * @default no limit
   */
  bandwidth?: BandwidthOptions | Bandwidth | undefined;
  /**
   * How long a host that has never answered is tried, in milliseconds; `Infinity`: as long as its jobs
   * allow. @default Infinity
   */
  unreachableAfterMs?: number | undefined;
}

/** Options of a job in a queue. */
export interface QueuedUploadOptions extends UploadOptions {
  /**
   * Jobs begin in the order of their priorities, and then in that in which they came. A `foreground`
   * job, for which a user waits, suspends a running `low` one when all places are taken.
   * @default 'normal'
   */
  priority?: Priority | undefined;
}

const QUEUE_OPTION_NAMES: OptionNames<QueueOptions> = {
  concurrency: true,
  defaults: true,
  bandwidth: true,
  unreachableAfterMs: true,
};

const JOB_OPTION_NAMES: OptionNames<QueuedUploadOptions> = {
  ...OPTION_NAMES,
  priority: true,
};

/** @throws BITS_ERR_ARGUMENT for an option that is unknown or cannot work */
export function resolveQueueOptions(options: QueueOptions) {
  const given = callOptions('UploadQueue', options, QUEUE_OPTION_NAMES);
  const { concurrency = 'auto', defaults, bandwidth, unreachableAfterMs } = given;
  return {
    concurrency: checkConcurrency(concurrency),
    defaults: optionGroup<Partial<QueuedUploadOptions>>('defaults', defaults, JOB_OPTION_NAMES),
    bandwidth: toBandwidth(bandwidth),
    unreachableAfterMs:
      unreachableAfterMs === Number.POSITIVE_INFINITY
        ? unreachableAfterMs
        : duration('unreachableAfterMs', unreachableAfterMs, Number.POSITIVE_INFINITY, 1),
  };
}

/** @throws BITS_ERR_ARGUMENT */
export function checkConcurrency(value: number | 'auto'): number | 'auto' {
  const isRight =
    value === 'auto' || (Number.isSafeInteger(value) && value >= 1 && value <= MAX_LIMIT);
  mustBe(isRight, 'concurrency', `'auto' or a whole number from 1 to ${MAX_LIMIT}`);
  return value;
}

/**
 * The options of one job, with those of the queue where it has none of its own.
 * @throws BITS_ERR_ARGUMENT for a priority that there is not
 */
export function withDefaults<T extends Partial<QueuedUploadOptions>>(
  defaults: Partial<QueuedUploadOptions>,
  options: T,
): { readonly options: Omit<T, 'priority'>; readonly priority: Priority } {
  assertOptions('A job of a queue', options, ', with url and source');
  const { priority = 'normal', ...merged } = {
    ...defaults,
    ...options,
    ...joined('retry', defaults, options),
    ...joined('timeouts', defaults, options),
  };
  mustBe(PRIORITIES.includes(priority), 'priority', `one of ${PRIORITIES.join(', ')}`);
  return { options: merged, priority };
}

function joined<N extends 'retry' | 'timeouts'>(
  name: N,
  defaults: Partial<UploadOptions>,
  options: Partial<UploadOptions>,
): Partial<Pick<UploadOptions, N>> {
  const groups = [defaults[name], options[name]];
  // A wrong one is refused with the others of the job.
  if (groups.some((group) => typeof group !== 'object' || group === null)) return {};
  return { [name]: { ...groups[0], ...groups[1] } } as Partial<Pick<UploadOptions, N>>;
}
