import { Deferred } from '../common/deferred.js';
import type { BitsError } from '../errors.js';
import type { UploadResult } from './events.js';

/** The promise of a result; one that nobody was given may be rejected unheard. */
export class ResultPromise {
  readonly #deferred = new Deferred<UploadResult>();
  #given: Promise<UploadResult> | undefined;
  isSettled = false;

  constructor() {
    this.#deferred.promise.catch(() => {});
  }

  get promise(): Promise<UploadResult> {
    this.#given ??= this.#deferred.promise.then((result) => result);
    return this.#given;
  }

  resolve(result: UploadResult): void {
    this.isSettled = true;
    this.#deferred.resolve(result);
  }

  reject(error: BitsError, { isHandled }: { readonly isHandled: boolean }): void {
    this.isSettled = true;
    if (isHandled) this.promise.catch(() => {});
    this.#deferred.reject(error);
  }
}
