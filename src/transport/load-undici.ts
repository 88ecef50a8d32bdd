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
 * A third of undici, in a third of the time: its front door brings `fetch`, caches and mocks along.
 *
 * Null where a version or a bundler does not have the parts in their places.
 * @param load for tests
 */
export function requireUndici(
  load: (specifier: string) => unknown = (specifier) => createRequire(import.meta.url)(specifier),
): UndiciParts | null {
  try {
    return { Pool: classOf(load(POOL)), buildConnector: classOf(load(CONNECTOR)) };
  } catch {
    return null;
  }
}

function classOf<T>(value: unknown): T {
  if (typeof value !== 'function') throw new TypeError('undici keeps something else in this place');
  return value as T;
}

/**
 * Together with this package, so that no upload has to wait for it, or fails because the process has
 * no file descriptor left to load it with.
 */
const parts = requireUndici();

/** @param known for tests */
export async function loadUndici(known: UndiciParts | null = parts): Promise<UndiciParts> {
  if (known !== null) return known;
  const { Pool, buildConnector } = await import('undici');
  return { Pool, buildConnector };
}
