import { createRequire } from 'node:module';
import type { buildConnector, Pool } from 'undici';

/** What the transport uses of undici. */
export interface UndiciParts {
  readonly Pool: typeof Pool;
  readonly buildConnector: typeof buildConnector;
}

/** What lies in the places of the parts, whatever it is. */
type Found = { readonly [Part in keyof UndiciParts]?: unknown };

/**
 * Loads a third of undici, in a third of the time: its front door brings `fetch`, caches and mocks
 * along, 60 ms before the first byte of an upload.
 *
 * The front door is taken where a version or a bundler does not have the parts in their places. Not
 * with `import()` first: one that fails for want of file descriptors fails for ever.
 * @param find for tests
 */
export async function loadUndici(find: () => Found = findParts): Promise<UndiciParts> {
  const found = find();
  if (areParts(found)) return found;
  const { Pool, buildConnector } = await import('undici');
  return { Pool, buildConnector };
}

function areParts(found: Found): found is UndiciParts {
  return typeof found.Pool === 'function' && typeof found.buildConnector === 'function';
}

function findParts(): Found {
  try {
    const require = createRequire(import.meta.url);
    // Beside a bundle, which has its undici within, may lie another one that the app uses itself.
    const { version } = require('undici/package.json');
    if (!isDeclared(version)) return {};
    return {
      Pool: require('undici/lib/dispatcher/pool.js'),
      buildConnector: require('undici/lib/core/connect.js'),
    };
  } catch {
    return {};
  }
}

/** Whether package.json declares this version of undici. */
export function isDeclared(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === 8 || (major === 7 && minor >= 30);
}
