import { constants } from 'node:fs';
import { lstat, realpath, stat } from 'node:fs/promises';
import path from 'node:path';

/** The folder below the root that holds unfinished uploads; no URL reaches it. */
export const SESSIONS_FOLDER = '.bits-sessions';

/** The path of a request target, decoded; nothing in it can leave the root. */
export interface UrlPath {
  /** Decoded, none empty. */
  readonly segments: readonly string[];
  /** True for `/` and for targets that end in a slash. */
  readonly directory: boolean;
  /** The same for all spellings of a resource, query included. */
  readonly key: string;
}

/** For `open`: a symbolic link in place of the file is an error. Windows has no such flag. */
export const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

const MAX_SEGMENT_BYTES = 255;
const MAX_SEGMENTS = 64;
const FORBIDDEN_CHARACTERS = /[\u0000-\u001f\u007f\\/:*?"<>|]/;
// Windows opens devices under these names in every folder, whatever extension follows.
const DEVICE_NAME = /^(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9¹²³])\s*(?:\.|$)/i;
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)/i;

/** The two parts of a request target; in origin form it has no authority. */
export function splitTarget(target: string): {
  readonly authority: string | undefined;
  readonly local: string;
} {
  const [absolute = '', authority] = ABSOLUTE_FORM.exec(target) ?? [];
  return { authority, local: target.slice(absolute.length) };
}

/**
 * Reads a request target in origin form or absolute form.
 *
 * @returns undefined when it could name anything but a plain file below the root on any operating
 * system: dot segments, encoded slashes, back-slashes, control characters, drive letters, streams,
 * device names, trailing dots and spaces, the folder of unfinished uploads.
 */
export function parseUrlPath(target: string): UrlPath | undefined {
  const { local } = splitTarget(target);
  const mark = local.indexOf('?');
  const rawPath = mark === -1 ? local : local.slice(0, mark);
  const query = mark === -1 ? '' : local.slice(mark);
  if (!rawPath.startsWith('/') || rawPath.includes('#')) return undefined;

  const rawSegments = rawPath.slice(1).split('/');
  const directory = rawSegments.at(-1) === '';
  if (directory) rawSegments.pop();
  if (rawSegments.length > MAX_SEGMENTS) return undefined;

  const segments: string[] = [];
  for (const raw of rawSegments) {
    const segment = decodeSegment(raw);
    if (segment === undefined || !isSafeSegment(segment)) return undefined;
    segments.push(segment);
  }
  if (segments[0]?.toLowerCase() === SESSIONS_FOLDER) return undefined;
  return { segments, directory, key: `/${segments.join('/')}${directory ? '/' : ''}${query}` };
}

function decodeSegment(raw: string): string | undefined {
  try {
    // Heads are read as latin1: unescaped UTF-8 is decoded here.
    const bytes = Buffer.from(raw, 'latin1');
    return decodeURIComponent(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function isSafeSegment(segment: string): boolean {
  return (
    segment !== '' &&
    !/[. ]$/.test(segment) &&
    !FORBIDDEN_CHARACTERS.test(segment) &&
    !DEVICE_NAME.test(segment) &&
    Buffer.byteLength(segment) <= MAX_SEGMENT_BYTES
  );
}

/**
 * The file of a URL path, with every symbolic link of its directory resolved.
 *
 * @param root as `realpath` gives it.
 * @returns undefined when a link leads out of the root, to the unfinished uploads or to nothing.
 * @throws ENOTDIR when a file is in the place of a directory, or the root is gone.
 */
export async function resolveBelow(
  root: string,
  segments: readonly string[],
): Promise<string | undefined> {
  const parents = segments.slice(0, -1);
  const missing: string[] = [];
  for (;;) {
    const directory = path.join(root, ...parents);
    const existing = await unlessMissing(realpath(directory));
    if (existing !== undefined) {
      if (!(await stat(existing)).isDirectory()) throw notADirectory(existing);
      const file = path.join(existing, ...missing, segments.at(-1) ?? '');
      return isServed(root, file) ? file : undefined;
    }
    const made = await unlessMissing(lstat(directory));
    // What is created at the target of a dangling link might be outside of the root.
    if (made?.isSymbolicLink()) return undefined;
    // Another upload has created it meanwhile.
    if (made !== undefined) continue;
    const last = parents.pop();
    if (last === undefined) throw notADirectory(root);
    missing.unshift(last);
  }
}

function notADirectory(place: string): Error {
  return Object.assign(new Error(`${place} is not a directory`), { code: 'ENOTDIR' });
}

/** Whether a resolved path lies below the root and outside the unfinished uploads. */
function isServed(root: string, file: string): boolean {
  const relative = path.relative(root, file);
  const [first = ''] = relative.split(path.sep);
  return first !== '..' && !path.isAbsolute(relative) && first.toLowerCase() !== SESSIONS_FOLDER;
}

/** The result of a file operation; undefined when the file does not exist. */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
