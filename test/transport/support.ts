import { expect } from 'chai';
import { type BitsError, isBitsError } from '../../src/errors.js';
import type { SendOptions, WireBody, WireRequest } from '../../src/transport/transport.js';

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
  let open!: (value: T) => void;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
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
