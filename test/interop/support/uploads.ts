import { expect } from 'chai';
import { UploadJob, type UploadOptions, type UploadResult } from '../../../src/index.js';
import type { BitsServer } from '../../../src/testing/index.js';
import { patterned, sha256 } from '../../support/files.js';
import type { Relay } from './relay.js';

/** What the application behind the reference server answers to uploads below `with-reply/`. */
export const REPLY = Buffer.alloc(300 * 1024, 'the answer of the application\n');

const MIB = 1024 * 1024;
export const FILE_BYTES = 20 * MIB;
export const FRAGMENT_BYTES = 4 * MIB;
const REPLY_FILE_BYTES = 5 * MIB;

let content: { readonly bytes: Buffer; readonly hashes: Map<number, string> } | undefined;

/** The same bytes for every test, and their hash. */
export function sample(byteLength: number): { readonly bytes: Buffer; readonly sha256: string } {
  content ??= { bytes: patterned(FILE_BYTES), hashes: new Map() };
  const bytes = content.bytes.subarray(0, byteLength);
  const hash = content.hashes.get(byteLength) ?? sha256(bytes);
  content.hashes.set(byteLength, hash);
  return { bytes, sha256: hash };
}

/** What clients do against the protocol from now on. */
export function violationsSince(backend: BitsServer): () => string[] {
  const from = backend.violations.length;
  return () => backend.violations.slice(from).map(({ code, message }) => `${code}: ${message}`);
}

let count = 0;

/** A path that no test has used, so that every upload is new to the server. */
export function newPath(folder: string): string {
  count += 1;
  return `${folder}/upload-${count}.bin`;
}

/** Why packets were sent again. */
function retriesOf(job: UploadJob): readonly string[] {
  const retries: string[] = [];
  job.on('retry', ({ error }) => retries.push(`${error.code}: ${error.message}`));
  return retries;
}

export interface Uploaded extends UploadResult {
  readonly retries: readonly string[];
}

export type JobOptions = Omit<UploadOptions, 'url' | 'source' | 'reply'>;

/** Uploads 20 MiB in five fragments and checks what arrived. */
async function uploadFile(
  backend: BitsServer,
  base: string,
  options: JobOptions = {},
): Promise<Uploaded> {
  const path = newPath('plain');
  const { bytes, sha256: hash } = sample(FILE_BYTES);
  const from = backend.log.length;
  const violations = violationsSince(backend);
  const job = new UploadJob({
    fragmentBytes: FRAGMENT_BYTES,
    retry: { limit: 2 },
    ...options,
    url: new URL(path, base),
    source: bytes,
  });
  const retries = retriesOf(job);
  const result = await job.start();
  const upload = backend.uploads.find(({ url }) => url.endsWith(path));
  expect(upload).to.include({ bytes: FILE_BYTES, sha256: hash });
  const fragments = backend.log.slice(from).filter(({ packet }) => packet === 'fragment');
  expect(fragments.length).to.be.at.least(5);
  expect(violations()).to.deep.equal([]);
  return { ...result, retries };
}

/** Uploads 5 MiB to the application and checks what it got and what it answered. */
async function uploadForReply(
  backend: BitsServer,
  base: string,
  options: JobOptions = {},
): Promise<Uploaded> {
  const path = newPath('with-reply');
  const { bytes, sha256: hash } = sample(REPLY_FILE_BYTES);
  const violations = violationsSince(backend);
  const job = new UploadJob({
    fragmentBytes: MIB,
    retry: { limit: 2 },
    ...options,
    url: new URL(path, base),
    source: bytes,
    reply: true,
  });
  const retries = retriesOf(job);
  const result = await job.start();
  const upload = backend.uploads.find(({ url }) => url.endsWith(path));
  expect(upload).to.include({ bytes: REPLY_FILE_BYTES, sha256: hash });
  expect(REPLY.equals(result.reply?.data ?? Buffer.alloc(0)), 'same reply').to.equal(true);
  expect(violations()).to.deep.equal([]);
  return { ...result, retries };
}

export interface Counts {
  /** Connections to the front end. */
  readonly file: number;
  readonly reply: number;
  /** Body bytes sent for nothing. */
  readonly wasted: number;
  readonly retries: readonly string[];
}

/** A way to a front end of the BITS server, or to a proxy, on which the connections are counted. */
export class Door {
  readonly backend: BitsServer;
  readonly #relay: Relay;

  constructor(relay: Relay, backend: BitsServer) {
    this.#relay = relay;
    this.backend = backend;
  }

  /** So far. */
  get connections(): number {
    return this.#relay.connections;
  }

  get host(): string {
    return `127.0.0.1:${this.#relay.port}`;
  }

  get http(): string {
    return `http://${this.host}/`;
  }

  /** As a ticket of Kerberos is for it. */
  get byName(): string {
    return `http://localhost:${this.#relay.port}/`;
  }

  get https(): string {
    return `https://localhost:${this.#relay.port}/`;
  }

  /** Uploads a file; through a proxy, `base` is that of the server. */
  upload(options?: JobOptions, base = this.http): Promise<Uploaded> {
    return uploadFile(this.backend, base, options);
  }

  /** Uploads a file, and another one for a reply; tells how many connections each took. */
  async uploadBoth(options?: JobOptions, base = this.http): Promise<Counts> {
    const before = this.connections;
    const file = await this.upload(options, base);
    const between = this.connections;
    const reply = await uploadForReply(this.backend, base, options);
    return {
      file: between - before,
      reply: this.connections - between,
      wasted: file.bytesSent - file.bytes + reply.bytesSent - reply.bytes,
      retries: [...file.retries, ...reply.retries],
    };
  }
}

/** One connection for each job, and no byte sent twice. */
export const IDEAL: Counts = { file: 1, reply: 1, wasted: 0, retries: [] };

/** The second job goes on with the first one's connection, as jobs without secrets do. */
export const SHARED: Counts = { ...IDEAL, reply: 0 };
