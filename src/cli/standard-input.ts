import { fstatSync, type Stats, statSync, writeSync } from 'node:fs';
import { devNull } from 'node:os';
import type { StandardInput } from './io.js';
import { UsageError } from './usage-error.js';

/**
 * Node reads what it cannot read as if it were empty, and an empty file would be uploaded.
 * @throws UsageError when standard input is closed, a directory or a disk
 */
export function assertStandardInput({ fd }: StandardInput): void {
  if (fd === undefined) return;
  const stats = statsOf(fd);
  if (stats === 'closed' || (stats?.isCharacterDevice() && isStandIn(fd, stats))) {
    throw new UsageError('standard input is closed: pipe into it what to upload');
  }
  if (stats?.isDirectory()) {
    throw new UsageError('standard input is a directory: archive it, for instance with tar');
  }
  if (stats?.isBlockDevice()) {
    throw new UsageError('standard input is a disk: pipe it through cat');
  }
}

function statsOf(fd: number): Stats | 'closed' | undefined {
  try {
    return fstatSync(fd);
  } catch (error) {
    // Not every system can tell of a console.
    return (error as NodeJS.ErrnoException).code === 'EBADF' ? 'closed' : undefined;
  }
}

/**
 * In the place of a closed one Node opens the null device, for writing too; a shell that was told to
 * read it does not.
 */
function isStandIn(fd: number, { rdev }: Stats): boolean {
  try {
    // What goes there is lost, so a byte does no harm.
    return rdev === statSync(devNull).rdev && writeSync(fd, '\0') > 0;
  } catch {
    return false;
  }
}
