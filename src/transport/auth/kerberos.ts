import { throwIfAborted, unlessAborted } from '../../common/abort.js';
import type { WireHeaders } from '../../protocol/packets.js';
import { authRefusedError, authSetupError } from './auth-error.js';
import { type Challenge, offerOf } from './challenges.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  NOTHING,
  STRENGTH,
} from './scheme.js';

export interface KerberosOptions {
  /** Service to get a ticket for. @default `HTTP@<host>` */
  readonly servicePrincipal?: string | undefined;
  /** The owner of the ticket, `user@REALM`. @default the one in the ticket cache */
  readonly principal?: string | undefined;
}

/** The part of a client of the package `kerberos` that is used here. */
export interface KerberosClient {
  /** Takes and returns base64; the first challenge is empty. */
  step(challenge: string): Promise<string>;
}

/** The part of the package `kerberos` that is used here. */
export interface KerberosPackage {
  initializeClient(service: string, options: object): Promise<KerberosClient>;
  readonly GSS_MECH_OID_SPNEGO: number;
}

/** A variable, so that TypeScript does not resolve a package that need not be there. */
const PACKAGE: string = 'kerberos';

/**
 * @param name for tests. @default kerberos
 * @throws BITS_ERR_AUTH when it cannot be loaded
 */
export async function loadKerberos(name = PACKAGE): Promise<KerberosPackage> {
  let loaded: { default?: unknown };
  try {
    // The comments keep bundlers from resolving a package that need not be there.
    loaded = await import(/* webpackIgnore: true */ /* @vite-ignore */ name);
  } catch (error) {
    throw authSetupError(
      'Kerberos needs the package kerberos, which is not installed or not built for this system: npm install kerberos',
      { cause: error },
    );
  }
  return (loaded.default ?? loaded) as KerberosPackage;
}

/**
 * `Negotiate` with a Kerberos ticket (RFC 4559), through the optional package `kerberos`.
 *
 * @param load for tests. @default imports the package
 */
export function kerberosScheme(options: KerberosOptions, load = () => loadKerberos()): AuthScheme {
  const shared = { asksEachTime: false };
  return {
    name: 'negotiate',
    title: 'Negotiate with Kerberos',
    connectionBound: true,
    eager: false,
    strength: (offers) => (offerOf(offers, 'negotiate') ? STRENGTH.kerberos : undefined),
    begin: () => new KerberosState(options, load, shared),
  };
}

/** Windows needs two with mutual authentication, others one. */
const MAX_LEGS = 5;

class KerberosState implements AuthState {
  readonly #options: KerberosOptions;
  readonly #load: () => Promise<KerberosPackage>;
  readonly #shared: { asksEachTime: boolean };
  #client: KerberosClient | undefined;
  #legs = 0;
  #isAccepted = false;
  /** The server remembers the connection. */
  #isRemembered = false;

  constructor(
    options: KerberosOptions,
    load: () => Promise<KerberosPackage>,
    shared: { asksEachTime: boolean },
  ) {
    this.#options = options;
    this.#load = load;
    this.#shared = shared;
  }

  async authorize(
    request: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (offers === undefined) return this.#isRemembered ? NOTHING : this.#begin(request);
    if (this.#isAccepted) {
      this.#shared.asksEachTime = true;
      return this.#begin(request);
    }
    if (this.#client === undefined) return this.#begin(request);
    const token = offerOf(offers, 'negotiate')?.token68;
    if (token === undefined || ++this.#legs > MAX_LEGS) {
      return { type: 'unusable', reason: ticketRefused(request) };
    }
    return this.#step(this.#client, token, request);
  }

  accepted(headers: WireHeaders): void {
    this.#isAccepted = true;
    // Some servers authenticate each request and some each connection. A ticket with each request
    // suits both and costs little, while a fragment that is sent in vain costs a lot.
    const saysSo = headers['persistent-auth']?.toLowerCase() === 'true';
    this.#isRemembered = (saysSo || this.#legs > 0) && !this.#shared.asksEachTime;
  }

  async #begin(request: AuthRequest): Promise<AuthStep> {
    const { hostname } = request.peer;
    const kerberos = await unlessAborted(this.#load(), request.signal);
    this.#isAccepted = false;
    this.#isRemembered = false;
    this.#legs = 0;
    try {
      this.#client = await unlessAborted(
        kerberos.initializeClient(this.#options.servicePrincipal ?? servicePrincipal(hostname), {
          mechOID: kerberos.GSS_MECH_OID_SPNEGO,
          ...(this.#options.principal !== undefined && { principal: this.#options.principal }),
        }),
        request.signal,
      );
    } catch (error) {
      return withoutTicket(request, error);
    }
    return this.#step(this.#client, '', request);
  }

  async #step(client: KerberosClient, token: string, request: AuthRequest): Promise<AuthStep> {
    try {
      const answer = await unlessAborted(client.step(token), request.signal);
      // A refused ticket locks no account, so that a password may follow: no secret is named.
      return { type: 'send', value: `Negotiate ${answer}` };
    } catch (error) {
      return withoutTicket(request, error);
    }
  }
}

/** SSPI writes it with a slash. */
function servicePrincipal(host: string): string {
  return process.platform === 'win32' ? `HTTP/${host}` : `HTTP@${host}`;
}

function withoutTicket({ peer: { hostname }, signal }: AuthRequest, cause: unknown): AuthStep {
  throwIfAborted(signal);
  const reason = authSetupError(
    `There is no Kerberos ticket for the service HTTP@${hostname}: check that you are logged in (klist, kinit), that ${hostname} is the server's name in the domain, and the clock`,
    { cause },
  );
  return { type: 'unusable', reason };
}

function ticketRefused({ peer }: AuthRequest) {
  return authRefusedError(
    peer,
    `${peer.title} refused the Kerberos ticket: check the rights of the account on the directory, the server's keytab for HTTP@${peer.hostname}, and the clocks`,
  );
}
