import { createRequire } from 'node:module';
import type { buildConnector, Pool } from 'undici';

/** What the transport uses of undici. */
export interface UndiciParts {
  readonly Pool: typeof Pool;
  readonly buildConnector: typeof buildConnector;
}

const POOL = 'undici/lib/dispatcher/pool.js';
const CONNECTOR = 'undici/lib/core/connect.js';

/**
 * Loads a third of undici, in a third of the time: its front door brings `fetch`, caches and mocks
 * along, 60 ms before the first byte of an upload.
 *
 * The front door is taken where a version or a bundler does not have the parts in their places. Not
 * with `import()` first: one that fails for want of file descriptors fails for ever.
 * @param load for tests
 */
export async function loadUndici(
  load: (specifier: string) => unknown = (specifier) => createRequire(import.meta.url)(specifier),
): Promise<UndiciParts> {
  try {
    return { Pool: classOf(load(POOL)), buildConnector: classOf(load(CONNECTOR)) };
  } catch {
    const { Pool, buildConnector } = await import('undici');
    return { Pool, buildConnector };
  }
}

function classOf<T>(value: unknown): T {
  if (typeof value !== 'function') throw new TypeError('undici keeps something else in this place');
  return value as T;
}
