import { resolve } from 'node:path';
import type { SourceInput } from '../../index.js';
import { appendFileName, namesThatMeet, parseRemoteUrl, redactUrl } from '../../internal.js';
import type { SkipReason, UploadTarget } from '../render/messages.js';
import { UsageError } from '../values.js';
import type { FileStamp, FoundFile } from './file-stamp.js';
import type { BatchKey } from './finished-files.js';
import { sameOnWindows } from './walk.js';

/** One file, and where it goes. */
export interface PlannedUpload {
  readonly kind: 'upload';
  readonly target: UploadTarget;
  readonly url: URL;
  readonly source: SourceInput;
  /** Undefined: standard input. */
  readonly file: FoundFile | undefined;
  /** Undefined: standard input without --size. */
  readonly byteLength: number | undefined;
  /** The names that were appended to the URL; of a manifest, those in it. */
  readonly segments: readonly string[];
  /** The digest of standard input, as far as it was read; with --checksum. */
  readonly sha256?: (() => string) | undefined;
}

/** A file that cannot be uploaded. */
export interface FailedPlan {
  readonly kind: 'failed';
  readonly target: UploadTarget;
  readonly error: unknown;
  /** Set when there is no such file: an earlier run of the same command may have removed it. */
  readonly missing?: { readonly url: URL; readonly path: string };
}

/** A file that is not to be uploaded. */
export interface SkippedPlan {
  readonly kind: 'skipped';
  readonly target: UploadTarget;
  readonly reason: SkipReason;
}

export type Planned = PlannedUpload | FailedPlan | SkippedPlan;

/** The files of a command. */
export interface UploadPlan {
  /** One file or stream that the command names. */
  readonly isOneFile: boolean;
  /** The same one when the same command is given again; undefined: one file. */
  readonly key: BatchKey | undefined;
  /** One of each server. */
  readonly urls: readonly URL[];
  /** Whether files are looked at while others are sent. */
  readonly isLazy: boolean;
  /** Looked for when they are asked for; what the command names itself is checked first. */
  readonly files: AsyncIterable<Planned>;
}

/** A file as it is named, and where it would go. */
export interface Place {
  /** As it is shown. */
  readonly file: string;
  readonly path: string;
  readonly url: URL;
  readonly segments: readonly string[];
}

export function plannedFile(
  { path, ...place }: Place,
  stamp: FileStamp,
  source: SourceInput = path,
): PlannedUpload {
  const file = { path: resolve(path), stamp };
  const { url, segments } = place;
  const byteLength = Number(stamp.size);
  return { kind: 'upload', target: targetOf(place), url, source, file, byteLength, segments };
}

export function failedPlan(place: Place, error: unknown): FailedPlan {
  const target = targetOf(place);
  const { code } = (error as { cause?: { code?: unknown } }).cause ?? {};
  if (code !== 'ENOENT') return { kind: 'failed', target, error };
  const { url, path } = place;
  return { kind: 'failed', target, error, missing: { url, path: resolve(path) } };
}

export function skippedPlan(place: Place, reason: SkipReason): SkippedPlan {
  return { kind: 'skipped', target: targetOf(place), reason };
}

export function targetOf({ file, url }: Pick<Place, 'file' | 'url'>): UploadTarget {
  return { file, url: redactUrl(url) };
}

export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

/**
 * The URL at the end of the arguments. No message repeats an argument: a password may be in it.
 * @param form how the arguments have to be given
 * @throws UsageError, BITS_ERR_ARGUMENT
 */
export function urlAtEnd(args: readonly string[], form: string): URL {
  const last = args.at(-1) ?? '';
  if (isUrl(last)) return parseRemoteUrl(last);
  if (args.some(isUrl)) throw new UsageError(`the URL comes last: give ${form}`);
  if (args.length < 2) {
    const what = args.length === 0 ? 'arguments are' : 'URL is';
    throw new UsageError(`the ${what} missing: give ${form}`);
  }
  throw new UsageError('the last argument must be the URL, which starts with http:// or https://');
}

/** The URL of a file in a tree; each name is encoded for itself. */
export function urlBelow(base: URL, segments: readonly string[]): URL {
  let url = base;
  for (const name of segments.slice(0, -1)) {
    url = appendFileName(url, name);
    url.pathname += '/';
  }
  return appendFileName(url, segments.at(-1) ?? '');
}

/** The names in a URL. */
export function segmentsOf({ pathname }: URL): string[] {
  return pathname
    .split('/')
    .filter((segment) => segment !== '')
    .map(decoded);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/**
 * Splits off what is given again.
 * @param keyOf what it is, and where it goes
 */
export function splitRepeated<T>(
  given: readonly T[],
  keyOf: (item: T) => string,
): { readonly once: readonly T[]; readonly again: readonly T[] } {
  const keys = new Set<string>();
  const [once, again]: [T[], T[]] = [[], []];
  for (const item of given) {
    const key = keyOf(item);
    (keys.has(key) ? again : once).push(item);
    keys.add(key);
  }
  return { once, again };
}

/**
 * One of two files with the same place would be lost, and be reported as stored.
 * @param places where the files go, in the same order
 * @throws UsageError
 */
export function assertNoneMeet(files: readonly string[], places: readonly string[]): void {
  const [meeting] = namesThatMeet(places);
  if (meeting === undefined) return;
  const same = files.filter((_, index) => meeting.includes(places[index] ?? ''));
  throw new UsageError(
    new Set(meeting).size === 1
      ? `${same.join(' and ')} would have the same URL: upload them one at a time, to different URLs`
      : sameOnWindows(same),
  );
}

export function isDirectoryUrl({ pathname }: URL): boolean {
  return pathname.endsWith('/');
}

export function needsSlash(what: string, url: URL): string {
  const { origin, pathname } = url;
  return `${what} needs a URL that ends in /, such as ${origin}${pathname}/`;
}
