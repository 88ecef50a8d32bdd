import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileSource, streamSource } from '../../index.js';
import { appendFileName } from '../../internal.js';
import type { CommandContext, Io } from '../context.js';
import { assertStandardInput } from '../standard-input.js';
import { createFilters, type Filters } from '../tree/filters.js';
import { batchKey } from '../tree/finished-files.js';
import { withDigest } from '../tree/local-files.js';
import {
  assertNoneMeet,
  failedPlan,
  isDirectoryUrl,
  isUrl,
  needsSlash,
  type Place,
  type Planned,
  plannedFile,
  segmentsOf,
  skippedPlan,
  splitRepeated,
  targetOf,
  type UploadPlan,
  urlAtEnd,
  urlBelow,
} from '../tree/planned.js';
import { walkTree } from '../tree/walk.js';
import { parseSize, UsageError } from '../values.js';
import type { Flags } from './options.js';
import { planList, planManifest } from './put-lists.js';

/** The arguments of the command. */
const FORM = 'PATH… URL';

/** Names standard input. */
const STDIN = '-';

/**
 * What to upload where. Nothing is sent, and no more of directories and lists is looked at than is asked
 * for.
 * @param paths the arguments of the command, the URL included
 * @throws UsageError, BITS_ERR_ARGUMENT
 */
