import type { ErrorEvent } from '../cli-events.js';

/** The part of an error that is shown. */
export type Failure = Omit<ErrorEvent, 'type' | 'file' | 'url'>;

/** The flags for the options of the SDK, as messages name them; longer phrases first. */
const FLAGS: readonly (readonly [sdk: string, cli: string])[] = [
  ['password in the option proxy', 'password with --proxy-user'],
  ['give them in the option proxy', 'give them with --proxy-user'],
  ['give credentials with the option for authentication instead', 'use --user instead'],
  ['check auth and auth.schemes', 'check --user, and --basic, --digest, --ntlm or --negotiate'],
  ['auth.schemes', '--basic, --digest, --ntlm or --negotiate'],
  ['give the content of the file and not its path; convert DER', 'convert DER'],
  ['check that it is a whole PKCS #12 file', 'check that it is PEM, or a whole PKCS #12 file'],
  ['make the reply optional', 'give --reply-optional'],
  [
    'check the user name, the password and the authentication schemes of the server',
    'give --user, or check it and its password; ping shows which schemes the server accepts',
  ],
  ['check the user name and password for the proxy', 'give --proxy-user, or check it'],
  ['upload it as a stream', 'pipe it into the program and give - as PATH'],
  ['connect to it and upload the stream', 'pipe the data into the program and give - as PATH'],
  ['start a new job.', 'upload it again with put.'],
  ['proxy.tls.ca', 'NODE_EXTRA_CA_CERTS of the environment'],
  ['move it away, or give overwrite: true', 'move it away'],
  ['give overwrite: true to replace it', 'move it away'],
  ['tls.dangerouslyAllowInvalidCertificates', '--insecure'],
  ['tls.servername', 'the option tls.servername of the SDK'],
  ['tls.passphrase', '--pass'],
  ['tls.cert', '--cert'],
  ['tls.pfx', '--cert'],
  ['tls.key', '--key'],
  ['give the content of the file and not its path; convert', 'convert'],
  ['tls.ca', '--cacert'],
  ['auth.allowLegacyDigest', '--allow-legacy-digest'],
  ['auth.credentials', '--user'],
  ['auth.kerberos', '--negotiate'],
  ['auth.token', '--oauth2-bearer'],
  ['allowInsecureAuth', '--allow-insecure-auth'],
  ['trustedHosts', '--trusted-host'],
  ['methodOverride', '--method-override'],
  ['userAgent', '--user-agent'],
  ['noProxy', '--noproxy'],
  ['option proxy', 'option --proxy'],
  ['proxy must be', '--proxy must be'],
  ['fragmentBytes', '--fragment-size'],
  ['spoolMaxBytes', '--spool-size'],
  ['timeouts.answerMs, or timeouts.replyMs for a reply', '--timeout'],
  ['timeouts.connectMs', '--connect-timeout'],
  ['timeouts.stallMs', '--timeout'],
  ['timeouts.answerMs', '--timeout'],
  ['timeouts.replyMs', '--timeout'],
  ['retry.limit', '--retries'],
  ['reply.maxBytes', '--max-reply-size'],
  ['trustDirectory', '--trust-state-dir'],
  ['onUncertainFragment', '--on-uncertain'],
  ['probe: true', '--probe'],
  ['The connection must be', '--redis must be'],
  ['the query as query of credentials', 'the query with createUploadWorker of the SDK'],
];

const NAMES = new RegExp(
  `(?<![\\w./-])(?:(?:the )?option )?(${FLAGS.map(([sdk]) => sdk.replaceAll('.', '\\.')).join('|')})(?![\\w-])`,
  'g',
);

/** A message of the SDK with the flags of the command line in place of the options. */
export function withFlags(message: string): string {
  const flags = new Map(FLAGS);
  return (
    message
      .replace(NAMES, (all, name: string) => flags.get(name) ?? flags.get(all) ?? all)
      // Some messages name the flag besides the option.
      .replace(/(--[\w-]+) \(\1\)/g, '$1')
      // An option without a flag.
      .replace(' (timeouts.noProgressMs)', '')
  );
}

/** What is shown of an error; anything but a `BitsError` is a bug. */
export function failureOf(error: unknown, ofJob: Partial<Failure> = {}): Failure {
  if (!isFailure(error)) {
    return {
      code: 'ERR_UNEXPECTED',
      message: `unexpected error, please report it: ${String(error)}`,
      retryable: false,
      ...ofJob,
    };
  }
  const { code, message, retryable, status, hresult, hresultName, context } = error;
  return {
    code,
    message: withFlags(message),
    retryable,
    status,
    hresult,
    hresultName,
    context,
    ...ofJob,
  };
}

function isFailure(error: unknown): error is Error & Failure {
  if (!(error instanceof Error)) return false;
  const { code, retryable } = error as Error & Partial<Failure>;
  return typeof code === 'string' && typeof retryable === 'boolean';
}
