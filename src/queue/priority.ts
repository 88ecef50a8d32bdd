/**
 * The priorities of Windows BITS, the first one first. A `foreground` job, for which a user waits,
 * suspends a running `low` one when there is no place for it.
 */
export const PRIORITIES = ['foreground', 'high', 'normal', 'low'] as const;

/** When a job of a queue has its turn: `foreground` first, `low` last. */
export type Priority = (typeof PRIORITIES)[number];
