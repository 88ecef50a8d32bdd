import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../common/error-like.js';
import { fileSource, type SourceInput } from '../../index.js';
import { namesThatMeet } from '../../internal.js';
import type { SkipReason } from '../render/messages.js';
import { UsageError } from '../values.js';
import { type FileStamp, sourceWithoutLinks } from './file-stamp.js';
import type { Filters } from './filters.js';

/** One entry of a tree; `segments` are the names from the root down to it. */
export type Found = { readonly segments: readonly string[] } & (
  | { readonly kind: 'file'; readonly stamp: FileStamp; readonly source: SourceInput }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'skipped'; readonly reason: SkipReason }
);

export interface WalkOptions {
  readonly filters: Filters;
  readonly followLinks: boolean;
  /** Ends the walk. */
  readonly signal: AbortSignal;
}

/** Finds the files in a directory, in the order of their names; only one directory is held at a time. */
export function walkTree(root: string, options: WalkOptions): AsyncGenerator<Found> {
  return new Walk(root, options).directory([], []);
}

class Walk {
  readonly #root: string;
  readonly #options: WalkOptions;

  constructor(root: string, options: WalkOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** @param ancestors the identities of the directories above, among which a link may lead back */
  async *directory(
    segments: readonly string[],
    ancestors: readonly string[],
  ): AsyncGenerator<Found> {
    const path = join(this.#root, ...segments);
    let entries: Dirent[];
    let identity: string;
    try {
      identity = identityOf(await stat(path, { bigint: true }));
      if (ancestors.includes(identity)) {
        throw new UsageError(
          `${path} is a link to a directory that it is in: leave it out with --exclude`,
        );
      }
      entries = await readdir(path, { withFileTypes: true });
    } catch (error) {
      yield { kind: 'failed', segments, error: directoryError(path, error) };
      return;
    }
    yield* this.#entries(segments, entries, [...ancestors, identity]);
  }

  async *#entries(
    above: readonly string[],
    all: readonly Dirent[],
    ancestors: readonly string[],
  ): AsyncGenerator<Found> {
    const { followLinks, signal } = this.#options;
    const entries = all.filter((entry) => this.#isMeant(entry, above)).sort(byName);
    const meeting = meetingNames(entries.filter((entry) => followLinks || !entry.isSymbolicLink()));
    for (const entry of entries) {
      if (signal.aborted) return;
      const segments = [...above, entry.name];
      const others = meeting.get(entry.name);
      if (entry.isSymbolicLink() && !followLinks) {
        yield { kind: 'skipped', segments, reason: 'link' };
      } else if (others !== undefined) {
        const names = others.map((name) => join(this.#root, ...above, name));
        yield { kind: 'failed', segments, error: new UsageError(sameOnWindows(names)) };
      } else if (entry.isDirectory()) {
        yield* this.directory(segments, ancestors);
      } else if (entry.isSymbolicLink()) {
        yield* this.#link(segments, ancestors);
      } else {
        yield await this.#file(segments, lstat);
      }
    }
  }

  async *#link(segments: readonly string[], ancestors: readonly string[]): AsyncGenerator<Found> {
    const { filters } = this.#options;
    const target = await stat(join(this.#root, ...segments)).catch(() => undefined);
    if (target?.isDirectory()) yield* this.directory(segments, ancestors);
    else if (filters.hasFile(segments.join('/'))) yield await this.#file(segments, stat);
  }

  async #file(segments: readonly string[], statOf: typeof stat): Promise<Found> {
    const path = join(this.#root, ...segments);
    try {
      const stamp = await statOf(path, { bigint: true });
      if (!stamp.isFile()) return { kind: 'skipped', segments, reason: 'special' };
      const { followLinks } = this.#options;
      const source = followLinks ? path : sourceWithoutLinks(this.#root, segments, stamp);
      return { kind: 'file', segments, stamp, source };
    } catch (error) {
      return { kind: 'failed', segments, error: await openingError(path, error) };
    }
  }

  /** A link may lead to a directory or to a file. */
  #isMeant(entry: Dirent, above: readonly string[]): boolean {
    const { filters } = this.#options;
    const path = [...above, entry.name].join('/');
    const mayHoldMore =
      entry.isDirectory() || (entry.isSymbolicLink() && this.#options.followLinks);
    return mayHoldMore ? filters.hasDirectory(path) : filters.hasFile(path);
  }
}

/** The error of the upload, which says more than that of the system. */
export async function openingError(path: string, error: unknown): Promise<unknown> {
  try {
    await (await fileSource(path).open()).close();
    return new UsageError(`${path} cannot be read (${codeOf(error)}): check the path`);
  } catch (opening) {
    return opening;
  }
}

export function sameOnWindows(files: readonly string[]): string {
  return (
    `${files.join(' and ')} would be the same file on a Windows server, which ignores case, and dots ` +
    'and spaces at the end: rename all but one'
  );
}

function directoryError(path: string, error: unknown): unknown {
  if (error instanceof UsageError) return error;
  const code = codeOf(error);
  const advice =
    code === 'EACCES' || code === 'EPERM' ? 'check the rights on it' : 'check the directory';
  return new UsageError(`the directory ${path} cannot be read (${code}): ${advice}`);
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1;
}

/** Each name that meets others, and all of them. */
function meetingNames(entries: readonly Dirent[]): ReadonlyMap<string, readonly string[]> {
  const groups = namesThatMeet(entries.map(({ name }) => name));
  return new Map(groups.flatMap((group) => group.map((name) => [name, group] as const)));
}
