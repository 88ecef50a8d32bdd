import { randomUUID } from 'node:crypto';
import { open, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { count, fields, optional, text } from './checks.js';
import type { ProcessIdentity } from './process-identity.js';
import { codeOf } from './store-error.js';

/**
 * One contender's claim on a job: a file `<id>.<nonce>` of its own, whose first line is
 * `<phase><beat>` at a fixed width and whose second line names the process.
 */
export interface SeenClaim {
  readonly phase: 'claiming' | 'holding';
  /** Changes with every sign of life. */
  readonly heading: string;
  /** Undefined when the file is damaged, as after a power cut. */
  readonly owner: ProcessIdentity | undefined;
}

const PHASES = { c: 'claiming', h: 'holding' } as const;

const ownerFields = fields({
  pid: count(2 ** 32),
  hostName: text(255, 'a host name', /^[^\x00-\x1f\x7f]*$/),
  linux: optional(
    fields({
      bootId: text(64, 'a boot id', /^[\x21-\x7e]+$/),
      pidNamespace: text(64, 'a namespace', /^[\x21-\x7e]+$/),
      startTicks: text(20, 'a number', /^\d+$/),
    }),
  ),
});

/** A claim of this process. */
export class Claim {
  readonly nonce: string;
  readonly path: string;
  #phase: 'c' | 'h' = 'c';
  #beat = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(nonce: string, path: string) {
    this.nonce = nonce;
    this.path = path;
  }

  static async stake(directory: string, id: string, owner: ProcessIdentity): Promise<Claim> {
    const nonce = randomUUID();
    const claim = new Claim(nonce, join(directory, `${id}.${nonce}`));
    const draft = `${claim.path}.new`;
    try {
      const content = `${claim.#heading()}\n${JSON.stringify(owner)}\n`;
      await writeFile(draft, content, { flag: 'wx', mode: 0o600 });
      // Under its name only when it is whole.
      await rename(draft, claim.path);
    } catch (error) {
      await unlink(draft).catch(() => {});
      throw error;
    }
    return claim;
  }

  hold(): Promise<void> {
    this.#phase = 'h';
    return this.beat();
  }

  /** Gives a sign of life. @throws ENOENT when the claim was taken away */
  beat(): Promise<void> {
    const write = this.#writing.then(() => this.#rewriteHeading());
    this.#writing = write.catch(() => {});
    return write;
  }

  async withdraw(): Promise<void> {
    await this.#writing;
    await removeClaim(this.path);
  }

  async #rewriteHeading(): Promise<void> {
    this.#beat += 1;
    const handle = await open(this.path, 'r+');
    try {
      await handle.write(this.#heading(), 0, 'latin1');
    } finally {
      await handle.close();
    }
  }

  #heading(): string {
    return this.#phase + String(this.#beat).padStart(12, '0');
  }
}

/** Undefined when there is no such claim any more. */
export async function readClaim(path: string): Promise<SeenClaim | undefined> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const [heading = '', identity = ''] = content.split('\n', 2);
  const phase = PHASES[heading.charAt(0) as keyof typeof PHASES] ?? 'claiming';
  return { phase, heading, owner: parseOwner(identity) };
}

function parseOwner(identity: string): ProcessIdentity | undefined {
  try {
    return ownerFields(JSON.parse(identity), 'owner');
  } catch {
    return undefined;
  }
}

/** Removes a claim by its own name, which no other claim ever has: so it can hit no live one. */
export async function removeClaim(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

export async function isOlderThan(path: string, ageMs: number): Promise<boolean> {
  try {
    return Date.now() - (await stat(path)).mtimeMs > ageMs;
  } catch {
    return false;
  }
}
