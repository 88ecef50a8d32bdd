import { stat } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { unlessAborted } from '../../common/abort.js';
import { appendFileName, parseRemoteUrl } from '../../internal.js';
import type { CommandContext } from '../context.js';
import { readFileList, readManifest, refusal } from '../tree/file-list.js';
import type { Filters } from '../tree/filters.js';
import { batchKey } from '../tree/finished-files.js';
import {
  assertNoneMeet,
  failedPlan,
  isDirectoryUrl,
  needsSlash,
  type Place,
  type Planned,
  plannedFile,
  segmentsOf,
  skippedPlan,
  splitRepeated,
  type UploadPlan,
  urlAtEnd,
  urlBelow,
} from '../tree/planned.js';
import { openingError } from '../tree/walk.js';
import { UsageError } from '../values.js';
import type { Flags } from './options.js';

/**
 * `put --files-from LIST [DIRECTORY] URL`
 * @throws UsageError
 */
export async function planList(
  list: string,
  paths: readonly string[],
  flags: Flags,
  filters: Filters,
  context: CommandContext,
): Promise<UploadPlan> {
  const remoteUrl = urlAtEnd(paths, '--files-from LIST [DIRECTORY] URL');
  const [base = '.', ...others] = paths.slice(0, -1);
  if (others.length > 0) {
    throw new UsageError('--files-from takes one DIRECTORY before the URL, and no other PATH');
  }
  if (!isDirectoryUrl(remoteUrl)) throw new UsageError(needsSlash('--files-from', remoteUrl));
  const names = await namesIn(list, flags, context);
  const listed = splitRepeated(
    names
      .map((file) => ({ file, segments: segmentsBelow(base, file) }))
      .filter(({ segments }) => filters.hasFile(segments.join('/'))),
    ({ segments }) => segments.join('/'),
  );
  const places = listed.once.map(({ segments }) => segments.join('/'));
  assertNoneMeet(
    listed.once.map(({ file }) => file),
    places,
  );
  const { include = [], exclude = [] } = flags;
  const { origin, pathname } = remoteUrl;
  const isNamed = list !== '-';
  const place = [origin + pathname, isNamed ? resolve(list) : list, resolve(base)];
  const parts = ['list', ...place, '', ...include, '', ...exclude];
  return {
    isOneFile: false,
    key: batchKey([remoteUrl], parts, isNamed ? undefined : places),
    urls: [remoteUrl],
    isLazy: true,
    files: filesOf(listed, context, ({ file, segments }) => ({
      file,
      path: join(base, ...segments),
      url: urlBelow(remoteUrl, segments),
      segments,
    })),
  };
}

/** None after a stop: whoever writes the list may never end it. */
async function namesIn(
  list: string,
  { null: isNullTerminated = false }: Flags,
  { io, interruption: { signal } }: CommandContext,
): Promise<string[]> {
  try {
    return await unlessAborted(readFileList(list, { isNullTerminated }, io), signal);
  } catch (error) {
    if (signal.aborted) return [];
    throw error;
  }
}

/** @throws UsageError for a file outside of the directory, which has no place below the URL */
function segmentsBelow(base: string, file: string): string[] {
  const path = relative(resolve(base), resolve(base, file));
  const isOutside = path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path);
  if (!isOutside && path !== '') return path.split(sep);
  const where = base === '.' ? 'the current directory' : base;
  throw new UsageError(
    `--files-from lists ${file}, which is not in ${where}: give the DIRECTORY that all files are in ` +
      'before the URL',
  );
}

/**
 * `put --manifest FILE.csv`
 * @throws UsageError
 */
export async function planManifest(
  name: string,
  paths: readonly string[],
  { removeSource }: Flags,
  context: CommandContext,
): Promise<UploadPlan> {
  if (paths.length > 0) {
    throw new UsageError('--manifest names files and URLs: leave out the other arguments');
  }
  const listed = (await readManifest(name)).map(({ source, destination, line }) => {
    try {
      return { source, url: appendFileName(parseRemoteUrl(destination), basename(source)) };
    } catch (error) {
      throw refusal(name, line, (error as Error).message);
    }
  });
  const rows = splitRepeated(listed, ({ source, url }) => `${resolve(source)}\0${url.href}`);
  assertNoneMeet(
    rows.once.map(({ source }) => source),
    rows.once.map(({ url }) => `${url.origin}/${segmentsOf(url).join('/')}`),
  );
  const [elsewhere] = splitRepeated(rows.once, ({ source }) => resolve(source)).again;
  if (removeSource && elsewhere !== undefined) {
    throw new UsageError(
      `--manifest ${name} has several Destinations for ${elsewhere.source}, and --remove-source would ` +
        'remove it after the first one: leave out --remove-source',
    );
  }
  const urls = rows.once.map(({ url }) => url);
  return {
    isOneFile: false,
    key: batchKey(urls, ['manifest', resolve(name)]),
    urls: [...new Map(urls.map((url) => [url.host, url])).values()],
    isLazy: true,
    files: filesOf(rows, context, ({ source, url }) => ({
      file: source,
      path: source,
      url,
      segments: segmentsOf(url),
    })),
  };
}

async function* filesOf<T>(
  { once, again }: ReturnType<typeof splitRepeated<T>>,
  { interruption: { signal } }: CommandContext,
  placeOf: (item: T) => Place,
): AsyncGenerator<Planned> {
  for (const item of again) yield skippedPlan(placeOf(item), 'repeated');
  for (const item of once) {
    if (signal.aborted) return;
    yield await listedFile(placeOf(item));
  }
}

async function listedFile(place: Place): Promise<Planned> {
  const { path } = place;
  try {
    const stats = await stat(path, { bigint: true });
    if (stats.isFile()) return plannedFile(place, stats);
    if (!stats.isDirectory()) return failedPlan(place, await openingError(path, undefined));
    const why = 'it is a directory: list only files, as find -type f does';
    return failedPlan(place, new UsageError(why));
  } catch (error) {
    return failedPlan(place, await openingError(path, error));
  }
}
