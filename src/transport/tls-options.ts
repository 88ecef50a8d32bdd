import { createPrivateKey, X509Certificate } from 'node:crypto';
import tls, { type ConnectionOptions, type SecureVersion } from 'node:tls';
import { flag, optionGroup } from '../common/check-options.js';
import { BitsArgumentError } from '../errors.js';
import type { TransportLimitation } from './transport.js';

type Pem = string | Uint8Array;

/** Certificates for https. */
export interface TlsOptions {
  /** Authorities to trust in place of Node's own, in PEM; one text may hold several. */
  readonly ca?: Pem | readonly Pem[] | undefined;
  /** Trusts the authorities of the operating system as well; needs Node 22.15. @default false */
  readonly systemCa?: boolean | undefined;
  /** A client certificate and its chain, in PEM. */
  readonly cert?: Pem | undefined;
  /** The private key of `cert`, in PEM. */
  readonly key?: Pem | undefined;
  /** A client certificate with its key, in PKCS #12; instead of `cert` and `key`. */
  readonly pfx?: Uint8Array | undefined;
  /** Opens `key` or `pfx`. */
  readonly passphrase?: string | undefined;
  /**
   * The name that certificates are checked against, and that is sent as SNI, in place of the URL's
   * host; a function is asked for each host. @default the host that is connected to
   */
  readonly servername?: string | ((hostname: string) => string | undefined) | undefined;
  /** The oldest version of TLS that is spoken. @default Node's, TLSv1.2 */
  readonly minVersion?: SecureVersion | undefined;
  /** Takes any certificate, so that anybody in between can read and change all. @default false */
  readonly dangerouslyAllowInvalidCertificates?: boolean | undefined;
}

/** What {@link TlsOptions} come to. */
export interface ResolvedTls {
  readonly connection: Pick<
    ConnectionOptions,
    'ca' | 'cert' | 'key' | 'pfx' | 'passphrase' | 'minVersion' | 'rejectUnauthorized'
  >;
  readonly servername: (hostname: string) => string | undefined;
  readonly limitations: readonly TransportLimitation[];
}

/** A client certificate, as it was given but for the text of PEM. */
interface ClientCertificate extends Pick<TlsOptions, 'pfx' | 'passphrase'> {
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const OPTION_NAMES: Readonly<Record<keyof TlsOptions, true>> = {
  ca: true,
  systemCa: true,
  cert: true,
  key: true,
  pfx: true,
  passphrase: true,
  servername: true,
  minVersion: true,
  dangerouslyAllowInvalidCertificates: true,
};

const VERSIONS: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

/**
 * Checks TLS options before anything is sent.
 *
 * @param what names the option in messages, which show nothing of the values.
 * @throws BITS_ERR_ARGUMENT for what TLS cannot work with.
 */
export function resolveTls(given?: TlsOptions, what = 'tls'): ResolvedTls {
  if (Object.hasOwn(Object(given), 'rejectUnauthorized')) {
    throw new BitsArgumentError(
      `${what} has no rejectUnauthorized: give the authority in ${what}.ca, or say dangerouslyAllowInvalidCertificates`,
    );
  }
  const options: TlsOptions = optionGroup(what, given, OPTION_NAMES);
  const { pfx, passphrase, servername, minVersion } = options;
  const cert = options.cert === undefined ? undefined : pemText(options.cert, `${what}.cert`);
  const key = options.key === undefined ? undefined : pemText(options.key, `${what}.key`);
  if (minVersion !== undefined && !VERSIONS.includes(minVersion)) {
    throw new BitsArgumentError(`${what}.minVersion must be one of ${VERSIONS.join(', ')}`);
  }
  if (servername !== undefined && !['string', 'function'].includes(typeof servername)) {
    throw new BitsArgumentError(`${what}.servername must be a host name`);
  }
  checkClientCertificate({ cert, key, pfx, passphrase }, what);
  const insecure = flag(
    `${what}.dangerouslyAllowInvalidCertificates`,
    options.dangerouslyAllowInvalidCertificates,
  );
  return {
    connection: {
      ca: authorities(options, what),
      cert,
      key,
      pfx: pfx && Buffer.from(pfx),
      passphrase,
      minVersion,
      // Also against NODE_TLS_REJECT_UNAUTHORIZED: one place decides.
      rejectUnauthorized: !insecure,
    },
    servername: typeof servername === 'function' ? servername : () => servername,
    limitations: insecure ? [unchecked(what)] : [],
  };
}

function unchecked(what: string): TransportLimitation {
  return {
    code: 'certificates-not-checked',
    message: `Certificates are not checked (${what}.dangerouslyAllowInvalidCertificates): anybody in between can read and change the upload and learn its credentials; give the authority in ${what}.ca instead`,
  };
}

function authorities({ ca, systemCa }: TlsOptions, what: string): string[] | undefined {
  const own = ca === undefined ? undefined : checkAuthorities(ca, what);
  if (!flag(`${what}.systemCa`, systemCa)) return own;
  const { getCACertificates } = tls as unknown as {
    getCACertificates?: (type: 'default' | 'system') => string[];
  };
  if (getCACertificates === undefined) {
    throw new BitsArgumentError(
      `${what}.systemCa needs Node 22.15 or later, and this is ${process.version}: give the file of the system's authorities in ${what}.ca (on Debian /etc/ssl/certs/ca-certificates.crt), or name it in NODE_EXTRA_CA_CERTS`,
    );
  }
  return [...(own ?? getCACertificates('default')), ...getCACertificates('system')];
}

const CERTIFICATE =
  /-----BEGIN (?:X509 )?CERTIFICATE-----[\s\S]*?-----END (?:X509 )?CERTIFICATE-----/g;

/** Node passes over what it cannot read here, and then trusts nobody. */
function checkAuthorities(ca: NonNullable<TlsOptions['ca']>, what: string): string[] {
  const given = typeof ca === 'string' || ca instanceof Uint8Array ? [ca] : ca;
  if (!Array.isArray(given)) throw notPem(`${what}.ca`);
  return given.map((one: Pem) => {
    const text = pemText(one, `${what}.ca`);
    const found = text.match(CERTIFICATE) ?? [];
    if (found.length === 0) throw notPem(`${what}.ca`);
    for (const certificate of found) {
      try {
        new X509Certificate(certificate);
      } catch {
        throw new BitsArgumentError(
          `${what}.ca holds a certificate that cannot be read: check that the file is whole`,
        );
      }
    }
    return text;
  });
}

/** Byte order marks of Windows editors, before which OpenSSL finds nothing. */
const BYTE_ORDER_MARKS = /\uFEFF|\xEF\xBB\xBF/g;

function pemText(value: unknown, what: string): string {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) throw notPem(what);
  return textOf(value).replace(BYTE_ORDER_MARKS, '');
}

