import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { Credentials } from 'bits-upload';
import type { SettingsChange, SettingsView } from './api.js';

/** What is used of Electron's `safeStorage`. */
export interface Safe {
  isEncryptionAvailable(): boolean;
  encryptString(text: string): Buffer;
  decryptString(encrypted: Buffer): string;
  /** Of Linux alone. */
  getSelectedStorageBackend?(): string;
}

interface Saved {
  readonly serverUrl: string;
  readonly username: string;
  readonly transport: SettingsView['transport'];
  /** Encrypted by the system, in base64. */
  readonly secret?: string | undefined;
  /** Uploads that the user has paused. */
  readonly pausedIds: readonly string[];
}

const FIRST: Saved = { serverUrl: '', username: '', transport: 'undici', pausedIds: [] };

/** The settings in a file of the app; the password only as the system's key store encrypts it. */
export class Settings {
  readonly #file: string;
  readonly #safe: Safe;
  #saved: Saved;
  #password: string | undefined;

  constructor(file: string, safe: Safe) {
    this.#file = file;
    this.#safe = safe;
    this.#saved = readSaved(file);
    const { secret } = this.#saved;
    if (secret !== undefined && this.#keepsPassword) {
      try {
        this.#password = safe.decryptString(Buffer.from(secret, 'base64'));
      } catch {
        // Another user's, or another machine's: it is asked for again.
      }
    }
  }

  get pausedIds(): readonly string[] {
    return this.#saved.pausedIds;
  }

  get view(): SettingsView {
    const { serverUrl, username, transport } = this.#saved;
    const hasPassword = this.#password !== undefined;
    return { serverUrl, username, transport, hasPassword, keepsPassword: this.#keepsPassword };
  }

  get credentials(): Credentials | undefined {
    const { username } = this.#saved;
    if (username === '' || this.#password === undefined) return undefined;
    return { username, password: this.#password };
  }

  /** @throws an error to show when the address cannot work */
  async change({ serverUrl, username, transport, password }: SettingsChange): Promise<void> {
    const url = new URL(serverUrl);
    if (!/^https?:$/.test(url.protocol))
      throw new Error('The server needs a URL with http or https.');
    // A URL that ends in a slash gets the file's name appended.
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    if (password !== undefined) this.#password = password;
    const isKept = this.#keepsPassword && this.#password !== undefined;
    const secret = isKept
      ? this.#safe.encryptString(this.#password ?? '').toString('base64')
      : undefined;
    await this.#save({ ...this.#saved, serverUrl: url.href, username, transport, secret });
  }

  savePaused(pausedIds: readonly string[]): Promise<void> {
    return this.#save({ ...this.#saved, pausedIds });
  }

  /** Without a key store, Linux encrypts with a password that everybody knows. */
  get #keepsPassword(): boolean {
    const safe = this.#safe;
    return safe.isEncryptionAvailable() && safe.getSelectedStorageBackend?.() !== 'basic_text';
  }

  async #save(saved: Saved): Promise<void> {
    this.#saved = saved;
    await writeFile(`${this.#file}.new`, JSON.stringify(saved), { mode: 0o600 });
    await rename(`${this.#file}.new`, this.#file);
  }
}

function readSaved(file: string): Saved {
  try {
    return { ...FIRST, ...JSON.parse(readFileSync(file, 'utf8')) };
  } catch {
    return FIRST;
  }
}
