import { cpus, totalmem } from 'node:os';
import { GIB, MIB } from './data.js';
import type { Sample } from './harness.js';
import type { Goal, Medians, Row } from './row.js';
import { barChart } from './svg.js';

export interface MeasuredRow {
  readonly row: Row;
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

export interface Machine {
  readonly date: string;
  readonly node: string;
  readonly system: string;
  readonly processors: string;
  readonly memoryGib: number;
}

export function thisMachine(): Machine {
  const [first] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    system: `${process.platform} ${process.arch}`,
    processors: `${cpus().length} × ${first?.model ?? 'unknown'}`,
    memoryGib: Math.round(totalmem() / GIB),
  };
}

const FIELDS = ['wallMs', 'cpuMs', 'peakBytes', 'slowest10sBytes', 'fastest10sBytes'] as const;

export function mediansOf({ row, samples }: MeasuredRow): Medians {
  return new Map(
    row.clients.map(({ name }) => {
      const all = samples.get(name) ?? [];
      const of = (key: keyof Sample) => {
        const values = all.map((sample) => sample[key]).filter((value) => value !== undefined);
        return values.length === 0 ? undefined : median(values);
      };
      const { wallMs = Number.NaN, ...others } = Object.fromEntries(
        FIELDS.map((key) => [key, of(key)] as const).filter(([, value]) => value !== undefined),
      );
      return [name, { wallMs, ...others }];
    }),
  );
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** The row's medians and goals as Markdown. */
export function tableOf(measured: MeasuredRow): string {
  const { row } = measured;
  const medians = mediansOf(measured);
  const uploads = row.clients.some(({ bytes }) => bytes !== undefined);
  const head = uploads
    ? ['Client', 'time, ms', 'MB/s', 'CPU, s', 'peak, MiB']
    : ['Process', 'time, ms'];
  const lines = row.clients.map(({ name, bytes }) => {
    const sample = medians.get(name);
    const time = cell(sample?.wallMs, 0);
    if (!uploads) return [name, time];
    return [
      name,
      time,
      cell(bytes && sample && bytes / sample.wallMs / 1000, 0),
      cell(sample?.cpuMs && sample.cpuMs / 1000, 2),
      cell(sample?.peakBytes && sample.peakBytes / MIB, 0),
    ];
  });
  const goals = row.goals.map((goal) => `- ${goalText(goal, medians)}`);
  return [`## ${row.title}`, '', ...markdown(head, lines), '', ...goals, ''].join('\n');
}

export function goalText({ text, bound, limit, value }: Goal, medians: Medians): string {
  const reached = value(medians);
  if (reached === undefined || Number.isNaN(reached)) return `${text}: not measured`;
  const met = bound === 'at least' ? reached >= limit : reached <= limit;
  return `${text}: **${reached.toFixed(2)}** (goal: ${bound} ${limit}${met ? '' : ', missed'})`;
}

export function chartOf(measured: MeasuredRow): string {
  const { row } = measured;
  const medians = mediansOf(measured);
  const value = (name: string, bytes: number | undefined): number => {
    const { wallMs, peakBytes = Number.NaN } = medians.get(name) ?? { wallMs: Number.NaN };
    if (row.shows === 'memory') return peakBytes / MIB;
    return row.shows === 'time' || bytes === undefined ? wallMs : bytes / wallMs / 1000;
  };
  const unit = { speed: 'MB/s', rate: 'MB/s', memory: 'MiB', time: 'ms' }[row.shows];
  return barChart(
    row.title,
    unit,
    row.clients.map(({ name, bytes }) => ({
      label: name,
      value: value(name, bytes),
      ours: name.startsWith('bits-upload') || row.shows === 'memory',
    })),
  );
}

function cell(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? '' : value.toFixed(digits);
}

function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'));
  return [line(head), line(rule), ...lines.map(line)];
}
