import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

/** The events that a process writes to standard output as JSON, one a line. */
export class JsonLines<E extends { readonly event: string }> {
  readonly all: E[] = [];
  readonly #process: ChildProcess;
  readonly #listeners = new Set<() => void>();
  #isOver = false;

  constructor(process: ChildProcess) {
    if (process.stdout === null) throw new Error('the process has no standard output');
    this.#process = process;
    const lines = createInterface({ input: process.stdout });
    lines.on('line', (line) => {
      this.all.push(JSON.parse(line));
      this.#tell();
    });
    lines.on('close', () => {
      this.#isOver = true;
      this.#tell();
    });
  }

  /** The next event of this kind that comes from now on, and fits. */
  next<K extends E['event']>(
    kind: K,
    fits: (event: Extract<E, { event: K }>) => boolean = () => true,
  ): Promise<Extract<E, { event: K }>> {
    let seen = this.all.length;
    const next = new Promise<Extract<E, { event: K }>>((resolve, reject) => {
      const look = () => {
        for (; seen < this.all.length; seen++) {
          const event = this.all[seen] as Extract<E, { event: K }>;
          if (event.event !== kind || !fits(event)) continue;
          this.#listeners.delete(look);
          resolve(event);
          return;
        }
        if (!this.#isOver) return;
        this.#listeners.delete(look);
        const last = JSON.stringify(this.all.at(-1));
        reject(
          new Error(`process ${this.#process.pid} ended before ${kind}; its last event: ${last}`),
        );
      };
      this.#listeners.add(look);
      look();
    });
    // Not everybody who asks for it needs it in the end.
    next.catch(() => {});
    return next;
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
