import {
  abortSignal,
  assertKnown,
  assertMethods,
  assertOptions,
  duration,
  flag,
  mustBe,
  type OptionNames,
  optionalFunction,
  optionGroup,
  text,
  wholeNumber,
} from '../common/check-options.js';
import { isCredentialHeader } from '../common/header-fields.js';
import { BitsArgumentError } from '../errors.js';
import { MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from '../protocol/constants.js';
import { isHostPattern } from '../protocol/host-id.js';
import { parseRemoteUrl } from '../protocol/remote-url.js';
import { resolveReply } from '../reply/reply-option.js';
import { toByteSource } from '../source/to-source.js';
import type { JobStore } from '../store/store.js';
import { type AuthOptions, authMeans } from '../transport/auth/options.js';
import { proxyChoice } from '../transport/proxy/proxy-choice.js';
import { resolveTls, type TlsOptions } from '../transport/tls-options.js';
import type { Transport } from '../transport/transport.js';
import { Bandwidth, type BandwidthOptions } from './bandwidth.js';
import { checkHeaders } from './check-headers.js';
import {
  DEFAULTS,
  type RetryInput,
  type RetryOptions,
  type TimeoutOptions,
  type Timeouts,
  type UploadOptions,
} from './options.js';

/** The options of a job with every default filled in. */
export type ResolvedOptions = ReturnType<typeof resolveOptions>;

/** Every option there is. */
export const OPTION_NAMES: OptionNames<UploadOptions> = {
  url: true,
  source: true,
  name: true,
  reply: true,
  headers: true,
  fragmentBytes: true,
  timeouts: true,
  bandwidth: true,
  retry: true,
  maxRestarts: true,
  onUncertainFragment: true,
  trustedHosts: true,
  auth: true,
  allowInsecureAuth: true,
  tls: true,
  proxy: true,
  noProxy: true,
  userAgent: true,
  methodOverride: true,
  onRequest: true,
  onResponse: true,
  signal: true,
  transport: true,
  store: true,
  resume: true,
  spoolMaxBytes: true,
};

/**
 * The one place where options get their defaults and are checked.
 * @throws BITS_ERR_ARGUMENT for an option that is unknown or cannot work, before anything is sent
 */
export function resolveOptions(options: UploadOptions) {
  assertOptions('UploadJob', options, ', with url and source');
  assertKnown('', options, OPTION_NAMES);
  const headers = headersOf(options);
  const remoteUrl = parseRemoteUrl(options.url);
  const tls = checkNetwork(options);
  return Object.freeze({
    remoteUrl,
    name: options.name,
    reply: resolveReply(options.reply),
    headers,
    // Whether something must not reach another host unasked.
    hasCredentials:
      options.auth !== undefined ||
      options.transport?.hasCredentials === true ||
      Object.keys(headers).some(isCredentialHeader) ||
      tls?.cert !== undefined ||
      tls?.pfx !== undefined ||
      // A query may be a token, such as a shared access signature.
      remoteUrl.search !== '',
    fragmentBytes: checkFragmentBytes(options.fragmentBytes),
    timeouts: checkTimeouts(options.timeouts),
    bandwidth: toBandwidth(options.bandwidth),
    retry: checkRetry(options.retry),
    maxRestarts: wholeNumber('maxRestarts', options.maxRestarts, DEFAULTS.maxRestarts),
    onUncertainFragment: checkUncertain(options.onUncertainFragment),
    trustedHosts: checkTrustedHosts(options.trustedHosts),
    auth: checkAuth(options.auth),
    allowInsecureAuth: flag('allowInsecureAuth', options.allowInsecureAuth),
    tls,
    proxy: options.proxy,
    noProxy: text('noProxy', options.noProxy),
    methodOverride: flag('methodOverride', options.methodOverride),
    onRequest: optionalFunction('onRequest', options.onRequest),
    onResponse: optionalFunction('onResponse', options.onResponse),
    signal: abortSignal(options.signal),
    transport: checkTransport(options.transport),
    store: checkStore(options.store),
    resume: flag('resume', options.resume, true),
    // Last, because it takes hold of a stream: a refused option must not cost the caller that.
    source: toByteSource(options.source, {
      name: checkName(options.name),
      maxBytes: wholeNumber('spoolMaxBytes', options.spoolMaxBytes, DEFAULTS.spoolMaxBytes),
      limitName: 'spoolMaxBytes',
    }),
  });
}

function checkTimeouts(given: TimeoutOptions | undefined): Timeouts {
  const { timeouts: defaults } = DEFAULTS;
  const timeouts: TimeoutOptions = optionGroup('timeouts', given, defaults);
  const limit = (name: keyof Timeouts): number =>
    duration(`timeouts.${name}`, timeouts[name], defaults[name], 1);
  return {
    connectMs: limit('connectMs'),
    stallMs: limit('stallMs'),
    answerMs: limit('answerMs'),
    replyMs: limit('replyMs'),
    noProgressMs:
      timeouts.noProgressMs === Number.POSITIVE_INFINITY
        ? timeouts.noProgressMs
        : limit('noProgressMs'),
  };
}

function checkRetry(given: RetryInput | undefined): RetryOptions {
  const { retry: defaults } = DEFAULTS;
  const retry: RetryInput = optionGroup('retry', given, {
    ...defaults,
    shouldRetry: true,
  });
  const delay = (name: 'minDelayMs' | 'maxDelayMs' | 'maxRetryAfterMs'): number =>
    duration(`retry.${name}`, retry[name], defaults[name], 0);
  return {
    limit:
      retry.limit === Number.POSITIVE_INFINITY
        ? retry.limit
        : wholeNumber('retry.limit', retry.limit, defaults.limit),
    minDelayMs: delay('minDelayMs'),
    maxDelayMs: delay('maxDelayMs'),
    maxRetryAfterMs: delay('maxRetryAfterMs'),
    shouldRetry: optionalFunction('retry.shouldRetry', retry.shouldRetry) ?? (() => true),
  };
}

/** @throws BITS_ERR_ARGUMENT */
export function toBandwidth(
  given: BandwidthOptions | Bandwidth | undefined,
): Bandwidth | undefined {
  if (given === undefined || given instanceof Bandwidth) return given;
  return new Bandwidth(given);
}

function checkFragmentBytes(value: number | undefined): number | undefined {
  if (value === undefined) return undefined;
  mustBe(
    Number.isSafeInteger(value) && value >= MIN_FRAGMENT_BYTES && value <= MAX_FRAGMENT_BYTES,
    'fragmentBytes',
    `a whole number from ${MIN_FRAGMENT_BYTES} (5 KiB) to ${MAX_FRAGMENT_BYTES} (2 GiB)`,
  );
  return value;
}

function checkName(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const isFileName =
    typeof name === 'string' && !['', '.', '..'].includes(name) && !name.includes('/');
  mustBe(isFileName, 'name', 'a file name, not empty and without a path');
  if (/[\x00-\x1f\x7f]/.test(name)) {
    throw new BitsArgumentError('name must not have control characters.');
  }
  return name;
}

function checkUncertain(
  value: UploadOptions['onUncertainFragment'] = DEFAULTS.onUncertainFragment,
): 'resend' | 'restart' {
  const isRight = value === 'resend' || value === 'restart';
  mustBe(isRight, 'onUncertainFragment', "'resend' or 'restart'");
  return value;
}

function checkTrustedHosts(hosts: readonly string[] | undefined): readonly string[] {
  if (hosts === undefined) return [];
  const areNames = Array.isArray(hosts) && hosts.every((host) => typeof host === 'string');
  mustBe(areNames, 'trustedHosts', 'an array of host names');
  const wrong = hosts.find((host) => !isHostPattern(host));
  if (wrong !== undefined) {
    throw new BitsArgumentError(
      `trustedHosts must be host names such as web3.corp.example or *.corp.example, without a scheme ` +
        `or path, not ${JSON.stringify(wrong)}.`,
    );
  }
  return Object.freeze([...hosts]);
}

function checkAuth(auth: AuthOptions | undefined): AuthOptions | undefined {
  // Called for its errors: what is wrong is told before anything is sent.
  if (auth !== undefined) authMeans(auth);
  return auth;
}

/** Checks what concerns the connection, before anything is sent. */
function checkNetwork({ tls, proxy, noProxy, transport }: UploadOptions): TlsOptions | undefined {
  if (transport === undefined) {
    if (tls !== undefined) resolveTls(tls);
    // The proxy of the environment is looked at when the connection is made.
    if (proxy !== undefined) proxyChoice(proxy, noProxy);
    return tls;
  }
  for (const [name, value] of Object.entries({ tls, proxy, noProxy })) {
    if (value === undefined || value === false) continue;
    throw new BitsArgumentError(
      `${name} is an option of the default transport: give it to your own transport instead.`,
    );
  }
  return undefined;
}

function checkTransport(transport: Transport | undefined): Transport | undefined {
  if (transport === undefined) return undefined;
  assertMethods('transport', transport, ['send', 'close']);
  const hasLimitations = Array.isArray(transport.limitations);
  mustBe(hasLimitations, 'transport', 'an object with the array limitations');
  return transport;
}

function checkStore(store: JobStore | undefined): JobStore | undefined {
  if (store !== undefined) assertStore(store);
  return store;
}

/** @throws BITS_ERR_ARGUMENT */
export function assertStore(store: JobStore): void {
  assertMethods('store', store, ['save', 'load', 'list', 'remove', 'lock', 'holder']);
}

function headersOf({ headers, userAgent }: UploadOptions): Readonly<Record<string, string>> {
  const given = headers === undefined ? {} : checkHeaders(headers);
  if (text('userAgent', userAgent) === undefined) return given;
  if (Object.keys(given).some((name) => name.toLowerCase() === 'user-agent')) {
    throw new BitsArgumentError('Give userAgent or a User-Agent header, not both.');
  }
  return checkHeaders({ ...given, 'User-Agent': userAgent as string });
}
