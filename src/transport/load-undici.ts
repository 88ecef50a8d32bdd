import { createRequire } from 'node:module';
import type { Client } from 'undici';
import { codeOf } from '../common/error-like.js';
import { BitsTransportError } from '../errors.js';

/**
 * Loads the `Client` of undici, a third of it in a third of the time: its main entry also loads `fetch`,
 * caches and mocks, 60 ms before the first byte of an upload.
 *
 * It is not tried first to `import()` the part: one that fails for want of file descriptors fails for
 * ever. The main entry is used where a version does not have the part in its place.
 * @param find for tests
 * @throws BITS_ERR_TRANSPORT, not retryable, for what does not pass by itself
 */
export async function loadUndici(find: () => unknown = findClient): Promise<typeof Client> {
  const found = find() ?? (await importClient());
  if (typeof found === 'function') return found as typeof Client;
  try {
    return (await import('undici')).Client;
  } catch (cause) {
    if (['EMFILE', 'ENFILE'].includes(codeOf(cause) ?? '')) throw cause;
    throw new BitsTransportError(
      'The package undici cannot be loaded: install it again; an app that is bundled as an ES module ' +
        'needs a `require` (docs/bundles.md)',
      { cause, retryable: false },
    );
  }
}

/** Bundlers see the name, and take no more of undici than this. */
async function importClient(): Promise<unknown> {
  try {
    // @ts-expect-error: it has no types.
    const { default: client } = await import('undici/lib/dispatcher/client.js');
    return client;
  } catch {
    return undefined;
  }
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
