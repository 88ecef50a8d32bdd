const SIZE = /^(\d+(?:\.\d+)?)\s*(B|[KMG]i?B)?$/i;

const UNIT_BYTES: ReadonlyMap<string, number> = new Map([
  ['b', 1],
  ['kb', 1000],
  ['mb', 1000 ** 2],
  ['gb', 1000 ** 3],
  ['kib', 1024],
  ['mib', 1024 ** 2],
  ['gib', 1024 ** 3],
]);

/** Reads `128KiB`, `4MiB`, `1.5MB` or a number of bytes, in whole bytes; undefined for anything else. */
export function parseByteSize(text: string): number | undefined {
  const [, digits, unit = 'B'] = SIZE.exec(text.trim()) ?? [];
  const unitBytes = UNIT_BYTES.get(unit.toLowerCase());
  if (digits === undefined || unitBytes === undefined) return undefined;
  return Math.round(Number(digits) * unitBytes);
}
