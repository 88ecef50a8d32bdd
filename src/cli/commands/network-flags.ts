/** What the command line says of the way to a server, as commander has it. */
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
  /** Of the environment; the command line goes before it. */
  readonly variable: string;
  readonly kind: 'text' | 'switch' | 'list';
  readonly help: string;
}

/** Every flag that says how to reach a server; the help and docs/cli.md are made from it. */
export const NETWORK_FLAGS: readonly NetworkFlag[] = [
  {
    name: 'user',
    flags: '-u, --user <name[:password]>',
    variable: 'BITS_UPLOAD_USER',
    kind: 'text',
    help: 'user name for the server: NAME, DOMAIN\\NAME or NAME@DOMAIN; without a password, that of BITS_UPLOAD_PASSWORD or --password-command',
  },
  {
    name: 'passwordCommand',
    flags: '--password-command <command>',
    variable: 'BITS_UPLOAD_PASSWORD_COMMAND',
    kind: 'text',
    help: 'command for the shell that prints the password; run when the server asks for it',
  },
  {
    name: 'basic',
    flags: '--basic',
    variable: 'BITS_UPLOAD_BASIC',
    kind: 'switch',
    help: 'authenticate by Basic only',
  },
  {
    name: 'digest',
    flags: '--digest',
    variable: 'BITS_UPLOAD_DIGEST',
    kind: 'switch',
    help: 'authenticate by Digest only',
  },
  {
    name: 'ntlm',
    flags: '--ntlm',
    variable: 'BITS_UPLOAD_NTLM',
    kind: 'switch',
    help: 'authenticate by NTLM only',
  },
  {
    name: 'negotiate',
    flags: '--negotiate',
    variable: 'BITS_UPLOAD_NEGOTIATE',
    kind: 'switch',
    help: 'authenticate by Negotiate only: with --user NTLM, without it the Kerberos ticket of kinit (needs the package kerberos)',
  },
  {
    name: 'anyauth',
    flags: '--anyauth',
    variable: 'BITS_UPLOAD_ANYAUTH',
    kind: 'switch',
    help: 'authenticate by the strongest scheme that the server offers; the default',
  },
  {
    name: 'oauth2Bearer',
    flags: '--oauth2-bearer <token>',
    variable: 'BITS_UPLOAD_OAUTH2_BEARER',
    kind: 'text',
    help: 'bearer token; better in the environment, where other users do not see it',
  },
  {
    name: 'allowInsecureAuth',
    flags: '--allow-insecure-auth',
    variable: 'BITS_UPLOAD_ALLOW_INSECURE_AUTH',
    kind: 'switch',
    help: 'let Basic and bearer tokens go over http to other machines, where everybody in between can read them',
  },
  {
    name: 'trustedHost',
    flags: '--trusted-host <host>',
    variable: 'BITS_UPLOAD_TRUSTED_HOST',
    kind: 'list',
    help: 'another host that may get the credentials, such as *.corp.example; may be given again (in the environment: set apart by commas)',
  },
  {
    name: 'cacert',
    flags: '--cacert <file>',
    variable: 'BITS_UPLOAD_CACERT',
    kind: 'text',
    help: "certificates of the authorities to trust, in PEM, in place of Node's own",
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
    help: 'passphrase of the private key; better in the environment',
  },
  {
    name: 'insecure',
    flags: '-k, --insecure',
    variable: 'BITS_UPLOAD_INSECURE',
    kind: 'switch',
    help: 'take any certificate, so that anybody in between can read and change the upload',
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
    help: 'user name for --proxy; without a password, that of BITS_UPLOAD_PROXY_PASSWORD',
  },
  {
    name: 'noproxy',
    flags: '--noproxy <hosts>',
    variable: 'BITS_UPLOAD_NOPROXY',
    kind: 'text',
    help: 'hosts to reach without a proxy, set apart by commas, * for all (default: NO_PROXY of the environment)',
  },
  {
    name: 'methodOverride',
    flags: '--method-override',
    variable: 'BITS_UPLOAD_METHOD_OVERRIDE',
    kind: 'switch',
    help: 'send POST with X-HTTP-Method-Override: BITS_POST, for front ends that block the verb; the server must know the header',
  },
  {
    name: 'userAgent',
    flags: '-A, --user-agent <name>',
    variable: 'BITS_UPLOAD_USER_AGENT',
    kind: 'text',
    help: 'User-Agent of every request',
  },
];

/** Secrets that have no flag, because other users see command lines. */
export const SECRET_VARIABLES: readonly { readonly variable: string; readonly help: string }[] = [
  { variable: 'BITS_UPLOAD_PASSWORD', help: 'password of --user' },
  { variable: 'BITS_UPLOAD_PROXY_PASSWORD', help: 'password of --proxy-user' },
];
