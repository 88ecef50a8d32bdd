import type { Dispatcher } from 'undici';

type Abort = (reason: Error) => void;

/**
 * Answers to the names that undici 7's `MockAgent` still calls, beside today's.
 *
 * Real dispatchers look for `onRequestStart` and leave these alone.
 */
export function withLegacyNames(
  handler: Required<
    Pick<
      Dispatcher.DispatchHandler,
      'onRequestStart' | 'onResponseStart' | 'onResponseData' | 'onResponseEnd' | 'onResponseError'
    >
  >,
): Dispatcher.DispatchHandler {
  let paused = false;
  let resume: (() => void) | undefined;
  let rawHeaders: unknown;
  let abort: Abort = () => {};
  const controller = {
    aborted: false,
    reason: null,
    get paused() {
      return paused;
    },
    get rawHeaders() {
      return rawHeaders;
    },
    abort: (reason: Error) => abort(reason),
    pause: () => {
      paused = true;
    },
    resume: () => {
      if (!paused) return;
      paused = false;
      resume?.();
    },
  } as unknown as Dispatcher.DispatchController;
  const legacy = {
    onConnect(cut: Abort) {
      abort = cut;
      handler.onRequestStart(controller, undefined);
    },
    onHeaders(status: number, headers: unknown, goOn: () => void) {
      resume = goOn;
      rawHeaders = headers;
      handler.onResponseStart(controller, status, {});
      return !paused;
    },
    onData(chunk: Buffer) {
      handler.onResponseData(controller, chunk);
      return !paused;
    },
    onComplete: () => handler.onResponseEnd(controller, {}),
    onError: (error: Error) => handler.onResponseError(controller, error),
  };
  return {
    onRequestStart: (...args) => handler.onRequestStart(...args),
    onResponseStart: (...args) => handler.onResponseStart(...args),
    onResponseData: (...args) => handler.onResponseData(...args),
    onResponseEnd: (...args) => handler.onResponseEnd(...args),
    onResponseError: (...args) => handler.onResponseError(...args),
    ...legacy,
  } as Dispatcher.DispatchHandler;
}
