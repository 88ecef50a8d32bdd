import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { LoggedRequest, RequestKind } from './access-log.js';
import { type Fault, FaultPlan } from './faults.js';
import { Http1Server } from './http1-server.js';
import { type BitsServerOptions, resolveOptions, type Upload } from './options.js';
import { logRejection, serveRequest } from './serve-request.js';
import { ServerState } from './server-state.js';
import type { Violation } from './violations.js';

/** A running BITS server. */
export interface BitsServer {
  /** With a final slash: `http://127.0.0.1:49152/`. */
  readonly url: string;
  readonly port: number;
  /** The folder that receives uploads, each under the path of its URL. */
  readonly root: string;
  /** All requests so far, in the order of their arrival. */
  readonly log: readonly LoggedRequest[];
  /** All violations of the protocol by clients so far. */
  readonly violations: readonly Violation[];
  /** All completed uploads so far. */
  readonly uploads: readonly Upload[];
  /** Connections accepted so far. */
  readonly connections: number;
  /** @throws BITS_ERR_ARGUMENT for what is no fault of {@link Fault}. */
  addFault(fault: Fault): void;
  /** Faults that have not been applied as often as planned. */
  unconsumedFaults(): Fault[];
  /** @throws AssertionError that lists the faults which were not applied as often as planned. */
  assertFaultsConsumed(): void;
  /** @throws AssertionError that lists the violations. */
  assertNoViolations(): void;
  /**
   * Waits until the `nth` request of a kind has an outcome other than `pending`.
   *
   * @throws BITS_ERR_STATE when the server closes first.
   */
  waitForRequest(packet: RequestKind | 'any', nth?: number): Promise<LoggedRequest>;
  /** Closes all connections and deletes unfinished uploads; further calls do nothing. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a BITS server for tests: it implements [MC-BUP] §3.2.5, fails as planned, and records each
 * violation of the protocol by its clients.
 *
 * ```ts
 * const server = await createBitsServer({ faults: [{ on: 'fragment', nth: 3, do: 'hang' }] });
 * // upload to `${server.url}file.bin`
 * server.assertNoViolations();
 * server.assertFaultsConsumed();
 * await server.close();
 * ```
 *
 * Close-Session moves an upload into the root, atomically but without a flush to the device: a power
 * cut may cost the last uploads.
 *
 * @throws BITS_ERR_ARGUMENT for an invalid option; the operating system's error when the port or the
 * root is not available.
 */
export async function createBitsServer(options: BitsServerOptions = {}): Promise<BitsServer> {
  const resolved = resolveOptions(options);
  const faults = new FaultPlan(resolved.faults);
  const { root, temporary } = await openRoot(resolved.root);
  const server = new ReferenceServer(new ServerState(resolved, faults, root), temporary);
  try {
    await server.listen();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

async function openRoot(wanted: string | undefined) {
  if (wanted === undefined) {
    const made = await mkdtemp(path.join(tmpdir(), 'bits-server-'));
    return { root: await realpath(made), temporary: true };
  }
  await mkdir(wanted, { recursive: true });
  return { root: await realpath(wanted), temporary: false };
}

class ReferenceServer implements BitsServer {
  url = '';
  port = 0;
  readonly root: string;
  readonly log: readonly LoggedRequest[];
  readonly violations: readonly Violation[];
  readonly uploads: readonly Upload[];
  readonly #state: ServerState;
  readonly #temporaryRoot: boolean;
  readonly #http: Http1Server;
  readonly #unfinished = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(state: ServerState, temporaryRoot: boolean) {
    this.root = state.root;
    this.log = state.log.entries;
    this.violations = state.violations.entries;
    this.uploads = state.uploads;
    this.#state = state;
    this.#temporaryRoot = temporaryRoot;
    this.#http = new Http1Server({
      ...state.options,
      onExchange: (exchange) => {
        const work = serveRequest(exchange, state);
        this.#unfinished.add(work);
        void work.finally(() => this.#unfinished.delete(work));
      },
      onRejected: (rejection, connection) => logRejection(rejection, connection, state),
    });
  }

  get connections(): number {
    return this.#http.connections;
  }

  async listen(): Promise<void> {
    const { host, port, tls } = this.#state.options;
    const address = await this.#http.listen(port, host);
    this.port = address.port;
    const scheme = tls === undefined ? 'http' : 'https';
    this.url = `${scheme}://${reachableName(host)}:${address.port}/`;
  }

  addFault(fault: Fault): void {
    this.#state.faults.add(fault);
  }

  unconsumedFaults(): Fault[] {
    return this.#state.faults.unconsumed();
  }

  assertFaultsConsumed(): void {
    this.#state.faults.assertConsumed();
  }

  assertNoViolations(): void {
    this.#state.violations.assertNone();
  }

  waitForRequest(packet: RequestKind | 'any', nth = 1): Promise<LoggedRequest> {
    return this.#state.log.waitFor(packet, nth);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { sessions, log } = this.#state;
    await this.#http.close();
    await Promise.all(this.#unfinished);
    await sessions.close();
    log.close();
    if (this.#temporaryRoot) await rm(this.root, { recursive: true, force: true });
  }
}

/** The host for the server's URL; a server that listens on every address is reached by loopback. */
function reachableName(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
