import { lstatSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a test needs, and not every system has. */
export const NEEDS = {
  devices: 'needs devices that are files',
  fifo: 'needs pipes that are files',
  modes: 'needs owners and modes of files',
  names: 'needs file names of any characters',
  proc: 'needs /proc',
  ps: 'needs ps',
  resets: 'needs resets of connections that no end comes before',
  shell: 'needs a shell of Unix',
  signals: 'needs signals that a process can handle',
  shortPaths: 'needs a limit of some 4000 bytes to a path',
  sockets: 'needs sockets that are files',
  unlink: 'needs open files that can lose their name, or have it taken over',
} as const;

/** Skips the present test, and says why after its title. */
export function skip(context: Mocha.Context, reason: string): never {
  const test = context.currentTest ?? context.test;
  if (test !== undefined) test.title += ` (skipped: ${reason})`;
  return context.skip();
}

/** Windows has none of these. */
export function skipOnWindows(context: Mocha.Context, need: keyof typeof NEEDS): void {
  if (process.platform === 'win32') skip(context, NEEDS[need]);
}

/** A suite for Windows alone, Wine included. */
export function describeOnWindows(title: string, suite: () => void): void {
  if (process.platform === 'win32') describe(title, suite);
  else describe.skip(`${title} (skipped: needs Windows)`, suite);
}

/** On Windows not every user may make symbolic links, and under Wine they look like their targets. */
export function skipWithoutLinks(context: Mocha.Context): void {
  hasLinks ??= tryLinks();
  if (!hasLinks) skip(context, 'needs symbolic links');
}

let hasLinks: boolean | undefined;

function tryLinks(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'bits-upload-test-'));
  try {
    symlinkSync(folder, join(folder, 'link'));
    return lstatSync(join(folder, 'link')).isSymbolicLink();
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
