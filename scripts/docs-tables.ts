import { readFile, writeFile } from 'node:fs/promises';
import { DEFAULTS } from '../src/job/options.js';
import { ANSWERS, type AnswerRow, type StatusMatch } from '../src/protocol/answers.js';
import { formatHresult, hresultName } from '../src/protocol/hresult.js';

/** The tables of the documentation that are made from code, by file and marker. */
export const TABLES: readonly { file: string; marker: string; render: () => string }[] = [
  { file: 'docs/protocol.md', marker: 'answers', render: answersTable },
  { file: 'docs/options.md', marker: 'defaults', render: defaultsTable },
];

/** The text of a file with the table between its markers made anew. */
export function withTable(text: string, marker: string, table: string): string {
  const [open, close] = [`<!-- ${marker} -->`, `<!-- /${marker} -->`];
  const start = text.indexOf(open);
  const end = text.indexOf(close);
  if (start < 0 || end < start) throw new Error(`no markers ${open} … ${close}`);
  return `${text.slice(0, start + open.length)}\n${table}\n${text.slice(end)}`;
}

function answersTable(): string {
  return table(
    ['Packet', 'Status', 'HRESULT', 'Context', 'Means', 'What to check'],
    ANSWERS.map((row) => [
      row.packets?.join(', ') ?? 'any',
      row.statuses?.map(statusText).join(', ') ?? 'any',
      hresults(row),
      row.context === undefined ? 'any' : `0x${row.context.toString(16)}`,
      `\`${row.meaning}\``,
      row.advice,
    ]),
  );
}

function defaultsTable(): string {
  return table(
    ['Option', 'Default'],
    Object.entries(DEFAULTS).map(([name, value]) => [`\`${name}\``, `\`${value}\``]),
  );
}

function statusText(match: StatusMatch): string {
  if (typeof match === 'number') return String(match);
  const [first, last] = match;
  return first === last ? String(first) : `${first}–${last}`;
}

function hresults(row: AnswerRow): string {
  if (row.hresults === undefined) return 'any or none';
  return row.hresults.map((code) => `${hresultName(code) ?? ''} ${formatHresult(code)}`).join(', ');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

if (process.argv[1] === import.meta.filename) {
  for (const { file, marker, render } of TABLES) {
    await writeFile(file, withTable(await readFile(file, 'utf8'), marker, render()));
  }
}
