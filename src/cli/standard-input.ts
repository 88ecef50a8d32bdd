import { fstatSync, type Stats, statSync, writeSync } from 'node:fs';
import { devNull } from 'node:os';
import { codeOf } from '../common/error-like.js';
import type { StandardInput } from './context.js';
import { UsageError } from './values.js';

/**
 * Node reads a standard input that cannot be read as if it were empty, and would upload an empty file.
 * @throws UsageError when standard input is closed, a directory or a disk
 */
export function assertStandardInput({ fd }: StandardInput): void {
  if (fd === undefined) return;
  const stats = statsOf(fd);
  if (stats === 'closed' || (stats?.isCharacterDevice() && isStandIn(fd, stats))) {
    throw new UsageError('standard input is closed: pipe the data to upload into it');
  }
  if (stats?.isDirectory()) {
    throw new UsageError(
      'standard input is a directory: pipe an archive of it, for example from tar',
    );
  }
  if (stats?.isBlockDevice()) {
    throw new UsageError('standard input is a block device: pipe it through cat');
  }
}

function statsOf(fd: number): Stats | 'closed' | undefined {
  try {
    return fstatSync(fd);
  } catch (error) {
    // Not every system supports fstat on a console.
    return codeOf(error) === 'EBADF' ? 'closed' : undefined;
  }
}

/** Node replaces a closed input by the null device, opened for writing too; a shell opens it for reading. */
function isStandIn(fd: number, { rdev }: Stats): boolean {
  try {
    // The null device discards the byte.
    return rdev === statSync(devNull).rdev && writeSync(fd, '\0') > 0;
  } catch {
    return false;
  }
}
