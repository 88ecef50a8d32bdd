import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { PacketRequest, PacketResponse } from '../../index.js';
import type { OutputStream } from '../context.js';
import { say } from './text.js';
import type { Watcher } from './watchers.js';

/** For `-vv`: a line for each answer of a server, and for each packet without one. */
export class PacketLines implements Watcher {
  readonly #to: OutputStream;

  constructor(to: OutputStream) {
    this.#to = to;
    subscribe('bits-upload:response', this.#onResponse);
    subscribe('bits-upload:failure', this.#onFailure);
  }

  summary(): void {
    unsubscribe('bits-upload:response', this.#onResponse);
    unsubscribe('bits-upload:failure', this.#onFailure);
  }

  readonly #onResponse = (message: unknown): void => {
    const { packet, url, status, elapsedMs, headers } = message as PacketResponse;
    const range = headers['bits-received-content-range'];
    const acknowledged = range === undefined ? '' : `, acknowledged up to ${range}`;
    say(this.#to, `${packet} ${url}: ${status} in ${elapsedMs} ms${acknowledged}`);
  };

  readonly #onFailure = (message: unknown): void => {
    const { packet, url, error } = message as PacketRequest & { readonly error: Error };
    say(this.#to, `${packet} ${url}: ${error.message}`);
  };
}
