import { createHash, X509Certificate } from 'node:crypto';
import { expect } from 'chai';
import { channelBindingHash } from '../../../src/transport/auth/channel-binding.js';
import { tlsCertificate } from '../../support/raw-server.js';

/** By hand, from RFC 5929 §4 and the gss_channel_bindings_struct of RFC 2744 §3.11. */
function expected(certificate: Uint8Array, hash: string): string {
  const end = createHash(hash).update(certificate).digest();
  const length = Buffer.alloc(4);
  length.writeUInt32LE(21 + end.length);
  return createHash('md5')
    .update(Buffer.alloc(16))
    .update(length)
    .update('tls-server-end-point:')
    .update(end)
    .digest('hex');
}

/** Certificate ::= SEQUENCE { tbs, SEQUENCE { OID }, … }, as far as it is looked at. */
function certificateSignedWith(oid: string): Buffer {
  const id = Buffer.from(oid, 'hex');
  const algorithm = Buffer.concat([Buffer.from([0x30, id.length + 2, 6, id.length]), id]);
  const signed = Buffer.concat([Buffer.from([0x30, 0x82, 0x01, 0x2c]), Buffer.alloc(300)]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(signed.length + algorithm.length);
  return Buffer.concat([Buffer.from([0x30, 0x82]), length, signed, algorithm]);
}

describe('the channel binding hash', () => {
  it('takes the hash of a real certificate with SHA-256', () => {
    const { raw } = new X509Certificate(tlsCertificate());
    expect(channelBindingHash(raw).toString('hex')).to.equal(expected(raw, 'sha256'));
  });

  for (const [name, oid, hash] of [
    ['sha384WithRSA', '2a864886f70d01010c', 'sha384'],
    ['sha512WithRSA', '2a864886f70d01010d', 'sha512'],
    ['ecdsa-with-SHA384', '2a8648ce3d040303', 'sha384'],
    ['ecdsa-with-SHA512', '2a8648ce3d040304', 'sha512'],
    ['sha1WithRSA', '2a864886f70d010105', 'sha256'],
  ] as const) {
    it(`takes ${hash} for ${name}`, () => {
      const certificate = certificateSignedWith(oid);
      expect(channelBindingHash(certificate).toString('hex')).to.equal(expected(certificate, hash));
    });
  }

  it('uses SHA-256 for bytes that are not a certificate', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from([0x30, 0x84, 255, 255, 255, 255])]) {
      expect(channelBindingHash(bytes).toString('hex')).to.equal(expected(bytes, 'sha256'));
    }
  });
});
