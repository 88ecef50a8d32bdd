import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { onAbort } from '../common/abort.js';
import { EXIT, type ExitCode } from './exit-codes.js';

const EXIT_CODES = { SIGHUP: EXIT.sighup, SIGINT: EXIT.sigint, SIGTERM: EXIT.sigterm } as const;

type SignalName = keyof typeof EXIT_CODES;

/** Why a command has to stop early. */
export interface StopReason {
  readonly by: SignalName | 'stdout' | '--max-time' | '--fail-fast';
  /** Undefined: the exit code of what is unfinished. */
  readonly exitCode: ExitCode | undefined;
}

/** Turns signals into an abort; a second signal ends the process at once. */
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
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
    process.on('SIGHUP', isHangupIgnored() ? ignore : this.#onSignal);
  }

  forget(): void {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.removeListener(name, this.#onSignal);
    }
    process.removeListener('SIGHUP', ignore);
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

function ignore(): void {}

/**
 * Whether SIGHUP was ignored when the program started, as under `nohup`.
 *
 * Node resets ignored signals before any script runs, so that only traces of `nohup` tell: the name
 * that shells give to a command, a standard input that cannot be read, and a parent that ignores
 * SIGHUP, such as a script under `nohup`.
 */
function isHangupIgnored(): boolean {
  return (
    basename(process.env._ ?? '') === 'nohup' ||
    // O_WRONLY
    /^flags:\s*\d*1$/m.test(procFile('self/fdinfo/0')) ||
    // SIGHUP is the lowest bit.
    /^SigIgn:\s*[0-9a-f]*[13579bdf]$/m.test(procFile(`${process.ppid}/status`))
  );
}

/** Empty where there is no such file. */
function procFile(name: string): string {
  try {
    return readFileSync(`/proc/${name}`, 'utf8');
  } catch {
    return '';
  }
}
