/** The flags for the connection to a server, as commander parses them. */
export interface NetworkFlags {
  readonly user?: string;
  readonly passwordCommand?: string;
  readonly basic?: boolean;
  readonly digest?: boolean;
  readonly ntlm?: boolean;
  readonly negotiate?: boolean;
  readonly anyauth?: boolean;
  readonly oauth2Bearer?: string;
  readonly allowInsecureAuth?: boolean;
  readonly allowLegacyDigest?: boolean;
  readonly trustedHost?: readonly string[];
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly pass?: string;
  readonly insecure?: boolean;
  readonly proxy?: string;
  readonly proxyUser?: string;
  readonly noproxy?: string;
  readonly methodOverride?: boolean;
  readonly userAgent?: string;
}

export interface NetworkFlag {
  readonly name: keyof NetworkFlags;
  /** In commander's syntax, and curl's spelling. */
  readonly flags: string;
  /** In the environment; the command line takes precedence. */
  readonly variable: string;
  readonly kind: 'text' | 'switch' | 'list';
  readonly help: string;
}

/** Every flag for the connection to a server; the help and docs/cli.md are made from this table. */
export const NETWORK_FLAGS: readonly NetworkFlag[] = [
  {
    name: 'user',
    flags: '-u, --user <name[:password]>',
    variable: 'BITS_UPLOAD_USER',
    kind: 'text',
    help: 'user name for the server: NAME, DOMAIN\\NAME or NAME@DOMAIN; set the password in BITS_UPLOAD_PASSWORD or with --password-command',
  },
  {
    name: 'passwordCommand',
    flags: '--password-command <command>',
    variable: 'BITS_UPLOAD_PASSWORD_COMMAND',
    kind: 'text',
    help: 'shell command that prints the password; it runs when the server requires authentication',
  },
  {
    name: 'basic',
    flags: '--basic',
    variable: 'BITS_UPLOAD_BASIC',
    kind: 'switch',
    help: 'use only Basic authentication',
  },
  {
    name: 'digest',
    flags: '--digest',
    variable: 'BITS_UPLOAD_DIGEST',
    kind: 'switch',
    help: 'use only Digest authentication',
  },
  {
    name: 'ntlm',
    flags: '--ntlm',
    variable: 'BITS_UPLOAD_NTLM',
    kind: 'switch',
    help: 'use only NTLM authentication',
  },
  {
    name: 'negotiate',
    flags: '--negotiate',
    variable: 'BITS_UPLOAD_NEGOTIATE',
    kind: 'switch',
    help: 'use only Negotiate authentication: NTLM with --user, otherwise the Kerberos ticket of kinit (needs the package kerberos)',
  },
  {
    name: 'anyauth',
    flags: '--anyauth',
    variable: 'BITS_UPLOAD_ANYAUTH',
    kind: 'switch',
    help: 'use the strongest scheme that the server offers; the default',
  },
  {
    name: 'oauth2Bearer',
    flags: '--oauth2-bearer <token>',
    variable: 'BITS_UPLOAD_OAUTH2_BEARER',
    kind: 'text',
    help: 'bearer token; safer in the environment, where other users cannot see it',
  },
  {
    name: 'allowInsecureAuth',
    flags: '--allow-insecure-auth',
    variable: 'BITS_UPLOAD_ALLOW_INSECURE_AUTH',
    kind: 'switch',
    help: 'send passwords and tokens over http to other machines, readable for everybody on the way',
  },
  {
    name: 'allowLegacyDigest',
    flags: '--allow-legacy-digest',
    variable: 'BITS_UPLOAD_ALLOW_LEGACY_DIGEST',
    kind: 'switch',
    help: 'answer Digest challenges without qop (RFC 2069), which protect the password poorly',
  },
  {
    name: 'trustedHost',
    flags: '--trusted-host <host>',
    variable: 'BITS_UPLOAD_TRUSTED_HOST',
    kind: 'list',
    help: 'another host that may get the credentials, such as *.corp.example; can be given several times (in the environment: separated by commas)',
  },
  {
    name: 'cacert',
    flags: '--cacert <file>',
    variable: 'BITS_UPLOAD_CACERT',
    kind: 'text',
    help: 'certificates of trusted authorities, in PEM, instead of those of Node',
  },
  {
    name: 'cert',
    flags: '-E, --cert <file>',
    variable: 'BITS_UPLOAD_CERT',
    kind: 'text',
    help: 'client certificate, in PEM (with its key, or with --key) or PKCS #12',
  },
  {
    name: 'key',
    flags: '--key <file>',
    variable: 'BITS_UPLOAD_KEY',
    kind: 'text',
    help: 'private key of --cert, in PEM',
  },
  {
    name: 'pass',
    flags: '--pass <phrase>',
    variable: 'BITS_UPLOAD_PASS',
    kind: 'text',
    help: 'passphrase of the private key; safer in the environment',
  },
  {
    name: 'insecure',
    flags: '-k, --insecure',
    variable: 'BITS_UPLOAD_INSECURE',
    kind: 'switch',
    help: 'accept any certificate: anybody on the way can then read and change the upload',
  },
  {
    name: 'proxy',
    flags: '-x, --proxy <url>',
    variable: 'BITS_UPLOAD_PROXY',
    kind: 'text',
    help: 'proxy: http://, https://, socks5:// or socks5h://; "" for none (default: HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of the environment)',
  },
  {
    name: 'proxyUser',
    flags: '-U, --proxy-user <name[:password]>',
    variable: 'BITS_UPLOAD_PROXY_USER',
    kind: 'text',
    help: 'user name for --proxy; set the password in BITS_UPLOAD_PROXY_PASSWORD',
  },
  {
    name: 'noproxy',
    flags: '--noproxy <hosts>',
    variable: 'BITS_UPLOAD_NOPROXY',
    kind: 'text',
    help: 'hosts to reach without a proxy, separated by commas, * for all (default: NO_PROXY of the environment)',
  },
  {
    name: 'methodOverride',
    flags: '--method-override',
    variable: 'BITS_UPLOAD_METHOD_OVERRIDE',
    kind: 'switch',
    help: 'send POST with X-HTTP-Method-Override: BITS_POST, for front ends that block the verb; the server must support the header',
  },
  {
    name: 'userAgent',
    flags: '-A, --user-agent <name>',
    variable: 'BITS_UPLOAD_USER_AGENT',
    kind: 'text',
    help: 'User-Agent header of every request',
  },
];

/** Secrets without a flag, because other users can see command lines. */
export const SECRET_VARIABLES: readonly { readonly variable: string; readonly help: string }[] = [
  { variable: 'BITS_UPLOAD_PASSWORD', help: 'password of --user' },
  { variable: 'BITS_UPLOAD_PROXY_PASSWORD', help: 'password of --proxy-user' },
];
