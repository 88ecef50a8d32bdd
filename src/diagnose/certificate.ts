import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';

/** The certificate of a server, as far as it is shown. */
export interface ShownCertificate {
  /** Names and addresses that the certificate is valid for. */
  readonly names: readonly string[];
  readonly issuer: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  readonly isSelfSigned: boolean;
  /** How many certificates the server sent, and who issued the last one. */
  readonly chainLength: number;
  readonly topIssuer: string;
  readonly topIsRoot: boolean;
}

const MAX_TEXT = 80;
const MAX_CHAIN = 10;

/** Undefined when the server showed none. */
export function shownCertificate(socket: TLSSocket): ShownCertificate | undefined {
  const peer: Partial<DetailedPeerCertificate> | null = socket.getPeerCertificate(true);
  if (!peer?.raw) return undefined;
  const leaf = new X509Certificate(peer.raw);
  let top = peer as DetailedPeerCertificate;
  let chainLength = 1;
  // A root is its own issuer; any other last certificate has none.
  while (chainLength < MAX_CHAIN && top.issuerCertificate?.raw) {
    if (top.issuerCertificate.raw.equals(top.raw)) break;
    top = top.issuerCertificate;
    chainLength++;
  }
  const last = new X509Certificate(top.raw);
  return {
    names: namesOf(leaf),
    issuer: nameOf(leaf.issuer),
    validFrom: new Date(leaf.validFrom),
    validTo: new Date(leaf.validTo),
    isSelfSigned: leaf.issuer === leaf.subject,
    chainLength,
    topIssuer: nameOf(last.issuer),
    topIsRoot: last.issuer === last.subject,
  };
}

export function describeCertificate(certificate: ShownCertificate): string {
  const { names, issuer, validTo, isSelfSigned } = certificate;
  const shown = names.slice(0, 4).join(', ');
  const more = names.length > 4 ? ` and ${names.length - 4} more` : '';
  const by = isSelfSigned ? 'self-signed' : `issued by ${issuer}`;
  return `certificate for ${shown || 'no name'}${more}, ${by}, valid until ${dayOf(validTo)}`;
}

export function dayOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'an unknown day' : date.toISOString().slice(0, 10);
}

function namesOf({ subjectAltName, subject }: X509Certificate): string[] {
  if (subjectAltName === undefined) return [nameOf(subject)];
  return subjectAltName
    .split(', ')
    .map((name) => clean(name.replace(/^(?:DNS|IP Address):/, '')))
    .filter((name) => name !== '');
}

/** The common name, or else the organization. */
function nameOf(lines: string | undefined): string {
  const text = lines ?? '';
  const [, name] = /^CN=(.*)$/m.exec(text) ?? /^O=(.*)$/m.exec(text) ?? [];
  return clean(name ?? text.split('\n')[0] ?? '') || 'nobody';
}

/** A certificate may hold any text. */
function clean(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_TEXT);
}
