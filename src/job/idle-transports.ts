import { sharedByCopies } from '../across-copies.js';
import { type Clock, later } from '../common/clock.js';
import type { UndiciTransport } from '../transport/undici.js';

/** How long the connections of a job that has ended wait for another job. */
export const LINGER_MS = 1000;

/** No more wait at once: hosts may be many, and file descriptors are not. */
export const MAX_WAITING = 64;

/** What may go from one job to the next. */
export type ReusableTransport = Pick<
  UndiciTransport,
  'send' | 'limitations' | 'close' | 'hasIdleConnection'
>;

interface Waiting {
  readonly key: string;
  readonly transport: ReusableTransport;
  readonly sinceMs: number;
  readonly stopTimer: () => void;
}

/**
 * The transports between two jobs: a job uses the connection that a completed one left.
 *
 * A transport belongs to one job at a time. So jobs under way at once have a connection each, none
 * waits for a fragment of another, and cutting the connection of one job does not affect the others.
 */
export class IdleTransports {
  readonly #clock: Clock;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>();

  /** @param clock goes on while the machine sleeps */
  constructor(clock: Clock = { now: Date.now, schedule: later }) {
    this.#clock = clock;
  }

  /**
   * The one that has waited least: its connection is the likeliest to be open still.
   * @param key the same for jobs that may have each other's connections
   */
  take(key: string): ReusableTransport | undefined {
    const waiting = [...this.#waiting].findLast((each) => each.key === key);
    if (waiting === undefined) return undefined;
    // Timers stand still while the machine sleeps or a computation lasts; servers' do not. And of a clock
    // that was set back nobody knows.
    const waitedMs = this.#clock.now() - waiting.sinceMs;
    if (waitedMs < 0 || waitedMs >= LINGER_MS) {
      this.#drop(waiting);
      return undefined;
    }
    this.#remove(waiting);
    return waiting.transport;
  }

  /** Keeps the transport of a completed job for another one, if its connection is free. */
  async keep(key: string, transport: ReusableTransport): Promise<void> {
    if (!transport.hasIdleConnection) return transport.close();
    const waiting: Waiting = {
      key,
      transport,
      sinceMs: this.#clock.now(),
      stopTimer: this.#clock.schedule(() => this.#drop(waiting), LINGER_MS),
    };
    this.#waiting.add(waiting);
    const [oldest] = this.#waiting;
    if (this.#waiting.size > MAX_WAITING && oldest !== undefined) this.#drop(oldest);
  }

  #drop(waiting: Waiting): void {
    this.#remove(waiting);
    // The jobs that used it have ended, so nobody is left whom a failure could concern.
    waiting.transport.close().catch(() => {});
  }

  #remove(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    waiting.stopTimer();
  }
}

/** Those of all jobs of the process. */
export const idleTransports = sharedByCopies('idle-transports', () => new IdleTransports());
