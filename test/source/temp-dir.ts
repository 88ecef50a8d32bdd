import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory of its own for each test of the present `describe`. */
export function useTempDir(): { readonly path: string } {
  const dir = { path: '' };
  beforeEach(async () => {
    dir.path = await mkdtemp(join(tmpdir(), 'bits-upload-test-'));
  });
  // Windows may need a moment until what was closed is gone.
  afterEach(() => rm(dir.path, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}
