import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { codeOf } from '../../common/error-like.js';
import type { Io } from '../context.js';
import { assertStandardInput } from '../standard-input.js';
import { UsageError } from '../values.js';

/**
 * The paths in a list, one a line, or each ended by a NUL, as `find -print0` writes them.
 * @param name `-` is standard input
 * @throws UsageError when it cannot be read
 */
export async function readFileList(
  name: string,
  { isNullTerminated }: { readonly isNullTerminated: boolean },
  { stdin }: Pick<Io, 'stdin'>,
): Promise<string[]> {
  if (name === '-') assertStandardInput(stdin);
  const content = name === '-' ? await buffer(stdin) : await contentOf('--files-from', name);
  const text = decodeText(content);
  const paths = isNullTerminated ? text.split('\0') : text.split(/\r?\n/);
  return paths.filter((path) => path !== '');
}

/** One upload of a manifest. */
export interface ManifestRow {
  readonly source: string;
  readonly destination: string;
  /** Where it ends in the file; the first line is 1. */
  readonly line: number;
}

interface CsvRecord {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

/**
 * Reads a CSV file with the columns Source and Destination, as Import-Csv and Start-BitsTransfer take it;
 * other columns are ignored.
 * @throws UsageError when it cannot be read, or is no such file
 */
export async function readManifest(name: string): Promise<ManifestRow[]> {
  // The type line that Export-Csv of Windows PowerShell writes first.
  const text = manifestText(name, await contentOf('--manifest', name)).replace(/^#TYPE .*/, '');
  const [head, ...records] = await parseCsv(name, text);
  const columns = head?.record.map((column) => column.toLowerCase()) ?? [];
  const [sources, destinations] = [columns.indexOf('source'), columns.indexOf('destination')];
  if (sources < 0 || destinations < 0) {
    throw new UsageError(
      `--manifest ${name} needs the columns Source and Destination, separated by a comma: its first ` +
        'line must be Source,Destination',
    );
  }
  return records.map(({ record, info: { lines: line } }) => {
    const [source, destination] = [record[sources], record[destinations]];
    if (!source) throw refusal(name, line, 'the Source is missing');
    if (!destination) throw refusal(name, line, 'the Destination is missing');
    return { source, destination, line };
  });
}

async function parseCsv(name: string, text: string): Promise<readonly CsvRecord[]> {
  // Most commands have no manifest.
  const { parse } = await import('csv-parse/sync');
  const options = { info: true, skipEmptyLines: true, relaxColumnCount: true, trim: true };
  try {
    return parse(text, options) as unknown as readonly CsvRecord[];
  } catch (error) {
    const line = (error as { lines?: number }).lines ?? 1;
    throw refusal(name, line, 'a quote is wrong, or the separator is no comma: correct it');
  }
}

export function refusal(name: string, line: number, why: string): UsageError {
  return new UsageError(`--manifest ${name}, line ${line}: ${why}`);
}

async function contentOf(flag: string, name: string): Promise<Buffer> {
  try {
    return await readFile(name);
  } catch (error) {
    throw new UsageError(`${flag} ${name} cannot be read (${codeOf(error)}): check the path`);
  }
}

function manifestText(name: string, content: Buffer): string {
  try {
    return decodeText(content, { fatal: true });
  } catch {
    throw new UsageError(
      `--manifest ${name} is not in UTF-8: save it as UTF-8 (CSV UTF-8 in Excel)`,
    );
  }
}

/** Windows PowerShell writes UTF-16 with `>`; the mark of the byte order is no part of the text. */
function decodeText(
  content: Buffer,
  options: { readonly fatal: boolean } = { fatal: false },
): string {
  const isUtf16 = content[0] === 0xff && content[1] === 0xfe;
  return new TextDecoder(isUtf16 ? 'utf-16le' : 'utf-8', options).decode(content);
}
