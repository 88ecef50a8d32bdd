import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createBitsServer } from '../src/testing/index.js';

/**
 * Draws docs/cli.svg: the program at work in a terminal, interrupted and resumed. What it shows has
 * happened, in tmux, with the reference server behind a slow line.
 */

const COLUMNS = 112;
const ROWS = 20;
const MIB = 1024 ** 2;
const SOCKET = 'bits-upload-picture';

const execute = promisify(execFile);
const tmux = async (...args: string[]) =>
  (await execute('tmux', ['-L', SOCKET, '-f', '/dev/null', ...args])).stdout;

async function screen(): Promise<string> {
  return tmux('capture-pane', '-p', '-e', '-t', 'picture');
}

async function waitFor(sign: RegExp): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (sign.test((await screen()).replace(COLOR, ''))) return;
    await delay(50);
  }
  throw new Error(`the screen never showed ${sign}:\n${await screen()}`);
}

async function type(text: string): Promise<void> {
  await tmux('send-keys', '-t', 'picture', '-l', text);
  await tmux('send-keys', '-t', 'picture', 'Enter');
}

const COLOR = /\u001b\[([\d;]*)m/g;

const COLORS: Readonly<Record<string, string>> = {
  '1': 'font-weight="bold"',
  '2': 'fill="#8b949e"',
  '31': 'fill="#ff7b72"',
  '32': 'fill="#7ee787"',
  '33': 'fill="#e3b341"',
  '36': 'fill="#79c0ff"',
};

const LINE_PX = 20;
const CHARACTER_PX = 7.8;
const MARGIN_PX = 16;

function svg(text: string): string {
  const lines = text.trimEnd().split('\n');
  const width = Math.ceil(COLUMNS * CHARACTER_PX + 2 * MARGIN_PX);
  const height = lines.length * LINE_PX + 2 * MARGIN_PX;
  const rows = lines.map((line, index) => {
    const y = MARGIN_PX + (index + 0.75) * LINE_PX;
    return `<text x="${MARGIN_PX}" y="${y}">${spans(line)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" role="img" aria-label="bits-upload in a terminal: an upload is interrupted and resumed">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" fill="#e6edf3">
${rows.join('\n')}
</g>
</svg>
`;
}

/** Runs of one color; each has its own length, so that any font gives the same picture. */
function spans(line: string): string {
  const [first = '', ...others] = line.split(COLOR);
  let column = 0;
  const span = (text: string, look = '') => {
    if (text === '') return '';
    const x = MARGIN_PX + column * CHARACTER_PX;
    const length = [...text].length;
    column += length;
    if (text.trim() === '') return '';
    // Spaces in a row become one in SVG, unless they do not break.
    const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll(' ', '\u00a0');
    return `<tspan x="${x.toFixed(1)}" textLength="${(length * CHARACTER_PX).toFixed(1)}" ${look}>${escaped}</tspan>`;
  };
  let drawn = span(first);
  for (let at = 0; at < others.length; at += 2) {
    const looks = (others[at] ?? '').split(';').map((code) => COLORS[code] ?? '');
    drawn += span(others[at + 1] ?? '', looks.join(' '));
  }
  return drawn;
}

const folder = await mkdtemp(path.join(tmpdir(), 'bits-upload-picture-'));
const server = await createBitsServer({
  port: 8080,
  faults: [{ on: 'fragment', times: Number.POSITIVE_INFINITY, do: { bytesPerSecond: 4 * MIB } }],
});
try {
  await mkdir(path.join(folder, 'bin'));
  await symlink(path.resolve('dist/cli/main.js'), path.join(folder, 'bin/bits-upload'));
  for (const [name, size] of Object.entries({
    'database.bak': 41,
    'photos.tar': 27,
  })) {
    await writeFile(path.join(folder, name), Buffer.alloc(size * MIB, name));
  }
  const shell = `env -i TERM=xterm-256color PS1='$ ' HOME=${folder} PATH=${folder}/bin:${process.env.PATH} bash --norc --noprofile`;
  await tmux(
    'new-session',
    '-d',
    '-s',
    'picture',
    '-x',
    String(COLUMNS),
    '-y',
    String(ROWS),
    '-c',
    folder,
    shell,
  );
  await type('clear');
  await type('bits-upload put database.bak photos.tar http://127.0.0.1:8080/backup/');
  await waitFor(/\b[4-6]\d ?%/);
  await tmux('send-keys', '-t', 'picture', 'C-c');
  await waitFor(/\$ *\n*$/);
  // The same command resumes.
  await tmux('send-keys', '-t', 'picture', 'Up', 'Enter');
  await waitFor(/resuming[\s\S]*[5-9]\d ?%/);
  await writeFile('docs/cli.svg', svg(await screen()));
} finally {
  await tmux('kill-server').catch(() => {});
  await server.close();
  await rm(folder, { recursive: true, force: true });
}
