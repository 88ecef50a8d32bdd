import type { Dispatcher, Pool } from 'undici';

/**
 * The connections of a transport, by origin.
 *
 * In place of undici's `Agent`: that one closes an origin's pool when its connection ends, and the
 * pool that follows it when the one before has ended. After one `Connection: close` every request
 * then has a connection of its own, which costs a handshake each and breaks NTLM.
 */
export class Pools {
  readonly #make: (origin: string) => Pool;
  readonly #pools = new Map<string, Pool>();

  constructor(make: (origin: string) => Pool) {
    this.#make = make;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const origin = String(options.origin);
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = this.#make(origin);
      this.#pools.set(origin, pool);
    }
    pool.dispatch(options, handler);
  }

  /** Fails what is under way, and closes every socket. */
  async destroy(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}
