import { randomUUID } from 'node:crypto';
import { BitsArgumentError } from '../errors.js';
import type { UploadOptions } from '../job/options.js';
import { type ResolvedOptions, resolveOptions } from '../job/resolve-options.js';
import { appendFileName } from '../protocol/remote-url.js';
import { type Route, routeTo } from './route.js';

/** An upload's way to its server, as `UploadOptions` say it, and how far to go. */
export interface DiagnoseOptions
  extends Pick<
    UploadOptions,
    | 'url'
    | 'headers'
    | 'auth'
    | 'allowInsecureAuth'
    | 'trustedHosts'
    | 'tls'
    | 'proxy'
    | 'noProxy'
    | 'userAgent'
    | 'methodOverride'
    | 'onRequest'
    | 'onResponse'
    | 'signal'
  > {
  /** Whether a session is begun and cancelled, as a test of the right to write. @default false */
  probe?: boolean | undefined;
  /** Longest time of a step. @default 30000 */
  stepTimeoutMs?: number | undefined;
}

export interface DiagnosisPlan {
  readonly upload: ResolvedOptions;
  readonly route: Route;
  readonly probe: boolean;
  readonly stepTimeoutMs: number;
}

const DEFAULT_STEP_TIMEOUT_MS = 30_000;
const MAX_STEP_TIMEOUT_MS = 60 * 60 * 1000;

/** @throws BITS_ERR_ARGUMENT */
export function planDiagnosis(options: DiagnoseOptions): DiagnosisPlan {
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('diagnose takes an object of options, with a url');
  }
  const { probe = false, stepTimeoutMs = DEFAULT_STEP_TIMEOUT_MS, ...network } = options;
  if (!(stepTimeoutMs >= 1 && stepTimeoutMs <= MAX_STEP_TIMEOUT_MS)) {
    throw new BitsArgumentError(
      `stepTimeoutMs must be a number of milliseconds from 1 to ${MAX_STEP_TIMEOUT_MS}`,
    );
  }
  const upload = resolveOptions({
    ...network,
    source: new Uint8Array(0),
    // Above the limit of the whole step, which is the one to be told of.
    timeouts: { stallMs: stepTimeoutMs * 2, answerMs: stepTimeoutMs * 2 },
  });
  // Uploads go to files: a directory may answer otherwise.
  const remoteUrl = appendFileName(upload.remoteUrl, `bits-upload-probe-${randomUUID()}`);
  return {
    upload: { ...upload, remoteUrl },
    route: routeTo(remoteUrl, upload.proxy, upload.noProxy),
    probe,
    stepTimeoutMs,
  };
}
