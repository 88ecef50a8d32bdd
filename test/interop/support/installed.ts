import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];

/** Where a command or a file is; undefined when it is not installed. */
export function locate(wanted: string): string | undefined {
  const candidates = isAbsolute(wanted) ? [wanted] : FOLDERS.map((folder) => join(folder, wanted));
  return candidates.find((path) => {
    try {
      accessSync(path, isAbsolute(wanted) ? constants.R_OK : constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A server that the tests need, and what shows that it is there. */
export interface Part {
  /** Debian's name, or npm's. */
  readonly package: string;
  /** Commands, or absolute paths of files. */
  readonly files: readonly string[];
}

/**
 * A suite that needs real servers: skipped where they are not installed, with the reason in its
 * title, and failing there under CI, which installs them.
 */
export function describeWith(title: string, parts: readonly Part[], suite: () => void): void {
  const missing = parts
    .filter(({ files }) => files.some((file) => locate(file) === undefined))
    .map((part) => part.package);
  if (missing.length === 0) {
    describe(title, suite);
    return;
  }
  const reason = `not installed: ${missing.join(', ')}`;
  if (process.env.CI === undefined) {
    describe.skip(`${title} (skipped, ${reason})`, suite);
    return;
  }
  describe(title, () => {
    it('has its servers installed', () => {
      throw new Error(`${reason}; .ci/run installs them`);
    });
  });
}
