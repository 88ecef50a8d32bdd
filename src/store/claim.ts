import { randomBytes } from 'node:crypto';
import { open, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../common/atomic-file.js';
import { codeOf } from '../common/error-like.js';
import { count, fields, optional, text } from './checks.js';
import type { LinuxIdentity, ProcessIdentity } from './process-identity.js';

/**
 * One contender's claim to a lock: a file `<key>.<nonce>` of its own, whose first line is
 * `<phase><beat>` at a fixed width and whose second line names the process.
 */
export interface SeenClaim {
  readonly phase: 'claiming' | 'holding';
  /** Changes with every sign of life. */
  readonly heading: string;
  /** Undefined when the file is damaged, as after a power cut. */
  readonly owner: ProcessIdentity | undefined;
}

const NAME = /^([0-9a-f]{32})\.([0-9a-f]{32})$/;

export interface ClaimName {
  readonly key: string;
  readonly nonce: string;
}

/** Undefined for the name of another file. */
export function parseClaimName(name: string): ClaimName | undefined {
  const [, key, nonce] = NAME.exec(name) ?? [];
  return key === undefined || nonce === undefined ? undefined : { key, nonce };
}

export function claimPath(directory: string, { key, nonce }: ClaimName): string {
  return join(directory, `${key}.${nonce}`);
}

const printable = /^[\x21-\x7e]+$/;

const ownerFields = fields<ProcessIdentity>({
  pid: count(2 ** 32),
  hostName: text(255, 'a host name', /^[^\x00-\x1f\x7f]*$/),
  linux: optional(
    fields<LinuxIdentity>({
      bootId: text(64, 'a boot id', printable),
      pidNamespace: text(64, 'a namespace', printable),
      startTicks: text(20, 'a number', /^\d+$/),
    }),
  ),
});

/** A claim of this process. */
export class Claim {
  readonly nonce = randomBytes(16).toString('hex');
  readonly #path: string;
  #phase: 'c' | 'h' = 'c';
  #beat = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(directory: string, key: string) {
    this.#path = claimPath(directory, { key, nonce: this.nonce });
  }

  static async stake(directory: string, key: string, owner: ProcessIdentity): Promise<Claim> {
    const claim = new Claim(directory, key);
    const content = `${claim.#heading()}\n${JSON.stringify(owner)}\n`;
    // Replaces nothing, but has its name only when it is whole.
    await replaceFile(claim.#path, content, { durable: false });
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
    await removeClaim(this.#path);
  }

  async #rewriteHeading(): Promise<void> {
    this.#beat += 1;
    const heading = Buffer.from(this.#heading());
    const handle = await open(this.#path, 'r+');
    try {
      await handle.write(heading, 0, heading.length, 0);
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
  const phase = heading.startsWith('h') ? 'holding' : 'claiming';
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
