import type { QueueProgress } from '../../index.js';
import { columnsOf, fitColumns, fitMiddle } from './columns.js';
import type { Signs } from './signs.js';
import { formatBytes, formatClock } from './units.js';
import type { View } from './view.js';

const GREEN = '\u001b[32m';
const DEFAULT_COLOR = '\u001b[39m';

const MAX_NAME_COLUMNS = 32;
/** With less room for the name, something else is left out. */
const MIN_NAME_COLUMNS = 12;
const MAX_BAR_COLUMNS = 32;
const MIN_BAR_COLUMNS = 8;

export interface RowStyle {
  readonly columns: number;
  readonly signs: Signs;
  readonly color: boolean;
  /** Moves with each frame. */
  readonly frame: number;
}

/** A running upload in one line: `⠋ dump.zip ━━━━─── 45 %  12.0 MiB of 64.0 MiB  8.0 MiB/s, 0:04 left`. */
export function uploadRow(name: string, view: View, style: RowStyle): string {
  const { columns, signs, frame } = style;
  const spinner = signs.spinner[frame % signs.spinner.length];
  const nameColumns = columnsOf(name);
  const leastName = Math.min(nameColumns, MIN_NAME_COLUMNS);
  const tail = richest(tailsOf(view), columns - 4 - leastName);
  const room = Math.min(columns - 4 - columnsOf(tail), MAX_NAME_COLUMNS);
  const fitted = fitMiddle(name, Math.max(leastName, room), signs.cut);
  const head = `${spinner} ${fitted}`;
  const left = columns - columnsOf(head) - columnsOf(tail) - 3;
  const barColumns = Math.min(left, MAX_BAR_COLUMNS);
  if (view.percent === undefined || barColumns < MIN_BAR_COLUMNS) {
    return fitColumns(`${head}  ${tail}`, columns, signs.cut);
  }
  return `${head} ${barOf(barColumns, view.fraction, style)} ${tail}`;
}

/** What there is to say, the most words first. */
function tailsOf({ percent, amount, activity, speed, left }: View): string[] {
  const words = [joined([percent, amount, activity]), joined([percent, activity])];
  return speed === undefined ? words : [...words, joined([percent, speed, left])];
}

function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join('  ');
}

/** The first text that fits; else the last one, which is then cut. */
function richest(texts: readonly string[], columns: number): string {
  return texts.find((text) => columnsOf(text) <= columns) ?? texts.at(-1) ?? '';
}

function barOf(columns: number, fraction: number, { color, signs }: RowStyle): string {
  const filled = Math.floor(fraction * columns);
  const full = signs.full.repeat(filled);
  const colored = color && filled > 0 ? `${GREEN}${full}${DEFAULT_COLOR}` : full;
  return `${colored}${signs.empty.repeat(columns - filled)}`;
}

/** All files together. */
export interface Total extends QueueProgress {
  /** False while more files may follow. */
  readonly isAllFound: boolean;
}

/** `12`, or `12+` while more may follow. */
export function filesOf(total: Total): string {
  const { filesDone, filesFailed, filesRunning, filesWaiting, isAllFound } = total;
  return `${filesDone + filesFailed + filesRunning + filesWaiting}${isAllFound ? '' : '+'}`;
}

/** Undefined for a single file, whose own row says it all. */
export function totalRow(total: Total, { columns, signs }: RowStyle): string | undefined {
  const { filesDone, filesFailed, bytesSent, bytesPerSecond } = total;
  const files = filesOf(total);
  if (files === '1') return undefined;
  const failed = filesFailed === 0 ? '' : `, ${filesFailed} failed`;
  const speed = `${formatBytes(bytesPerSecond)}/s`;
  const left = timeLeft(total);
  const texts = [
    joined([
      `Total: ${filesDone} of ${files} files${failed}`,
      formatBytes(bytesSent),
      speedOf(total),
    ]),
    joined([`Total: ${filesDone} of ${files} files${failed}`, speedOf(total)]),
    joined([`Total: ${filesDone} of ${files}${failed}`, speed, left]),
    joined([`${filesDone}/${files}${failed}`, speed, left]),
  ];
  return fitColumns(richest(texts, columns), columns, signs.cut);
}

/** `8.0 MiB/s, about 1:21 left` */
export function speedOf(total: Total): string {
  const left = timeLeft(total);
  return `${formatBytes(total.bytesPerSecond)}/s${left === undefined ? '' : `, about ${left} left`}`;
}

/** Files that wait are taken to be as large as those that have begun, on average. */
function timeLeft(total: Total): string | undefined {
  const { bytesSent, bytesTotal, bytesPerSecond, filesWaiting, isAllFound } = total;
  const begun = total.filesDone + total.filesFailed + total.filesRunning;
  if (bytesPerSecond === 0 || begun === 0 || !isAllFound) return undefined;
  const bytesLeft = bytesTotal - bytesSent + (filesWaiting * bytesTotal) / begun;
  return formatClock((bytesLeft / bytesPerSecond) * 1000);
}
