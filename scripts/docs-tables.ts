import { readFile, writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { defineCancel } from '../src/cli/commands/cancel.js';
import { defineJobs } from '../src/cli/commands/jobs.js';
import { NETWORK_FLAGS, SECRET_VARIABLES } from '../src/cli/commands/network-flags.js';
import { definePing } from '../src/cli/commands/ping.js';
import { definePrune } from '../src/cli/commands/prune.js';
import { definePut } from '../src/cli/commands/put.js';
import { defineResume } from '../src/cli/commands/resume.js';
import { defineServe } from '../src/cli/commands/serve.js';
import type { CommandContext } from '../src/cli/context.js';
import { Interruption } from '../src/cli/interruption.js';
import { STATE_DIRECTORY_VARIABLE } from '../src/cli/state-directory.js';
import { ANSWERS, type AnswerRow, type StatusMatch } from '../src/protocol/answers.js';
import { formatHresult, hresultName } from '../src/protocol/hresult.js';
import { jobOptions } from './options-table.js';
import { stateDiagram } from './state-diagram.js';

/** The tables of the documentation that are made from code, by file and marker. */
export const TABLES: readonly { file: string; marker: string; render: () => string }[] = [
  { file: 'docs/protocol.md', marker: 'answers', render: answersTable },
  { file: 'docs/protocol.md', marker: 'states', render: stateDiagram },
  { file: 'docs/options.md', marker: 'options', render: jobOptionsTable },
  { file: 'docs/cli.md', marker: 'network', render: networkTable },
  { file: 'docs/cli.md', marker: 'variables', render: variablesTable },
  ...commandTables({
    put: definePut,
    resume: defineResume,
    jobs: defineJobs,
    cancel: defineCancel,
    prune: definePrune,
    ping: definePing,
    serve: defineServe,
  }),
];

type Define = (command: Command, context: CommandContext) => void;

function commandTables(commands: Readonly<Record<string, Define>>) {
  const { stdin, stdout, stderr } = process;
  const io = { stdin, stdout, stderr, env: {} };
  const context = { io, interruption: new Interruption(), exitWith: () => {} };
  return Object.entries(commands).map(([name, define]) => ({
    file: 'docs/cli.md',
    marker: name,
    render: () => {
      const command = new Command(name);
      define(command, context);
      return optionsTable(command);
    },
  }));
}

/** The network's options have a table of their own, for several commands have them. */
function optionsTable(command: Command): string {
  const shared = new Set(NETWORK_FLAGS.map(({ flags }) => flags));
  const rows = command.options.filter(({ flags, hidden }) => !hidden && !shared.has(flags));
  const hasNetwork = command.options.some(({ flags }) => shared.has(flags));
  return table(
    ['Option', 'What'],
    [
      ...rows.map((option) => {
        const { flags, description, defaultValue } = option;
        const byDefault = typeof defaultValue === 'string' ? ` (default: ${defaultValue})` : '';
        return [code(flags), cell(description + byDefault)];
      }),
      ...(hasNetwork ? [['and', 'the [options of the network](#the-network)']] : []),
    ],
  );
}

function networkTable(): string {
  return table(
    ['Option', 'Environment', 'What'],
    NETWORK_FLAGS.map(({ flags, variable, kind, help }) => [
      code(flags),
      code(kind === 'switch' ? `${variable}=1` : variable),
      cell(help),
    ]),
  );
}

function variablesTable(): string {
  return table(
    ['Variable', 'What'],
    [
      ...SECRET_VARIABLES.map(({ variable, help }) => [code(variable), cell(help)]),
      [
        code(STATE_DIRECTORY_VARIABLE),
        'directory for the records of unfinished uploads; `--state-dir`',
      ],
    ],
  );
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
