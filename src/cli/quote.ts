const PLAIN = /^[\w@%+=:,./-]+$/;

/** An argument as it must be written on a command line: for a POSIX shell, on Windows for `cmd`. */
export function quoteArgument(text: string, platform: string = process.platform): string {
  if (platform === 'win32') return /^[\w@+=:,./\\-]+$/.test(text) ? text : `"${text}"`;
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
