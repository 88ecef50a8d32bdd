import { lookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { headerValue } from '../common/header-fields.js';
import { type BitsError, isBitsError } from '../errors.js';
import { toTransportFailure } from '../transport/failure.js';
import type { ProxyServer } from '../transport/proxy/proxy-server.js';
import { VERSION } from '../version.js';
import { dnsAdvice, proxyAdvice, tcpAdvice, tlsAdvice } from './advice.js';
import {
  dayOf,
  describeCertificate,
  type ShownCertificate,
  shownCertificate,
} from './certificate.js';
import { Connections, type Place, placeOf } from './connections.js';
import type { DiagnosisPlan } from './options.js';
import { proxyName } from './route.js';
import { bad, type Finding, good, skipped, withinLimit } from './step.js';

/** A certificate that ends within this time gets a warning. */
const SOON_MS = 14 * 24 * 60 * 60 * 1000;

/** The connection to the server, below HTTP. */
export class Reach {
  readonly #plan: DiagnosisPlan;
  readonly #url: URL;
  readonly #server: Place;
  readonly #proxy: ProxyServer | undefined;
  readonly #connections: Connections;
  readonly #proxyVerdict: () => Promise<BitsError | undefined>;

  /** @param proxyVerdict sends a request, and gives the reason when the proxy refuses it */
  constructor(plan: DiagnosisPlan, proxyVerdict: () => Promise<BitsError | undefined>) {
    const { upload, route, stepTimeoutMs } = plan;
    this.#plan = plan;
    this.#url = upload.remoteUrl;
    this.#server = placeOf(upload.remoteUrl);
    this.#proxy = route.proxy;
    this.#proxyVerdict = proxyVerdict;
    this.#connections = new Connections({
      tls: upload.tls,
      proxy: route.proxy,
      userAgent: userAgentOf(upload.headers),
      // Longer than the limit of the step, so that the step's is the one that is reported.
      timeoutMs: stepTimeoutMs * 2,
    });
  }

  async dns(): Promise<Finding> {
    const name = this.#first.hostname.replace(/^\[(.*)\]$/, '$1');
    const beyond = this.#proxy ? ', the proxy, which looks up the name of the server' : '';
    if (isIP(name) !== 0) return skipped(`${name} is an address, not a name${beyond}`);
    try {
      const found = await this.#limited(`the DNS look-up of ${name} did not end`, () =>
        lookup(name, { all: true }),
      );
      const addresses = found.map(({ address }) => address);
      const more = addresses.length > 3 ? ` and ${addresses.length - 3} more` : '';
      return good(`${name} is ${addresses.slice(0, 3).join(', ')}${more}${beyond}`);
    } catch (error) {
      return bad(failureOf(error, name), dnsAdvice(name));
    }
  }

  async tcp(): Promise<Finding> {
    const { hostname, port } = this.#first;
    const host = `${hostname}:${port}`;
    try {
      const socket = await this.#socket(`${host} accepted no connection`, () =>
        this.#connections.tcp(this.#first),
      );
      const { remoteAddress, localAddress } = socket;
      socket.destroy();
      return good(`connected to ${remoteAddress}, port ${port}, from ${localAddress}`);
    } catch (error) {
      const failure = failureOf(error, host);
      return bad(failure, tcpAdvice(failure, port));
    }
  }

  async proxy(): Promise<Finding> {
    const { why } = this.#plan.route;
    const proxy = this.#proxy;
    if (proxy === undefined) return skipped(`no proxy: ${why}`);
    const name = `${proxyName(proxy)}, ${why}`;
    const tunnel = this.#url.protocol === 'https:' || proxy.kind === 'socks5' || proxy.tunnel;
    try {
      const socket = await this.#socket(`the proxy ${proxy.host} opened no connection`, () =>
        this.#connections.throughProxy(this.#server, proxy, tunnel),
      );
      socket.destroy();
      const { hostname, port } = this.#server;
      if (tunnel) return good(`${name}: it opened a tunnel to ${hostname}:${port}`);
      // Such a proxy refuses requests, not connections.
      const error = await this.#proxyVerdict();
      if (error !== undefined) throw error;
      return good(`${name}: it forwards requests, because http: needs no tunnel`);
    } catch (error) {
      const failure = failureOf(error, proxy.host);
      return bad(failure, proxyAdvice(failure, this.#url.hostname));
    }
  }

  async tls(): Promise<Finding> {
    if (this.#url.protocol !== 'https:') return skipped('http: URLs do not use TLS');
    try {
      const socket = await this.#socket(
        `${this.#url.host} did not complete the TLS handshake`,
        () => this.#connections.tls(this.#server),
      );
      const finding = describeTls(socket, this.#plan);
      socket.destroy();
      return finding;
    } catch (error) {
      const failure = failureOf(error, this.#url.host);
      const certificate = failure.code === 'BITS_ERR_TLS' ? await this.#lookAt() : undefined;
      const finding = bad(failure, tlsAdvice(failure, this.#url, certificate));
      if (certificate === undefined) return finding;
      return { ...finding, detail: `${failure.message}; ${describeCertificate(certificate)}` };
    }
  }

  /** Whether the server closes TLS 1.3 after the handshake because it requires a client certificate. */
  async wantsClientCertificate(): Promise<boolean> {
    if (this.#url.protocol !== 'https:') return false;
    try {
      const socket = await this.#socket('no TLS', () => this.#connections.tls(this.#server));
      const error = await this.#limited('no alert', () => endOf(socket)).finally(() => {
        socket.destroy();
      });
      return /ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/.test(error?.code ?? '');
    } catch (error) {
      throwAbort(error);
      return false;
    }
  }

  /** The certificate that was not accepted. */
  async #lookAt(): Promise<ShownCertificate | undefined> {
    try {
      const socket = await this.#socket('nothing was shown', () =>
        this.#connections.uncheckedTls(this.#server),
      );
      const certificate = shownCertificate(socket);
      socket.destroy();
      return certificate;
    } catch (error) {
      throwAbort(error);
      return undefined;
    }
  }

  close(): void {
    this.#connections.close();
  }

  /** The machine that this one connects to. */
  get #first(): Place {
    return this.#proxy ?? this.#server;
  }

  #limited<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { upload, stepTimeoutMs } = this.#plan;
    return withinLimit(stepTimeoutMs, upload.signal, what, work);
  }

  /** A socket that opens after the time limit is closed. */
  #socket<S extends Socket>(what: string, connect: () => Promise<S>): Promise<S> {
    return this.#limited(what, async (signal) => {
      const socket = await connect();
      if (signal.aborted) socket.destroy();
      return socket;
    });
  }
}

