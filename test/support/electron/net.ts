import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';
import type { ElectronNet, ElectronRequest } from '../../../src/electron.js';

/** A request as Electron's JavaScript hands it to Chromium. */
export interface LoaderRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: no body, and no `Content-Length` for methods that Chromium does not know. */
  readonly body: Buffer | undefined;
  readonly credentials: 'include' | 'omit';
  readonly session: object | undefined;
}

interface LoaderEvents {
  redirect: [status: number, url: string, headers: Record<string, string[]>];
  /** `rawHeaders`: names and values in turn. */
  response: [status: number, rawHeaders: string[]];
  /** Nothing more comes until `resume` is called. */
  data: [chunk: Buffer, resume: () => void];
  complete: [];
  error: [netError: string];
  progress: [bytes: number];
  login: [authInfo: object, callback: (username?: string, password?: string) => void];
}

/** Chromium's side of one request. */
export class Loader extends EventEmitter<LoaderEvents> {
  cancel: () => void = () => {};
}

export type StartLoader = (request: LoaderRequest, loader: Loader) => void;

/** Its stream stays paused until somebody reads. */
class Answer extends Readable {
  readonly statusCode: number;
  readonly rawHeaders: string[];
  #resume = () => {};

  constructor(statusCode: number, rawHeaders: string[]) {
    super();
    this.statusCode = statusCode;
    this.rawHeaders = rawHeaders;
  }

  get headers(): Record<string, string> {
    return Object.fromEntries(new Headers(pairs(this.rawHeaders)));
  }

  arrive(chunk: Buffer, resume: () => void): void {
    if (this.push(chunk)) resume();
    else this.#resume = resume;
  }

  override _read(): void {
    const resume = this.#resume;
    this.#resume = () => {};
    resume();
  }
}

function pairs(fields: string[]): [string, string][] {
  return fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] ?? '']] : []));
}

/**
 * Electron's `ClientRequest` as its documentation and its behaviour have it, oddities included: the
 * body is sent once it is whole; a request that is aborted in the turn of its `end` is sent all the
 * same; errors come after `end` and after `abort` too; a redirect that is neither followed nor aborted
 * fails.
 */
class StandInRequest extends Writable {
  readonly #start: StartLoader;
  readonly #request: Omit<LoaderRequest, 'body'>;
  readonly #chunks: Buffer[] = [];
  #loader: Loader | undefined;
  #answer: Answer | undefined;
  #sentBytes: number | undefined;
  #isAborted = false;

  constructor(request: Omit<LoaderRequest, 'body'>, start: StartLoader) {
    super();
    this.#request = request;
    this.#start = start;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  override _final(done: () => void): void {
    process.nextTick(() => this.#send());
    done();
  }

  getUploadProgress() {
    return { started: this.#sentBytes !== undefined, current: this.#sentBytes ?? 0 };
  }

  abort(): void {
    if (!this.#isAborted) process.nextTick(() => this.emit('abort'));
    this.#isAborted = true;
    this.#die();
  }

  #send(): void {
    const loader = new Loader();
    this.#loader = loader;
    loader.on('response', (status, rawHeaders) => {
      this.#answer = new Answer(status, rawHeaders);
      this.emit('response', this.#answer);
    });
    loader.on('data', (chunk, resume) => this.#answer?.arrive(chunk, resume));
    loader.on('complete', () => this.#answer?.push(null));
    loader.on('error', (netError) => this.#die(new Error(netError)));
    loader.on('progress', (bytes) => {
      this.#sentBytes = bytes;
    });
    loader.on('login', (authInfo, callback) => {
      if (!this.emit('login', authInfo, callback)) callback();
    });
    loader.on('redirect', (status, url, headers) => {
      this.emit('redirect', status, this.#request.method, url, headers);
      if (!this.#isAborted) this.#die(new Error('Redirect was cancelled'));
    });
    const body = this.#chunks.length > 0 ? Buffer.concat(this.#chunks) : undefined;
    this.#start({ ...this.#request, body }, loader);
  }

  #die(error?: Error): void {
    if (this.destroyed && error) this.emit('error', error);
    this.destroy(error);
    this.#answer?.destroy(error);
    this.#loader?.removeAllListeners();
    this.#loader?.on('error', () => {});
    this.#loader?.cancel();
  }
}

/** Electron's `net` over any network stack. */
export function standInNet(start: StartLoader): ElectronNet {
  return {
    request: ({ method = 'GET', url = '', headers = {}, credentials, session }) => {
      const texts = Object.entries(headers).map(([name, value]) => [name, String(value)]);
      for (const [name] of texts) {
        if (/^(content-length|host|connection)$/i.test(name ?? '')) throw new Error(`${name}?`);
      }
      return new StandInRequest(
        {
          method,
          url,
          headers: Object.fromEntries(texts),
          // What Electron does without this option, as far as it matters.
          credentials: credentials === 'omit' ? 'omit' : 'include',
          session,
        },
        start,
      ) as unknown as ElectronRequest;
    },
  };
}