function textOf(value: Pem): string {
  if (typeof value === 'string') return value;
  const isUtf16 = value[0] === 0xff && value[1] === 0xfe;
  return Buffer.from(value).toString(isUtf16 ? 'utf16le' : 'latin1');
}

function notPem(what: string): BitsArgumentError {
  return new BitsArgumentError(
    `${what} must be PEM, the text that begins with -----BEGIN: give the content of the file and not its path; convert DER with openssl x509 -inform der`,
  );
}

function checkClientCertificate(options: ClientCertificate, what: string): void {
  const { cert, key, pfx, passphrase } = options;
  if (passphrase !== undefined && typeof passphrase !== 'string') {
    throw new BitsArgumentError(`${what}.passphrase must be a string`);
  }
  if (pfx !== undefined && (cert !== undefined || key !== undefined)) {
    throw new BitsArgumentError(`${what} takes pfx, or cert and key, not both`);
  }
  if (pfx === undefined && cert === undefined && key === undefined) return;
  if ((cert === undefined) !== (key === undefined)) {
    throw new BitsArgumentError(`${what} needs both cert and key: one is missing`);
  }
  for (const [name, value] of Object.entries({ cert, key })) {
    if (value !== undefined && !value.includes('-----BEGIN ')) {
      throw notPem(`${what}.${name}`);
    }
  }
  if (pfx !== undefined && !(pfx instanceof Uint8Array)) {
    throw new BitsArgumentError(`${what}.pfx must be the bytes of a PKCS #12 file`);
  }
  try {
    // The list of authorities takes time to load and says nothing here.
    tls.createSecureContext({ ca: [], cert, key, pfx: pfx && Buffer.from(pfx), passphrase });
    // OpenSSL itself looks only when both are of one kind, such as RSA.
    const privateKey = key && createPrivateKey({ key, passphrase });
    if (cert && privateKey && !new X509Certificate(cert).checkPrivateKey(privateKey)) {
      throw new Error('key values mismatch');
    }
  } catch (error) {
    throw new BitsArgumentError(contextAdvice(error, options, what), { cause: error });
  }
}

function contextAdvice(
  error: unknown,
  { key, pfx, passphrase }: ClientCertificate,
  what: string,
): string {
  const { code = '', message } = error as Error & { code?: string };
  const text = `${code} ${message}`.toLowerCase();
  const part = pfx === undefined ? 'key' : 'pfx';
  if (/mac verify failure|bad.decrypt|bad_password_read|bad.password|interrupted/.test(text)) {
    return passphrase === undefined
      ? `${what}.${part} is locked: give its passphrase in ${what}.passphrase`
      : `${what}.passphrase does not open ${what}.${part}: check the passphrase`;
  }
  if (/mismatch/.test(text)) {
    return `${what}.key is not the key of ${what}.cert: check that the two belong together, the client's own certificate first`;
  }
  const isLocked = key === undefined || key.includes('ENCRYPTED');
  if (isLocked && /unsupported/.test(text)) {
    const again = `write it again with openssl ${part === 'pfx' ? 'pkcs12 -legacy' : 'pkcs8 -topk8'}`;
    // One wrong passphrase in 256 decrypts to something that ends as it should, and so does none.
    return passphrase === undefined
      ? `${what}.${part} is locked, perhaps with a cipher that OpenSSL 3 no longer supports: give its passphrase in ${what}.passphrase, or ${again}`
      : `${what}.passphrase does not open ${what}.${part}, or that is locked with a cipher that OpenSSL 3 no longer supports: check the passphrase, or ${again}`;
  }
  return pfx === undefined
    ? `${what}.cert or ${what}.key cannot be read: check that both are whole and in PEM`
    : `${what}.pfx cannot be read: check that it is a whole PKCS #12 file (.pfx, .p12)`;
}
