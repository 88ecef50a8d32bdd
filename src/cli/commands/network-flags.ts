import { Option } from 'commander';
import { another } from '../values.js';

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

/**
 * Every option for the connection to a server, spelled as by curl; docs/cli.md is made from this list. In the
 * environment each has a variable; the command line takes precedence.
 */
export const NETWORK_OPTIONS: readonly Option[] = [
  new Option(
    '-u, --user <name[:password]>',
    'user name for the server: NAME, DOMAIN\\NAME or NAME@DOMAIN; set the password in BITS_UPLOAD_PASSWORD or with --password-command',
  ),
  new Option(
    '--password-command <command>',
    'shell command that prints the password; it runs when the server requires authentication',
  ),
  new Option('--basic', 'use only Basic authentication'),
  new Option('--digest', 'use only Digest authentication'),
  new Option('--ntlm', 'use only NTLM authentication'),
  new Option(
    '--negotiate',
    'use only Negotiate authentication: NTLM with --user, otherwise the Kerberos ticket of kinit (needs the package kerberos)',
  ),
  new Option('--anyauth', 'use the strongest scheme that the server offers; the default'),
  new Option(
    '--oauth2-bearer <token>',
    'bearer token; safer in the environment, where other users cannot see it',
  ),
  new Option(
    '--allow-insecure-auth',
    'send passwords and tokens over http to other machines, readable for everybody on the way',
  ),
  new Option(
    '--allow-legacy-digest',
    'answer Digest challenges without qop (RFC 2069), which protect the password poorly',
  ),
  new Option(
    '--trusted-host <host>',
    'another host that may get the credentials, such as *.corp.example; can be given several times (in the environment: separated by commas)',
  ).argParser(another),
  new Option(
    '--cacert <file>',
    'certificates of trusted authorities, in PEM, instead of those of Node',
  ),
  new Option(
    '-E, --cert <file>',
    'client certificate, in PEM (with its key, or with --key) or PKCS #12',
  ),
  new Option('--key <file>', 'private key of --cert, in PEM'),
  new Option('--pass <phrase>', 'passphrase of the private key; safer in the environment'),
  new Option(
    '-k, --insecure',
    'accept any certificate: anybody on the way can then read and change the upload',
  ),
  new Option(
    '-x, --proxy <url>',
    'proxy: http://, https://, socks5:// or socks5h://; "" for none (default: HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of the environment)',
  ),
  new Option(
    '-U, --proxy-user <name[:password]>',
    'user name for --proxy; set the password in BITS_UPLOAD_PROXY_PASSWORD',
  ),
  new Option(
    '--noproxy <hosts>',
    'hosts to reach without a proxy, separated by commas, * for all (default: NO_PROXY of the environment)',
  ),
  new Option(
    '--method-override',
    'send POST with X-HTTP-Method-Override: BITS_POST, for front ends that block the verb; the server must support the header',
  ),
  new Option('-A, --user-agent <name>', 'User-Agent header of every request'),
];

/** Secrets without a flag, because other users can see command lines. */
export const SECRET_VARIABLES: readonly { readonly variable: string; readonly help: string }[] = [
  { variable: 'BITS_UPLOAD_PASSWORD', help: 'password of --user' },
  { variable: 'BITS_UPLOAD_PROXY_PASSWORD', help: 'password of --proxy-user' },
];
