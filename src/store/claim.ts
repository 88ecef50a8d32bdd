import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../common/atomic-file.js';
import { unlessMissing } from '../common/error-like.js';
import { whenFree } from '../common/when-free.js';
import { count, fields, optional, text } from './checks.js';
import type { OwnFiles } from './own-files.js';
import type { LinuxIdentity, ProcessIdentity } from './process-identity.js';
import { fileSystemError } from './store-error.js';

/**
 * What others see of a claim to a lock: a file `<key>.<nonce>` of its own, whose first line is
 * `<phase><beat>` at a fixed width and whose second line names the process.
 */
export interface SeenClaim {
  readonly phase: 'claiming' | 'holding';
  /** Changes with every sign of life. */
  readonly heading: string;
  /** Undefined when the file is damaged, as after a power cut. */
  readonly owner: ProcessIdentity | undefined;
}

export interface ClaimName {
  readonly key: string;
  readonly nonce: string;
}

const NAME = /^([0-9a-f]{32})\.([0-9a-f]{32})$/;

/** Undefined for the name of another file. */
export function parseClaimName(name: string): ClaimName | undefined {
  const [, key, nonce] = NAME.exec(name) ?? [];
  return key === undefined || nonce === undefined ? undefined : { key, nonce };
}

const MAX_CLAIM_BYTES = 4096;

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
  thread: optional(count(2 ** 53)),
});

/** The claims in one directory. */
export class Claims {
  readonly directory: string;
  readonly files: OwnFiles;

  constructor(directory: string, files: OwnFiles) {
    this.directory = directory;
    this.files = files;
  }

  pathOf({ key, nonce }: ClaimName): string {
    return join(this.directory, `${key}.${nonce}`);
  }

  /** Undefined when there is no such claim any more. */
  async read(name: ClaimName): Promise<SeenClaim | undefined> {
    const content = await this.files.read(this.pathOf(name), MAX_CLAIM_BYTES);
    if (content === undefined) return undefined;
    const [heading = '', identity = ''] = content.toString().split('\n', 2);
    const phase = heading.startsWith('h') ? 'holding' : 'claiming';
    return { phase, heading, owner: parseOwner(identity) };
  }

  /** Removes a claim by its own name, which no other claim ever has: so it can hit no live one. */
  async remove(name: ClaimName): Promise<void> {
    await unlessMissing(whenFree(() => unlink(this.pathOf(name))));
  }
}

function parseOwner(identity: string): ProcessIdentity | undefined {
  try {
    return ownerFields(JSON.parse(identity), 'owner');
  } catch {
    return undefined;
  }
}

/** A claim of this process, which gives signs of life until it is withdrawn. */
export class OwnClaim {
  readonly name: ClaimName;
  /** Aborted when somebody removed the claim. */
  readonly gone: AbortSignal;
  readonly #gone = new AbortController();
  readonly #claims: Claims;
  #phase: 'c' | 'h' = 'c';
  #beat = 0;
  #heart: NodeJS.Timeout | undefined;
  #isWriting = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(claims: Claims, key: string) {
    this.#claims = claims;
    this.name = { key, nonce: randomBytes(16).toString('hex') };
    this.gone = this.#gone.signal;
  }

  static async stake(
    claims: Claims,
    key: string,
    owner: ProcessIdentity,
    beatMs: number,
  ): Promise<OwnClaim> {
    const claim = new OwnClaim(claims, key);
    const content = `${claim.#heading()}\n${JSON.stringify(owner)}\n`;
    // Replaces nothing, but has its name only when it is whole.
    await replaceFile(claims.pathOf(claim.name), content, { afterPowerCut: 'nothing' });
    claim.#heart = setInterval(() => claim.#giveSign(), beatMs).unref();
    return claim;
  }

  /** Turns the claim into the lock. @returns false when the claim is gone */
  async hold(): Promise<boolean> {
    this.#phase = 'h';
    await this.#rewrite();
    return !this.gone.aborted;
  }

  async withdraw(): Promise<void> {
    clearInterval(this.#heart);
    await this.#writing;
    try {
      await this.#claims.remove(this.name);
    } catch (error) {
      throw fileSystemError('unlock a job in', this.#claims.directory, error);
    }
  }

  #giveSign(): void {
    // A file server that does not answer must not make them pile up.
    if (this.#isWriting) return;
    // A disk that fails may work again at the next beat.
    void this.#rewrite().catch(() => {});
  }

  #rewrite(): Promise<void> {
    this.#isWriting = true;
    const write = this.#writing.then(() => this.#rewriteHeading());
    this.#writing = write
      .catch(() => {})
      .finally(() => {
        this.#isWriting = false;
      });
    return write;
  }

  async #rewriteHeading(): Promise<void> {
    this.#beat += 1;
    const heading = Buffer.from(this.#heading());
    const path = this.#claims.pathOf(this.name);
    const handle = await this.#claims.files.open(path, constants.O_RDWR);
    if (handle === undefined) {
      clearInterval(this.#heart);
      this.#gone.abort();
      return;
    }
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
