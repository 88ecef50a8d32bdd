import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where unfinished uploads of tests are kept, so that they never mix with those of a person. */
const scratch = mkdtempSync(join(tmpdir(), 'bits-cli-state-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

export function stateEnvironment(directory = scratch): Record<string, string> {
  return { BITS_UPLOAD_STATE_DIR: directory };
}
