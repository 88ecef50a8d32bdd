import { createRequire } from 'node:module';
import type { Client } from 'undici';

/** What the transport uses of undici. */
export interface UndiciParts {
  readonly Client: typeof Client;
}

/**
 * Loads a third of undici, in a third of the time: its main entry also loads `fetch`, caches and
 * mocks, 60 ms before the first byte of an upload.
 *
 * The main entry is used where a version or a bundler does not have the part in its place. It is not
 * tried first: an `import()` that fails for want of file descriptors fails for ever.
 * @param find for tests
 */
export async function loadUndici(find: () => unknown = findClient): Promise<UndiciParts> {
  const found = find();
  if (typeof found === 'function') return { Client: found as typeof Client };
  const { Client: exported } = await import('undici');
  return { Client: exported };
}

function findClient(): unknown {
  try {
    const require = createRequire(import.meta.url);
    // Next to a bundle, which holds an undici of its own, there may be another one.
    const { version } = require('undici/package.json');
    return isDeclared(version) ? require('undici/lib/dispatcher/client.js') : undefined;
  } catch {
    return undefined;
  }
}

/** Whether package.json declares this version of undici. */
export function isDeclared(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === 8 || (major === 7 && minor >= 30);
}
