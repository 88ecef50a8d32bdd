import { expect } from 'chai';
import { md4 } from '../../../src/transport/auth/md4.js';

describe('md4', () => {
  // RFC 1320 §A.5.
  const suite = {
    '': '31d6cfe0d16ae931b73c59d7e0c089c0',
    a: 'bde52cb31de33e46245e05fbdbd6fb24',
    abc: 'a448017aaf21d8525fc10ae87aa6729d',
    'message digest': 'd9130a8164549fe818874806e1c7014b',
    abcdefghijklmnopqrstuvwxyz: 'd79e1c308aa5bbcdeea8ed63df412da9',
    ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:
      '043f8582f241db351ce627e153e7f0e4',
    '12345678901234567890123456789012345678901234567890123456789012345678901234567890':
      'e33b4ddc9c38f2199c3e7b164fcc0536',
  };
  for (const [text, digest] of Object.entries(suite)) {
    it(`hashes ${JSON.stringify(text)}`, () => {
      expect(md4(Buffer.from(text)).toString('hex')).to.equal(digest);
    });
  }

  it('hashes messages that end around the border of a block', () => {
    const digests = [54, 55, 56, 57, 63, 64, 65, 128].map((length) =>
      md4(Buffer.alloc(length, 'x')).toString('hex'),
    );
    // By `openssl dgst -md4 -provider legacy`.
    expect(digests).to.deep.equal([
      '58ea93c474c70696788023579635fb06',
      '92f32bb82c95ad10e8f87ae58ab06807',
      '374d5f08103b7092c83b4626ebceffab',
      'eebaefd8f3ba932d44239a789c38317a',
      '2870452596e98fffd48332289b3472b9',
      'b1abf956a5ae6f3221e5fe85e300fbb0',
      'afc1a3308fc176a53238a09aeddec2e6',
      '7c087dd92a6743e09f3763a6d99c9d26',
    ]);
  });
});
