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
 * The front door is taken where a version or a bundler does not have the parts in their places.
 * @param load for tests
 */
export async function loadUndici(
  load: (specifier: string) => Promise<unknown> = (specifier) => import(specifier),
): Promise<UndiciParts> {
  try {
    const [pool, connector] = await Promise.all([load(POOL), load(CONNECTOR)]);
    return { Pool: classOf(pool), buildConnector: classOf(connector) };
  } catch {
    const { Pool, buildConnector } = await import('undici');
    return { Pool, buildConnector };
  }
}

function classOf<T>(module: unknown): T {
  const { default: value } = module as { default: unknown };
  if (typeof value !== 'function') throw new TypeError('undici keeps something else in this place');
  return value as T;
}
