import { GIB, KIB, MIB } from './data.js';
import type { Sample } from './harness.js';

export interface Client {
  readonly name: string;
  /** What must have arrived after a run; absent: nothing is uploaded. */
  readonly bytes?: number;
  readonly run: () => Promise<Sample>;
}

/** The medians of a row, by client. */
export type Medians = ReadonlyMap<string, Sample>;

export interface Goal {
  readonly text: string;
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
  /** Undefined when a client that it needs did not run. */
  readonly value: (medians: Medians) => number | undefined;
}

export interface Row {
  readonly id: string;
  readonly title: string;
  readonly shows: 'speed' | 'memory' | 'time' | 'rate';
  readonly clients: readonly Client[];
  /** How often it is measured; absent: as the command says. */
  readonly rounds?: number;
  readonly goals: readonly Goal[];
}

export function atLeast(limit: number, text: string, value: Goal['value']): Goal {
  return { bound: 'at least', limit, text, value };
}

export function atMost(limit: number, text: string, value: Goal['value']): Goal {
  return { bound: 'at most', limit, text, value };
}

export function speedOver(medians: Medians, one: string, other: string): number | undefined {
  return ratio(medians.get(other)?.wallMs, medians.get(one)?.wallMs);
}

export function ratio(over: number | undefined, under: number | undefined): number | undefined {
  return over === undefined || under === undefined ? undefined : over / under;
}

export function wallMs(medians: Medians, name: string): number {
  return medians.get(name)?.wallMs ?? Number.NaN;
}

/** A size as people say it: 10 KiB, 1 GiB. */
export function size(bytes: number): string {
  if (bytes >= GIB) return `${bytes / GIB} GiB`;
  if (bytes >= MIB) return `${bytes / MIB} MiB`;
  return `${bytes / KIB} KiB`;
}
