import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { NETWORK_OPTIONS, SECRET_VARIABLES } from '../src/cli/commands/network-flags.js';
import { variableOf } from '../src/cli/environment.js';
import { descriptionOf } from '../src/cli/help.js';
import { createProgram } from '../src/cli/program.js';
import { ANSWERS, type AnswerRow, type StatusMatch } from '../src/protocol/answers.js';
import { formatHresult, hresultName } from '../src/protocol/hresult.js';
import { eventRows, eventsSchema } from './events-schema.js';
import { jobOptions } from './options-table.js';
import { stateDiagram } from './state-diagram.js';

/** The tables of the documentation that are made from code, by file and marker. */
export const TABLES: readonly { file: string; marker: string; render: () => string }[] = [
  { file: 'README.md', marker: 'figures', render: figuresTable },
  { file: 'docs/comparison.md', marker: 'figures', render: figuresTable },
  { file: 'docs/protocol.md', marker: 'answers', render: answersTable },
  { file: 'docs/protocol.md', marker: 'states', render: stateDiagram },
  { file: 'docs/options.md', marker: 'options', render: jobOptionsTable },
  { file: 'docs/cli.md', marker: 'network', render: networkTable },
  { file: 'docs/cli.md', marker: 'variables', render: variablesTable },
  { file: 'docs/cli.md', marker: 'events', render: eventsTable },
  ...commandTables(),
];

function commandTables() {
  const program = createProgram(process.stdout, async () => {});
  const commands = program.commands.filter(({ options }) => options.length > 0);
  return commands.map((command) => ({
    file: 'docs/cli.md',
    marker: command.name(),
    render: () => optionsTable(command),
  }));
}

/** The network's options have a table of their own, for several commands have them. */
function optionsTable(command: Command): string {
  const rows = command.options.filter(
    (option) => !option.hidden && !NETWORK_OPTIONS.includes(option),
  );
  const hasNetwork = command.options.some((option) => option.long === '--user');
  return table(
    ['Option', 'What'],
    [
      ...rows.map((option) => [code(option.flags), cell(descriptionOf(option))]),
      ...(hasNetwork ? [['and', 'the [options of the network](#the-network)']] : []),
    ],
  );
}

function networkTable(): string {
  return table(
    ['Option', 'Environment', 'What'],
    NETWORK_OPTIONS.map((option) => [
      code(option.flags),
      code(option.isBoolean() ? `${variableOf(option)}=1` : variableOf(option)),
      cell(option.description),
    ]),
  );
}

function variablesTable(): string {
  return table(
    ['Variable', 'What'],
    SECRET_VARIABLES.map(({ variable, help }) => [code(variable), cell(help)]),
  );
}

function eventsTable(): string {
  return table(
    ['`type`', 'What', 'Fields'],
    eventRows().map(({ type, text, fields }) => [code(type), text, fields.map(code).join(', ')]),
  );
}

/** The text of the file that holds {@link eventsSchema}. */
export const SCHEMA_FILE = 'docs/cli-events.schema.json';

export function schemaText(): string {
  return `${JSON.stringify(eventsSchema(), undefined, 2)}\n`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

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

function jobOptionsTable(): string {
  return table(
    ['Option', 'What', 'Default'],
    jobOptions().map(({ name, text, byDefault, isRequired }) => [
      code(name),
      cell(text),
      isRequired ? 'required' : cell(byDefault ?? 'none'),
    ]),
  );
}

interface Median {
  readonly wallMs: number;
  readonly peakBytes?: number;
}

/** What `npm run bench` measured last, of the clients that the README compares. */
function figuresTable(): string {
  const { rows } = JSON.parse(readFileSync('docs/benchmarks/results.json', 'utf8')) as {
    rows: readonly { id: string; medians: Readonly<Record<string, Median>> }[];
  };
  const median = (row: string, client: string) =>
    rows.find(({ id }) => id === row)?.medians[client];
  const speed = (row: string, client: string) => {
    const { wallMs } = median(row, client) ?? {};
    return wallMs === undefined ? '–' : `${Math.round(2 ** 30 / wallMs / 1000)} MB/s`;
  };
  const peak = (row: string, client: string) => {
    const { peakBytes } = median(row, client) ?? {};
    return peakBytes === undefined ? '–' : `${Math.round(peakBytes / 2 ** 20)} MiB`;
  };
  const [ours, tus, tusChunks, curl] = [
    'bits-upload',
    'tus-js-client, one chunk',
    'tus-js-client, 4 MiB chunks',
    'curl -T',
  ];
  return table(
    ['Measured, 1 GiB over loopback', 'bits-upload', 'tus-js-client', '`curl -T`'],
    [
      ['one request, or the default', speed('file', ours), speed('file', tus), speed('file', curl)],
      ['in parts that can be resumed', speed('file', ours), speed('file', tusChunks), '–'],
      ['the same, answers 50 ms late', speed('late', ours), speed('late', tusChunks), '–'],
      ['peak memory', peak('file', ours), peak('file', tusChunks), peak('file', curl)],
      ['peak memory, 10 GiB', peak('memory', '10 GiB, defaults'), '–', '–'],
    ],
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
  await writeFile(SCHEMA_FILE, schemaText());
  for (const { file, marker, render } of TABLES) {
    await writeFile(file, withTable(await readFile(file, 'utf8'), marker, render()));
  }
}
