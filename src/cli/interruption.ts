import { onAbort } from '../common/abort.js';
import { EXIT, type ExitCode } from './exit-codes.js';

type SignalName = 'SIGINT' | 'SIGTERM';

const EXIT_CODES = { SIGINT: EXIT.sigint, SIGTERM: EXIT.sigterm } as const;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Why a command has to stop early. */
export interface StopReason {
  readonly by: SignalName | 'stdout';
  readonly exitCode: ExitCode;
}

/** Turns SIGINT and SIGTERM into an abort; a second signal ends the process at once. */
export class Interruption {
  readonly #controller = new AbortController();
  #reason: StopReason | undefined;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Undefined until something stops the command. */
  get reason(): StopReason | undefined {
    return this.#reason;
  }

  listen(): void {
    for (const name of SIGNALS) process.on(name, this.#onSignal);
  }

  forget(): void {
    for (const name of SIGNALS) process.removeListener(name, this.#onSignal);
  }

  /** The first reason counts. */
  stop(reason: StopReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller.abort();
  }

  /** Resolves when the command has to stop. */
  stopped(): Promise<void> {
    return new Promise((resolve) => onAbort(this.signal, resolve));
  }

  readonly #onSignal = (name: SignalName): void => {
    if (this.#reason === undefined) this.stop({ by: name, exitCode: EXIT_CODES[name] });
    else process.exit(EXIT_CODES[name]);
  };
}
