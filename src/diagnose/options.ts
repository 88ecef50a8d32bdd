import { randomUUID } from 'node:crypto';
import { BitsArgumentError } from '../errors.js';
import type { UploadOptions } from '../job/options.js';
import { type ResolvedOptions, resolveOptions } from '../job/resolve-options.js';
import { appendFileName } from '../protocol/remote-url.js';
import { type Route, routeTo } from './route.js';

/** The connection options of an upload, and what to check. */
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
  /**
   * Whether to create a session and cancel it, to test the permission to write: for a file with a random
   * name in the directory of the URL. @default false
   */
  probe?: boolean | undefined;
  /** Time limit of one step. @default 30000 */
  stepTimeoutMs?: number | undefined;
}

export interface DiagnosisPlan {
  readonly upload: ResolvedOptions;
  /** Where a session is created: servers may empty the file that a URL names. */
  readonly probeUrl: URL;
  readonly route: Route;
  readonly probe: boolean;
  readonly stepTimeoutMs: number;
}

const DEFAULT_STEP_TIMEOUT_MS = 30_000;
const MAX_STEP_TIMEOUT_MS = 60 * 60 * 1000;

/** @throws BITS_ERR_ARGUMENT */
export function planDiagnosis(options: DiagnoseOptions): DiagnosisPlan {
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('diagnose takes an object of options with a url');
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
    // Longer than the limit of the step, so that the step's is the one that is reported.
    timeouts: { stallMs: stepTimeoutMs * 2, answerMs: stepTimeoutMs * 2 },
  });
  // Uploads go to files: a directory may answer differently.
  const probeName = `bits-upload-probe-${randomUUID()}`;
  const remoteUrl = appendFileName(upload.remoteUrl, probeName);
  const probeUrl = new URL(probeName, remoteUrl);
  probeUrl.search = remoteUrl.search;
  return {
    upload: { ...upload, remoteUrl },
    probeUrl,
    route: routeTo(remoteUrl, upload.proxy, upload.noProxy),
    probe,
    stepTimeoutMs,
  };
}
