import { UsageError } from '../values.js';

/** Which files of a tree or a list are meant; paths are relative, with `/` on every system. */
export interface Filters {
  hasFile(path: string): boolean;
  /** False when none of the files in it can be meant. */
  hasDirectory(path: string): boolean;
}

const ALL: Filters = { hasFile: () => true, hasDirectory: () => true };

/**
 * A glob without a `/` stands for a name at any depth, one with a `/` for the path; what matches a
 * directory counts for everything in it. A file is meant when an `include` matches, or there is none, and
 * no `exclude` does.
 * @throws UsageError for an empty glob
 */
export async function createFilters(
  include: readonly string[] = [],
  exclude: readonly string[] = [],
): Promise<Filters> {
  if (include.length === 0 && exclude.length === 0) return ALL;
  // Most commands have no globs.
  const { default: picomatch } = await import('picomatch');
  // A name may hold a line break, which `.` matches only with `s`.
  const flags = process.platform === 'win32' ? 'is' : 's';
  const options = { dot: true, nonegate: true, flags };
  const matcher = (flag: string, globs: readonly string[]) => {
    const isMatch = picomatch(
      globs.map((glob) => pattern(flag, glob)),
      options,
    );
    return (path: string) => prefixesOf(path).some((prefix) => isMatch(prefix));
  };
  const isExcluded = exclude.length === 0 ? () => false : matcher('--exclude', exclude);
  const isIncluded = include.length === 0 ? () => true : matcher('--include', include);
  return {
    hasFile: (path) => isIncluded(path) && !isExcluded(path),
    hasDirectory: (path) => !isExcluded(path),
  };
}

function pattern(flag: string, glob: string): string {
  const path = glob.replace(/^(?:\.?\/)+|\/+$/g, '');
  if (path === '') throw new UsageError(`${flag} needs a glob such as '*.log', not "${glob}"`);
  const isAnchored = path.includes('/') || /^\.?\//.test(glob);
  return isAnchored ? path : `**/${path}`;
}

/** `a/b/c`: `a`, `a/b`, `a/b/c`. */
function prefixesOf(path: string): string[] {
  const prefixes: string[] = [];
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    prefixes.push(path.slice(0, end));
  }
  return [...prefixes, path];
}