/** The error that ends a connection over which nothing is sent. */
function endOf(socket: Socket): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    socket.once('error', resolve);
    socket.once('close', () => resolve(undefined));
    socket.resume();
  });
}

/** @throws the error when it is the caller's abort, which is no finding */
function throwAbort(error: unknown): void {
  if (isBitsError(error, 'BITS_ERR_ABORTED')) throw error;
}

function failureOf(error: unknown, host: string): BitsError {
  throwAbort(error);
  return toTransportFailure(error, host);
}

function userAgentOf(headers: Readonly<Record<string, string>>): string {
  return headerValue(headers, 'user-agent') ?? `bits-upload/${VERSION}`;
}

function describeTls(socket: TLSSocket, { upload }: DiagnosisPlan): Finding {
  const protocol = socket.getProtocol() ?? 'TLS';
  const certificate = shownCertificate(socket);
  if (certificate === undefined) return good(protocol);
  const detail = `${protocol}; ${describeCertificate(certificate)}`;
  if (upload.tls?.dangerouslyAllowInvalidCertificates) {
    const problem = socket.authorizationError ? ` (${socket.authorizationError})` : '';
    return good(
      `${detail}; it is NOT checked${problem}`,
      'trust the authority of the certificate with tls.ca instead of disabling the check',
    );
  }
  const isSoon = certificate.validTo.getTime() - Date.now() < SOON_MS;
  return good(
    detail,
    isSoon ? `renew the certificate before ${dayOf(certificate.validTo)}` : undefined,
  );
}
