import { expect } from 'chai';
import { Deferred } from '../../src/common/deferred.js';
import { type BitsError, isBitsError } from '../../src/errors.js';
import type { SendOptions, WireBody, WireRequest } from '../../src/transport/transport.js';
import {
  answer,
  type RawServer,
  type RawServerOptions,
  startRawServer,
} from '../support/raw-server.js';

export const LONG: SendOptions = {
  stallTimeoutMs: 15_000,
  answerTimeoutMs: 15_000,
  answerBody: 'discard',
};

export function ping(url: URL, headers: Record<string, string> = {}): WireRequest {
  return { method: 'BITS_POST', url, headers: { 'BITS-Packet-Type': 'Ping', ...headers } };
}

export function get(url: URL): WireRequest {
  return { method: 'GET', url, headers: { 'Accept-Encoding': 'identity' } };
}

export function fragment(url: URL, ...pieces: readonly Uint8Array[]): WireRequest {
  const byteLength = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return withBody(url, {
    byteLength,
    async *pieces() {
      yield* pieces;
    },
  });
}

export function withBody(url: URL, body: WireBody): WireRequest {
  return {
    method: 'BITS_POST',
    url,
    headers: { 'BITS-Packet-Type': 'Fragment', 'Content-Range': 'bytes 0-1/2' },
    body,
  };
}

/** The error that a call ends with, which must be one of this package's. */
export async function bitsError(attempt: Promise<unknown>): Promise<BitsError> {
  const error = await rejection(attempt);
  if (!isBitsError(error)) throw new Error('not a BitsError', { cause: error });
  return error;
}

export async function rejection(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  );
}

export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A promise to be kept from outside, for tests that wait on events. */
export function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  const { promise, resolve } = new Deferred<T>();
  return { promise, open: resolve };
}

/** Of a server that answers each request with 200. */
export const OK: RawServerOptions = {
  onRequest: ({ connection }) => void connection.socket.write(answer()),
};

/** For a describe: what its tests open is closed after each of them, the last one first. */
export function closedAfterEach() {
  const opened: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });
  const keep = <T extends (typeof opened)[number]>(one: T): T => {
    opened.push(one);
    return one;
  };
  const serve = async (options: RawServerOptions = OK): Promise<RawServer> =>
    keep(await startRawServer(options));
  return { keep, serve };
}

/** Bytes in which any shift or overwriting shows. */
export function pattern(bytes: number, seed = 1): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let i = 0, x = seed; i < bytes; i++) {
    x = (x * 1_103_515_245 + 12_345) & 0x7fffffff;
    buffer[i] = x >>> 16;
  }
  return buffer;
}
