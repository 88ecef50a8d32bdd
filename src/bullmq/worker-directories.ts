import { readlink, realpath } from 'node:fs/promises';
import nodePath from 'node:path';
import { BitsArgumentError } from '../errors.js';

/** Whether a path is a directory or below it, by its text alone. */
export function isWithin(
  directory: string,
  path: string,
  {
    relative,
    isAbsolute,
    sep,
  }: Pick<typeof nodePath, 'relative' | 'isAbsolute' | 'sep'> = nodePath,
): boolean {
  const way = relative(directory, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/**
 * Checks that a path is, by its text and as it is really reached, in one of the directories. What is
 * outside of them is refused in the same way whether it is there or not.
 * @param path without `..`, of which the system and its text may say different things
 * @param directories undefined: anywhere
 * @throws BITS_ERR_ARGUMENT
 */
export async function assertInside(
  path: string,
  directories: readonly string[] | undefined,
): Promise<void> {
  if (directories === undefined) return;
  const real = await Promise.all(directories.map((each) => realpath(each).catch(() => each)));
  const isInside = (place: string): boolean =>
    [...directories, ...real].some((directory) => isWithin(directory, place));
  // Before the system looks at it: Windows would log on to the machine of \\machine\share.
  if (isInside(path) && !(await leadsOutside(path, isInside))) return;
  throw new BitsArgumentError(`${path} is in none of the directories of this worker.`);
}

/** Whether links lead from a path to elsewhere, or would if the path were there. */
async function leadsOutside(path: string, isInside: (place: string) => boolean): Promise<boolean> {
  for (let at = path; isInside(at); at = nodePath.dirname(at)) {
    const real = await realpath(at).catch(() => undefined);
    if (real !== undefined) return !isInside(real);
    const target = await readlink(at).catch(() => undefined);
    // It leads to what is not there, which must not be told from what is.
    if (target !== undefined) return true;
    if (nodePath.dirname(at) === at) break;
  }
  return false;
}
