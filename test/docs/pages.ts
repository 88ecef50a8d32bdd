import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A page of the documentation. */
export interface Page {
  readonly file: string;
  readonly text: string;
}

/** A fenced block of code, and what the comment above it says. */
export interface Block {
  /** `docs/cli.md:17` */
  readonly place: string;
  /** As after the three back-ticks: `js`, `ts`, `sh`, `yaml`, … */
  readonly language: string;
  readonly code: string;
  /**
   * How far the block is tried: code is compiled and run, and so are commands of `sh`, unless a comment
   * right above the block, which readers do not see, gives a reason against it:
   * `<!-- compiled: needs a Kerberos ticket -->` or `<!-- shown: a part of a file -->`.
   */
  readonly trial: 'run' | 'compiled' | 'shown';
  /** What the block takes for granted: the code in `<!-- given … -->` above it. */
  readonly given: string;
}

const FOLDERS = [
  '.',
  'docs',
  'docs/benchmarks',
  'docs/site',
  'examples',
  'examples/electron',
  'api',
];

/** Every page that people read, the README first. */
export async function readPages(): Promise<Page[]> {
  const files = await Promise.all(
    FOLDERS.map(async (folder) => {
      const names = (await readdir(folder)).filter((name) => name.endsWith('.md')).sort();
      return names.map((name) => join(folder, name).replaceAll('\\', '/'));
    }),
  );
  return Promise.all(
    files.flat().map(async (file) => ({ file, text: await readFile(file, 'utf8') })),
  );
}

/** The blocks of a page; indented ones, as in lists, too. */
export function blocksOf({ file, text }: Page): Block[] {
  const blocks: Block[] = [];
  const lines = text.split('\n');
  let comments = '';
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const [, indent, language] = /^( *)```([\w-]*)/.exec(line) ?? [];
    if (indent !== undefined && language !== undefined) {
      const end = lines.indexOf(`${indent}\`\`\``, at + 1);
      if (end < 0) throw new Error(`${file}:${at + 1}: the block does not end`);
      const body = lines.slice(at + 1, end).map((each) => each.slice(indent.length));
      blocks.push({
        place: `${file}:${at + 1}`,
        language,
        code: `${body.join('\n')}\n`,
        ...readComments(comments),
      });
      comments = '';
      at = end;
    } else if (line.startsWith('<!--')) {
      const end = lines.findIndex((each, index) => index >= at && each.endsWith('-->'));
      comments += `${lines.slice(at, end + 1).join('\n')}\n`;
      at = end;
    } else if (line !== '') {
      comments = '';
    }
  }
  return blocks;
}

function readComments(comments: string): Pick<Block, 'trial' | 'given'> {
  const [, trial = 'run'] = /<!-- (compiled|shown): \S/.exec(comments) ?? [];
  const [, given = ''] = /<!-- given\n([\s\S]*?)-->/.exec(comments) ?? [];
  return { trial: trial as Block['trial'], given };
}

/** The text without its blocks of code, in which nothing is a link or a heading. */
export function proseOf(text: string): string {
  return text.replace(/^ *```[\s\S]*?^ *```$/gm, '').replace(/<!--[\s\S]*?-->/g, '');
}

/** The anchors of a page's headings, as GitHub and the site make them. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of proseOf(text).matchAll(/^#{1,6} +(.+)$/gm)) {
    const base = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
    let anchor = base;
    for (let count = 1; anchors.has(anchor); count += 1) anchor = `${base}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}
