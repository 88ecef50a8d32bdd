import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { UploadWorkerOptions } from '../../src/bullmq.js';

export type WorkerEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** A worker in a process of its own, which can be killed and paused. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #events: WorkerEvent[] = [];
  readonly #listeners = new Set<() => void>();
  readonly ended: Promise<unknown>;

  constructor(options: UploadWorkerOptions, onEvent?: (event: WorkerEvent) => void) {
    this.#child = spawn(
      process.execPath,
      ['test/bullmq/worker-child.js', JSON.stringify(options)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.ended = once(this.#child, 'exit');
    const exit = (): void => void this.#child.kill('SIGKILL');
    process.once('exit', exit);
    void this.ended.then(() => process.off('exit', exit));
    if (this.#child.stdout === null) throw new Error('no standard output');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      // The last line of a process that was killed may be a part of one.
      if (!line.endsWith('}')) return;
      const event = JSON.parse(line) as WorkerEvent;
      this.#events.push(event);
      onEvent?.(event);
      for (const listener of this.#listeners) listener();
    });
  }

  /** Resolves with the first event that fits, of all that there ever were. */
  async said(fits: (event: WorkerEvent) => boolean): Promise<WorkerEvent> {
    for (;;) {
      const found = this.#events.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const listener = (): void => {
          this.#listeners.delete(listener);
          resolve();
        };
        this.#listeners.add(listener);
      });
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }
}
