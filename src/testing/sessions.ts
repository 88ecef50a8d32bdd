import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, realpath, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import type { ResolvedOptions } from './options.js';
import { SESSIONS_FOLDER, type UrlPath } from './paths.js';
import type { StoredReply } from './replies.js';
import { createSink, type UploadSink } from './sinks.js';

/** An upload between its Create-Session and its end. */
export class UploadSession {
  readonly id: string;
  readonly path: UrlPath;
  /** Holds the unfinished upload and its reply. */
  readonly folder: string;
  readonly sink: UploadSink;
  /** Offset of the first byte that the server does not have. */
  committed = 0;
  /** Undefined until the first Fragment. */
  total: number | undefined;
  contentName: string | undefined;
  lastUsedAtMs: number;
  ended = false;
  /** The application's answer, once it has been called. */
  reply: Promise<StoredReply | undefined> | undefined;
  /** The value of {@link reply}. */
  storedReply: StoredReply | undefined;
  replyCalls = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(id: string, path: UrlPath, folder: string, sink: UploadSink, nowMs: number) {
    this.id = id;
    this.path = path;
    this.folder = folder;
    this.sink = sink;
    this.lastUsedAtMs = nowMs;
  }

  get complete(): boolean {
    return this.committed === (this.total ?? 0);
  }

  /** Runs a task on the session after all earlier ones. */
  exclusively<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(task);
    this.#queue = run.catch(() => {});
    return run;
  }
}

/** The sessions of one server; their unfinished files are in a folder of its own below the root. */
export class SessionStore {
  readonly #root: string;
  readonly #options: ResolvedOptions;
  #folder: Promise<string> | undefined;
  readonly #sessions = new Map<string, UploadSession>();

  constructor(root: string, options: ResolvedOptions) {
    this.#root = root;
    this.#options = options;
  }

  /**
   * @returns undefined when there are too many sessions.
   * @throws Error of the file system.
   */
  async create(urlPath: UrlPath): Promise<UploadSession | undefined> {
    await this.#dropExpired();
    if (this.#sessions.size >= this.#options.maxSessions) return undefined;
    const guid = randomUUID().toUpperCase();
    this.#folder ??= makeFolder(this.#root);
    const folder = path.join(await this.#folder, guid);
    await mkdir(folder);
    const sink = await createSink(this.#options.sink, folder);
    const { now } = this.#options;
    const session = new UploadSession(`{${guid}}`, urlPath, folder, sink, now());
    this.#sessions.set(session.id, session);
    return session;
  }

  /** Finds a session that has not timed out, and restarts its time. */
  use(id: string | undefined): UploadSession | undefined {
    const session = id === undefined ? undefined : this.#sessions.get(id);
    if (session === undefined || this.#isExpired(session)) return undefined;
    session.lastUsedAtMs = this.#options.now();
    return session;
  }

  /** Finds the session with a reply at this URL path. */
  withReplyAt(segments: readonly string[]): UploadSession | undefined {
    const wanted = segments.join('/');
    for (const session of this.#sessions.values()) {
      if (session.storedReply?.segments?.join('/') === wanted) return this.use(session.id);
    }
    return undefined;
  }

  /** Deletes a session and its files, except for published uploads. */
  async end(session: UploadSession): Promise<void> {
    session.ended = true;
    this.#sessions.delete(session.id);
    await rm(session.folder, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    for (const session of [...this.#sessions.values()]) {
      await session.exclusively(() => this.end(session));
    }
    const folder = await this.#folder?.catch(() => undefined);
    if (folder === undefined) return;
    await rm(folder, { recursive: true, force: true });
    // Another server may use the same root.
    await rmdir(path.dirname(folder)).catch(() => {});
  }

  #isExpired(session: UploadSession): boolean {
    return this.#options.now() - session.lastUsedAtMs > this.#options.sessionTimeoutMs;
  }

  async #dropExpired(): Promise<void> {
    for (const session of [...this.#sessions.values()]) {
      if (this.#isExpired(session)) await session.exclusively(() => this.end(session));
    }
  }
}

/** Makes a folder that only this user can enter, and to which no link leads. */
async function makeFolder(root: string): Promise<string> {
  const parent = path.join(root, SESSIONS_FOLDER);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  if ((await realpath(parent)) !== parent) {
    throw Object.assign(new Error(`${parent} is a link`), { code: 'EACCES' });
  }
  return mkdtemp(path.join(parent, 'server-'));
}
