import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Entity } from './entity.js';

/** The content of a reply; a string is sent as UTF-8. */
export type ReplyBody = Uint8Array | string | Readable;

/** A reply and how the server sends it. */
export interface ReplyPlan {
  readonly body: ReplyBody;
  /**
   * The form of `BITS-Reply-URL` ([MC-BUP] §3.2.5.1.2).
   *
   * - `relative`: relative to the directory of the remote URL, with back-slashes, as from IIS.
   * - `absolute`: a URL of this server.
   * - a URL: on another host; this server then does not serve the reply.
   * @default 'relative'
   */
  readonly url?: 'relative' | 'absolute' | URL;
  /** @default no limit */
  readonly bytesPerSecond?: number;
  /** True: the reply URL answers 404. @default false */
  readonly missing?: boolean;
  /** After each GET the reply changes to the next of these, with a new ETag. @default none */
  readonly changesTo?: readonly ReplyBody[];
}

/** What the application answers: a body, a plan, or undefined for an ack without a reply URL. */
export type ReplyResult = ReplyBody | ReplyPlan | undefined;

const REPLY_FOLDERS = ['BITS-Sessions', 'Replies'];
const REPLY_FILE = 'responsefile.bin';

/** The reply to one upload, kept on disk until the session ends. */
export class StoredReply {
  /** As in the ack. */
  readonly url: string;
  /** Of the URL path; undefined when another host serves the reply. */
  readonly segments: readonly string[] | undefined;
  readonly bytesPerSecond: number | undefined;
  readonly #versions: readonly Entity[];
  readonly #missing: boolean;
  #current = 0;
  #gets = 0;
  #read: { start: number; end: number }[] = [];

  constructor(
    plan: ReplyPlan,
    versions: readonly Entity[],
    location: { readonly url: string; readonly segments: readonly string[] | undefined },
  ) {
    this.url = location.url;
    this.segments = location.segments;
    this.bytesPerSecond = plan.bytesPerSecond;
    this.#versions = versions;
    this.#missing = plan.missing ?? false;
  }

  /** What a GET or HEAD gets; undefined for a missing reply. Each GET may change the reply. */
  entityFor(method: string | undefined): Entity | undefined {
    if (this.#missing) return undefined;
    if (method !== 'GET') return this.#versions[this.#current];
    const version = Math.min(this.#gets, this.#versions.length - 1);
    if (version !== this.#current) this.#read = [];
    this.#current = version;
    this.#gets += 1;
    return this.#versions[version];
  }

  noteRead(start: number, end: number): void {
    const touching = this.#read.filter((span) => span.end >= start && span.start <= end);
    const apart = this.#read.filter((span) => !touching.includes(span));
    apart.push({
      start: Math.min(start, ...touching.map((span) => span.start)),
      end: Math.max(end, ...touching.map((span) => span.end)),
    });
    this.#read = apart;
  }

  /** Whether every byte of the current version was sent; true when another host serves it. */
  get wasRead(): boolean {
    if (this.segments === undefined) return true;
    const [span, ...others] = this.#read;
    const byteLength = this.#versions[this.#current]?.byteLength;
    return others.length === 0 && span?.start === 0 && span.end === byteLength;
  }
}

/**
 * Writes a reply into the folder of its session.
 *
 * @param origin scheme and host that the client used.
 * @param directory segments of the remote URL's directory.
 */
export async function storeReply(
  result: ReplyBody | ReplyPlan,
  folder: string,
  origin: string,
  directory: readonly string[],
  nowMs: number,
): Promise<StoredReply> {
  const plan = isBody(result) ? { body: result } : result;
  const bodies = [plan.body, ...(plan.changesTo ?? [])];
  const versions: Entity[] = [];
  for (const [version, body] of bodies.entries()) {
    const file = path.join(folder, `reply-${randomUUID()}`);
    await writeBody(file, body);
    versions.push({
      file,
      byteLength: (await stat(file)).size,
      etag: `"${randomUUID()}"`,
      // The header counts seconds: two versions must differ by one.
      lastModified: new Date(nowMs + version * 1000),
    });
  }
  return new StoredReply(plan, versions, locate(plan.url ?? 'relative', origin, directory));
}

function locate(url: 'relative' | 'absolute' | URL, origin: string, directory: readonly string[]) {
  if (url instanceof URL) return { url: url.href, segments: undefined };
  const own = [...REPLY_FOLDERS, `{${randomUUID().toUpperCase()}}`, REPLY_FILE];
  const segments = [...directory, ...own];
  return url === 'relative'
    ? { url: own.join('\\'), segments }
    : { url: `${origin}/${segments.map(encodeURIComponent).join('/')}`, segments };
}

function isBody(result: ReplyBody | ReplyPlan): result is ReplyBody {
  return typeof result === 'string' || result instanceof Uint8Array || result instanceof Readable;
}

async function writeBody(file: string, body: ReplyBody): Promise<void> {
  if (body instanceof Readable) await pipeline(body, createWriteStream(file));
  else await writeFile(file, body);
}
