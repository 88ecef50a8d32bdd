import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** A folder that is gone after the suite. */
export function temporaryFolder(): () => string {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bits-upload-test-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  return () => folder;
}

/** A folder that is gone when this process ends, however it ends. */
export function folderUntilExit(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bits-upload-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder of its own for each test of the present `describe`. */
export function useTempDir(): { readonly path: string } {
  const folder = { path: '' };
  beforeEach(async () => {
    folder.path = await mkdtemp(join(tmpdir(), 'bits-upload-test-'));
  });
  // Windows may need a moment until what was closed is gone.
  afterEach(() => rm(folder.path, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Bytes that repeat late enough to show every misplaced fragment. */
export function patterned(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let x = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x & 0xff;
  }
  return bytes;
}

export async function writePatterned(path: string, length: number, seed = 1): Promise<Buffer> {
  const bytes = patterned(length, seed);
  await writeFile(path, bytes);
  return bytes;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
