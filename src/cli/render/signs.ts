import type { Environment } from '../context.js';

/** The signs that a terminal can show. */
export interface Signs {
  readonly ok: string;
  readonly fail: string;
  readonly skip: string;
  /** Stands for what is cut off. */
  readonly cut: string;
  readonly spinner: readonly string[];
  /** Of a bar: what is done, and what is left. */
  readonly full: string;
  readonly empty: string;
}

const UNICODE: Signs = {
  ok: '✓',
  fail: '✗',
  skip: '–',
  cut: '…',
  spinner: ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
  full: '━',
  empty: '─',
};

export const ASCII: Signs = {
  ok: 'ok  ',
  fail: 'FAIL',
  skip: 'skip',
  cut: '..',
  spinner: ['|', '/', '-', '\\'],
  full: '=',
  empty: '-',
};

/** Plain ASCII unless the locale, or the terminal on Windows, is known to have more. */
export function signsOf(env: Environment, platform: string = process.platform): Signs {
  if (platform === 'win32') return env.WT_SESSION || env.TERM_PROGRAM ? UNICODE : ASCII;
  // As POSIX has it, the first one that is set decides.
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return /utf-?8/i.test(locale) ? UNICODE : ASCII;
}
