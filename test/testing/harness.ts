import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { type RawAnswer, RawClient } from './raw-client.js';

export const DATA = Buffer.from('0123456789abcdef');

/** Of the test that is running, from its `start` on. */
export let server: BitsServer;
export let client: RawClient;
/** Of the session that was opened last. */
export let id = '';
let target = '';

/** Starts a server, and a client that is connected to it, in place of those before. */
export async function start(options: BitsServerOptions = {}): Promise<void> {
  await end();
  server = await createBitsServer(options);
  client = await RawClient.connect(server);
}

/** Gives up the connection for a new one. */
export async function reconnect(): Promise<void> {
  await client.end();
  client = await RawClient.connect(server);
}

async function end(): Promise<void> {
  await client?.end();
  await server?.close();
}

/** Ends after each test what it started. */
export function endAfterEach(): void {
  afterEach(end);
}

export async function open(path = '/f'): Promise<RawAnswer> {
  const created = await client.createSession(path);
  target = path;
  id = created.headers['bits-session-id'] ?? '';
  return created;
}

/** Sends a part of `DATA` in the session that was opened last. */
export function send(from = 0, to = DATA.length): Promise<RawAnswer> {
  return client.fragment(target, id, from, DATA.subarray(from, to), DATA.length);
}

export function close(): Promise<RawAnswer> {
  return client.closeSession(target, id);
}

export function cancel(): Promise<RawAnswer> {
  return client.cancelSession(target, id);
}

export async function upload(path?: string): Promise<RawAnswer> {
  await open(path);
  await send();
  return close();
}

/** The offset that an ack names. */
export function offsetIn({ headers }: RawAnswer): string | undefined {
  return headers['bits-received-content-range'];
}

export function stored(name = 'f'): Promise<Buffer> {
  return readFile(path.join(server.root, name));
}

/** What clients did against the protocol so far. */
export function codes(): string[] {
  return server.violations.map(({ code }) => code);
}
