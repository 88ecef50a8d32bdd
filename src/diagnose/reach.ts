import { lookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { headerValue } from '../common/header-fields.js';
import { type BitsError, isBitsError } from '../errors.js';
import { Connector } from '../transport/connector.js';
import { withoutBrackets } from '../transport/dial.js';
import { toTransportFailure } from '../transport/failure.js';
import type { ProxyServer } from '../transport/proxy/proxy-server.js';
import { userAgentOf } from '../transport/request-head.js';
import { resolveTls, type TlsOptions } from '../transport/tls-options.js';
import { dnsAdvice, proxyAdvice, tcpAdvice, tlsAdvice } from './advice.js';
import {
  dayOf,
  describeCertificate,
  type ShownCertificate,
  shownCertificate,
} from './certificate.js';
import type { DiagnosisPlan } from './options.js';
import { proxyName } from './route.js';
import { bad, type Finding, good, skipped, withinLimit } from './step.js';

/** A certificate that ends within this time gets a warning. */
const SOON_MS = 14 * 24 * 60 * 60 * 1000;

/** The connection to the server, below HTTP: opened with the code of uploads, one layer more each time. */
export class Reach {
  readonly #plan: DiagnosisPlan;
  readonly #url: URL;
  readonly #proxy: ProxyServer | undefined;

  constructor(plan: DiagnosisPlan) {
    this.#plan = plan;
    this.#url = plan.upload.remoteUrl;
    this.#proxy = plan.route.proxy;
  }

  async dns(): Promise<Finding> {
    const name = withoutBrackets((this.#proxy ?? this.#url).hostname);
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
    const { hostname, port } = this.#proxy ?? { hostname: this.#url.hostname, port: this.#port };
    const host = `${hostname}:${port}`;
    try {
      return await this.#over(
        `${host} accepted no connection`,
        (signal) => this.#connector().connect(new URL(`http://${host}`), signal),
        ({ remoteAddress, localAddress }) =>
          good(`connected to ${remoteAddress}, port ${port}, from ${localAddress}`),
      );
    } catch (error) {
      const failure = failureOf(error, host);
      return bad(failure, tcpAdvice(failure, port));
    }
  }

  /** @param verdict sends a request, and gives the reason when the proxy refuses it */
  async proxy(verdict: () => Promise<BitsError | undefined>): Promise<Finding> {
    const { why } = this.#plan.route;
    const proxy = this.#proxy;
    if (proxy === undefined) return skipped(`no proxy: ${why}`);
    const name = `${proxyName(proxy)}, ${why}`;
    const tunnel = this.#url.protocol === 'https:' || proxy.kind === 'socks5' || proxy.tunnel;
    const server = `${this.#url.hostname}:${this.#port}`;
    const connector = this.#connector({ proxy });
    try {
      await this.#over(
        `the proxy ${proxy.host} opened no connection`,
        (signal) =>
          tunnel
            ? connector.connect(new URL(`http://${server}`), signal)
            : connector.connectTo(proxy, signal),
        () => {},
      );
      if (tunnel) return good(`${name}: it opened a tunnel to ${server}`);
      // Such a proxy refuses requests, not connections.
      const error = await verdict();
      if (error !== undefined) throw error;
      return good(`${name}: it forwards requests, because http: needs no tunnel`);
    } catch (error) {
      const failure = failureOf(error, proxy.host);
      return bad(failure, proxyAdvice(failure, this.#url.hostname));
    }
  }

  async tls(): Promise<Finding> {
    const { upload } = this.#plan;
    if (this.#url.protocol !== 'https:') return skipped('http: URLs do not use TLS');
    try {
      const what = `${this.#url.host} did not complete the TLS handshake`;
      return await this.#overTls(what, upload.tls, (socket) => describeTls(socket, this.#plan));
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
      const error = await this.#overTls('no alert', this.#plan.upload.tls, endOf);
      return /ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/.test(error?.code ?? '');
    } catch (error) {
      throwAbort(error);
      return false;
    }
  }

  /** The certificate that was not accepted; nothing is sent over the unchecked connection. */
  async #lookAt(): Promise<ShownCertificate | undefined> {
    const { servername, minVersion } = this.#plan.upload.tls ?? {};
    const unchecked = { servername, minVersion, dangerouslyAllowInvalidCertificates: true };
    try {
      return await this.#overTls('nothing was shown', unchecked, shownCertificate);
    } catch (error) {
      throwAbort(error);
      return undefined;
    }
  }

  get #port(): number {
    return Number(this.#url.port || (this.#url.protocol === 'https:' ? 443 : 80));
  }

  #connector(how: { proxy?: ProxyServer; tls?: TlsOptions | undefined } = {}): Connector {
    const { upload, stepTimeoutMs } = this.#plan;
    return new Connector({
      tls: resolveTls(how.tls),
      proxyFor: () => how.proxy,
      userAgent: userAgentOf(headerValue(upload.headers, 'user-agent')),
      // Longer than the limit of the step, so that the step's is the one that is reported.
      timeoutMs: stepTimeoutMs * 2,
    });
  }

  #overTls<T>(
    what: string,
    tls: TlsOptions | undefined,
    look: (socket: TLSSocket) => T | Promise<T>,
  ): Promise<T> {
    const connector = this.#connector({ tls, ...(this.#proxy && { proxy: this.#proxy }) });
    return this.#over(
      what,
      (signal) => connector.connect(this.#url, signal) as Promise<TLSSocket>,
      look,
    );
  }

  #limited<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { upload, stepTimeoutMs } = this.#plan;
    return withinLimit(stepTimeoutMs, upload.signal, what, work);
  }

  /** Opens a connection, looks at it, and closes it. */
  #over<S extends Socket, T>(
    what: string,
    connect: (signal: AbortSignal) => Promise<S>,
    look: (socket: S) => T | Promise<T>,
  ): Promise<T> {
    return this.#limited(what, async (signal) => {
      const socket = await connect(signal);
      try {
        return await look(socket);
      } finally {
        socket.destroy();
      }
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
