import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const SCRIPTS = ['contending', 'homeless', 'locking', 'orphaning', 'saving', 'thread'] as const;
export type ChildScript = (typeof SCRIPTS)[number];

let bundles: Promise<string> | undefined;

/** The scripts of this folder, each in one file: loading them as TypeScript takes ten times as long. */
async function bundleScripts(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'bits-children-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await build({
    entryPoints: SCRIPTS.map((name) => fileURLToPath(new URL(`${name}-child.ts`, import.meta.url))),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
  });
  return folder;
}

export async function childPath(name: ChildScript): Promise<string> {
  bundles ??= bundleScripts();
  return join(await bundles, `${name}-child.mjs`);
}

/** Starts a script of this folder as a process of its own, with a channel for messages. */
export async function startChild(name: ChildScript, ...args: string[]): Promise<ChildProcess> {
  return fork(await childPath(name), args, { execArgv: [] });
}

/** The next message of a child; fails when the child ends instead. */
export async function messageFrom(child: ChildProcess): Promise<unknown> {
  const settled = new AbortController();
  const { signal } = settled;
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message as unknown),
      once(child, 'exit', { signal }).then(([code, name]) => {
        throw new Error(`the child ended with ${code ?? name}`);
      }),
    ]);
  } finally {
    settled.abort();
  }
}

export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