export async function planUploads(
  paths: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<UploadPlan> {
  checkSelection(flags);
  const { manifest, filesFrom, include, exclude } = flags;
  if (manifest !== undefined) return planManifest(manifest, paths, flags, context);
  const filters = await createFilters(include, exclude);
  return filesFrom === undefined
    ? planArguments(paths, flags, filters, context)
    : planList(filesFrom, paths, flags, filters, context);
}

function checkSelection(flags: Flags): void {
  const { recursive, followLinks, include, exclude, filesFrom, null: isNull, manifest } = flags;
  if (manifest !== undefined && (filesFrom !== undefined || recursive || include || exclude)) {
    throw new UsageError(
      '--manifest names the files: leave out --files-from, --recursive, --include and --exclude',
    );
  }
  if (filesFrom !== undefined && recursive) {
    throw new UsageError('--files-from names the files: leave out --recursive');
  }
  if (isNull && filesFrom === undefined) throw new UsageError('--null needs --files-from');
  if (followLinks && !recursive) throw new UsageError('--follow-links needs --recursive');
  if ((include || exclude) && !recursive && filesFrom === undefined) {
    throw new UsageError('--include and --exclude need --recursive or --files-from');
  }
}

/** `put PATH… URL` */
async function planArguments(
  paths: readonly string[],
  flags: Flags,
  filters: Filters,
  context: CommandContext,
): Promise<UploadPlan> {
  const remoteUrl = urlAtEnd(paths, FORM);
  if (paths.length < 2) throw new UsageError(`a PATH is missing before the URL: give ${FORM}`);
  const { once: sources, again } = splitRepeated(paths.slice(0, -1), rootOf);
  checkSources(sources, remoteUrl, flags);
  const checked: Argument[] = again.map((path) =>
    skippedPlan(placeOf(path, remoteUrl), 'repeated'),
  );
  for (const path of sources) {
    checked.push(
      path === STDIN
        ? plannedStream(remoteUrl, flags, context.io)
        : await checkArgument(path, remoteUrl, flags),
    );
  }
  const hasTree = checked.some(({ kind }) => kind === 'tree');
  if (hasTree && !isDirectoryUrl(remoteUrl)) {
    throw new UsageError(needsSlash('a directory', remoteUrl));
  }
  const isOneFile = sources.length === 1 && !hasTree;
  const { include = [], exclude = [] } = flags;
  const place = `${remoteUrl.origin}${remoteUrl.pathname}`;
  const parts = ['arguments', place, ...sources.map(rootOf), '', ...include, '', ...exclude];
  return {
    isOneFile,
    key: isOneFile ? undefined : batchKey([remoteUrl], parts),
    urls: [remoteUrl],
    isLazy: hasTree,
    files: filesOfArguments(checked, { remoteUrl, flags, filters, context }),
  };
}

type Argument = Planned | { readonly kind: 'tree'; readonly path: string };

interface TreeContext {
  readonly remoteUrl: URL;
  readonly flags: Flags;
  readonly filters: Filters;
  readonly context: CommandContext;
}

async function* filesOfArguments(
  checked: readonly Argument[],
  tree: TreeContext,
): AsyncGenerator<Planned> {
  // So that a wrong name is reported before the first byte is sent.
  for (const argument of checked) if (argument.kind === 'failed') yield argument;
  for (const argument of checked) {
    if (argument.kind === 'tree') yield* filesOfTree(argument.path, tree);
    else if (argument.kind !== 'failed') yield argument;
  }
}

async function* filesOfTree(
  root: string,
  { remoteUrl, flags, filters, context }: TreeContext,
): AsyncGenerator<Planned> {
  const above = isContents(root) ? [] : [basename(resolve(root))];
  const { signal } = context.interruption;
  const { followLinks = false } = flags;
  for await (const found of walkTree(root, { filters, followLinks, signal })) {
    const path = join(root, ...found.segments);
    const segments = [...above, ...found.segments];
    const url = segments.length === 0 ? remoteUrl : urlBelow(remoteUrl, segments);
    const place = { file: path, path, url, segments };
    if (found.kind === 'file') yield plannedFile(place, found.stamp, found.source);
    else if (found.kind === 'failed') yield failedPlan(place, found.error);
    else yield skippedPlan(place, found.reason);
  }
}

/** What an argument stands for; a file may be called - as well, as ./- */
function rootOf(path: string): string {
  if (path === STDIN) return path;
  return isContents(path) ? `${resolve(path)}/` : resolve(path);
}

/** Whether a directory stands for the files in it, without its own name, as for rsync. */
function isContents(path: string): boolean {
  return /(?:^|[\\/])\.{0,2}$/.test(
    process.platform === 'win32' ? path : path.replaceAll('\\', '_'),
  );
}

function checkSources(
  sources: readonly string[],
  remoteUrl: URL,
  { recursive, size, spoolSize }: Flags,
): void {
  // Not repeated in the message: it may hold a password.
  if (sources.some(isUrl)) {
    throw new UsageError(
      'only the last argument can be a URL: write ./ before a PATH that looks like one',
    );
  }
  if (sources.length > 1 && !isDirectoryUrl(remoteUrl)) {
    throw new UsageError(needsSlash('more than one PATH', remoteUrl));
  }
  if (sources.includes(STDIN) && isDirectoryUrl(remoteUrl)) {
    throw new UsageError(
      'standard input has no name: give the URL of the file, not one that ends in /',
    );
  }
  const [lonely] = [size && '--size', spoolSize && '--spool-size'].filter(Boolean);
  if (lonely && !sources.includes(STDIN)) {
    throw new UsageError(`${lonely} is for standard input: give ${STDIN} as PATH`);
  }
  if (size !== undefined && spoolSize !== undefined) {
    throw new UsageError(
      '--size and --spool-size exclude each other: with --size nothing is stored',
    );
  }
  if (sources.length < 2) return;
  const mixed = recursive ? sources.find(isContents) : undefined;
  if (mixed !== undefined) {
    throw new UsageError(
      `the files in ${mixed} would be mixed with the others: give it alone, or give it as ` +
        `${resolve(mixed)}, which keeps its name`,
    );
  }
  assertNoneMeet(
    sources,
    sources.map((path) => fileSource(path).name ?? path),
  );
}

/** Whoever names a file wants to know before the first byte is sent that it cannot be read. */
async function checkArgument(
  path: string,
  remoteUrl: URL,
  { recursive }: Flags,
): Promise<Argument> {
  const source = fileSource(path);
  const place = placeOf(path, remoteUrl);
  const looked = await stat(path, { bigint: true }).catch(() => undefined);
  if (looked?.isDirectory()) {
    if (recursive) return { kind: 'tree', path };
    const why = 'it is a directory: give --recursive (-r) to upload the files in it';
    return failedPlan(place, new UsageError(why));
  }
  try {
    await (await source.open()).close();
    return plannedFile(place, looked ?? (await stat(path, { bigint: true })));
  } catch (error) {
    const failed = failedPlan(place, error);
    const hint = failed.missing && hintForMissing(path);
    return hint
      ? { ...failed, error: new UsageError(`${(error as Error).message} ${hint}`) }
      : failed;
  }
}

function placeOf(path: string, remoteUrl: URL): Place {
  const { name } = fileSource(path);
  const url = name ? appendFileName(remoteUrl, name) : remoteUrl;
  return { file: path, path, url, segments: name ? [name] : [] };
}

function hintForMissing(path: string): string | undefined {
  if (path.startsWith('~')) {
    return 'A shell replaces ~ only outside of quotes: leave out the quotes, or write $HOME.';
  }
  if (/[*?[{]/.test(path)) {
    return (
      'A shell leaves a pattern as it is when nothing matches or when it is in quotes, and that of ' +
      "Windows always: give a directory with --recursive and --include '*.log' instead."
    );
  }
  return undefined;
}

/** @throws UsageError */
function plannedStream(url: URL, flags: Flags, { stdin }: Io): Argument {
  const place = { file: STDIN, path: STDIN, url, segments: segmentsOf(url).slice(-1) };
  const { size, spoolSize, checksum } = flags;
  const most = Number.MAX_SAFE_INTEGER;
  const byteLength = size === undefined ? undefined : parseSize('--size', size, { least: 0, most });
  const maxBytes = spoolSize && parseSize('--spool-size', spoolSize, { least: 1, most });
  try {
    assertStandardInput(stdin);
  } catch (error) {
    return failedPlan(place, error);
  }
  const { stream, sha256 } = checksum ? withDigest(stdin) : { stream: stdin };
  const source =
    byteLength === undefined
      ? streamSource(stream, { limitName: '--spool-size', ...(maxBytes && { maxBytes }) })
      : { stream, byteLength };
  const { segments } = place;
  return {
    kind: 'upload',
    target: targetOf(place),
    url,
    file: undefined,
    segments,
    source,
    byteLength,
    sha256,
  };
}
