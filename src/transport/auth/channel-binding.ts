import { createHash } from 'node:crypto';

/** Signature algorithms that require a longer hash, by their OID in DER. */
const LONGER_HASHES: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d01010c', 'sha384'], // sha384WithRSAEncryption
  ['2a864886f70d01010d', 'sha512'], // sha512WithRSAEncryption
  ['2a8648ce3d040303', 'sha384'], // ecdsa-with-SHA384
  ['2a8648ce3d040304', 'sha512'], // ecdsa-with-SHA512
]);

/**
 * The MD5 of the channel bindings that NTLM carries over TLS ([MS-NLMP] §3.1.5.1.2), of the kind
 * `tls-server-end-point` (RFC 5929 §4): it binds the proof to the server's certificate, so that it
 * is useless to an attacker in between.
 *
 * @param certificate of the server, in DER.
 */
export function channelBindingHash(certificate: Uint8Array): Buffer {
  const end = createHash(endPointHash(certificate)).update(certificate).digest();
  const data = Buffer.concat([Buffer.from('tls-server-end-point:', 'latin1'), end]);
  // gss_channel_bindings_struct: no addresses, then the length of the data and the data.
  const bindings = Buffer.alloc(20);
  bindings.writeUInt32LE(data.length, 16);
  return createHash('md5').update(bindings).update(data).digest();
}

/** That of the certificate's own signature; SHA-256 where that is MD5 or SHA-1. */
function endPointHash(certificate: Uint8Array): string {
  const outer = contentOf(certificate, 0);
  const signed = outer && contentOf(certificate, outer.start);
  const algorithm = signed && contentOf(certificate, signed.end);
  const oid = algorithm && contentOf(certificate, algorithm.start);
  if (!oid) return 'sha256';
  const hex = Buffer.from(certificate.subarray(oid.start, oid.end)).toString('hex');
  return LONGER_HASHES.get(hex) ?? 'sha256';
}

/** The content of a DER element with a tag of one byte. */
function contentOf(der: Uint8Array, at: number): { start: number; end: number } | undefined {
  const first = der[at + 1];
  if (first === undefined) return undefined;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 4) return undefined;
  let length = lengthBytes === 0 ? first : 0;
  for (let i = 0; i < lengthBytes; i++) length = length * 256 + (der[at + 2 + i] ?? 0);
  const start = at + 2 + lengthBytes;
  const end = start + length;
  return end <= der.length ? { start, end } : undefined;
}
