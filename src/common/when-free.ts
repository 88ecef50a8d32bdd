import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from './error-like.js';

const PATIENCE_MS = 1000;

/** On Windows these also say that somebody else has the file open, or has just removed it. */
const PASSING_ON_WINDOWS: readonly unknown[] = ['EBUSY', 'EPERM', 'EACCES'];
const PASSING: readonly unknown[] = ['EBUSY'];

/**
 * Works on a file, again and again for a second while something holds it: on Windows a virus scanner,
 * an indexer, or a process that reads it just now.
 * @param platform for tests
 */
export async function whenFree<T>(
  work: () => Promise<T>,
  platform: NodeJS.Platform = process.platform,
): Promise<T> {
  const passing = platform === 'win32' ? PASSING_ON_WINDOWS : PASSING;
  for (let waitMs = 10, waitedMs = 0; ; waitedMs += waitMs, waitMs *= 2) {
    try {
      return await work();
    } catch (error) {
      if (waitedMs >= PATIENCE_MS || !passing.includes(codeOf(error))) throw error;
    }
    await delay(waitMs);
  }
}
