import { assertOptions, mustBe, type OptionNames, optionGroup } from '../common/check-options.js';
import type { UploadOptions } from '../job/options.js';
import { OtherWorkerError } from './job-data.js';

/** Credentials of a worker, which a job asks for by their name. */
export interface NamedCredentials
  extends Pick<UploadOptions, 'auth' | 'headers' | 'tls' | 'allowInsecureAuth'> {
  /**
   * Servers that may get them, such as `https://bits.example`: whoever can write to Redis chooses the
   * URL of a job.
   */
  origins: readonly string[];
  /** Added to the URL, such as the token of a shared access signature. @default none */
  query?: string | undefined;
}

/** Credentials by name. */
export type CredentialsByName = Readonly<Record<string, NamedCredentials>>;

const OPTION_NAMES: OptionNames<NamedCredentials> = {
  auth: true,
  headers: true,
  tls: true,
  allowInsecureAuth: true,
  origins: true,
  query: true,
};

/** @throws BITS_ERR_ARGUMENT */
export function checkCredentials(given: CredentialsByName): void {
  assertOptions('credentials', given);
  for (const [name, named] of Object.entries(given)) {
    const { origins } = optionGroup(`credentials.${name}`, named, OPTION_NAMES);
    const areOrigins = Array.isArray(origins) && origins.length > 0 && origins.every(isOrigin);
    const example = 'an array of the servers that may get them, such as https://bits.example';
    mustBe(areOrigins, `credentials.${name}.origins`, example);
  }
}

/** The name of the credentials of jobs that name none, for the servers that they are for. */
const DEFAULT_NAME = 'default';

/**
 * The options that named credentials add to an upload.
 * @throws OtherWorkerError when this worker has none of this name, or not for this server
 */
export function credentialOptions(
  byName: CredentialsByName,
  name: string | undefined,
  url: string,
): Pick<UploadOptions, 'url' | 'auth' | 'headers' | 'tls' | 'allowInsecureAuth'> {
  const given = name ?? DEFAULT_NAME;
  const named = Object.hasOwn(byName, given) ? byName[given] : undefined;
  if (named === undefined) {
    if (name === undefined) return { url };
    throw new OtherWorkerError(
      'BITS_ERR_AUTH',
      `This worker has no credentials with the name ${JSON.stringify(name)}.`,
    );
  }
  const { origins, query, ...options } = named;
  const { origin } = new URL(url);
  if (!origins.some((each) => new URL(each).origin === origin)) {
    if (name === undefined) return { url };
    throw new OtherWorkerError(
      'BITS_ERR_AUTH',
      `The credentials ${JSON.stringify(name)} of this worker are not for ${origin}.`,
    );
  }
  return { ...options, url: query === undefined ? url : `${url}?${query.replace(/^\?/, '')}` };
}

function isOrigin(text: unknown): boolean {
  if (typeof text !== 'string' || !URL.canParse(text)) return false;
  return ['http:', 'https:'].includes(new URL(text).protocol);
}
