import { expect } from 'chai';
import { bareUrl, hashQuery, keyOfId, uploadKey } from '../../src/store/job-key.js';

async function keyOf(address: string, path: string): Promise<string> {
  const url = new URL(address);
  return uploadKey({ url: bareUrl(url), queryHash: await hashQuery(url, path), path });
}

describe('the key of a job record', () => {
  it('is the same whenever the same file is uploaded to the same URL', async () => {
    const key = await keyOf('http://u:p@bits.example/drop/x?sig=abc#top', '/data/x');
    expect(key).to.match(/^[0-9a-f]{32}$/);
    expect(await keyOf('http://bits.example:80/drop/x?sig=abc', '/data/x')).to.equal(key);
  });

  it('is another one for another file, URL or query', async () => {
    const keys = await Promise.all([
      keyOf('http://bits.example/drop/x', '/data/x'),
      keyOf('http://bits.example/drop/x', '/other/x'),
      keyOf('http://bits.example/drop/y', '/data/x'),
      keyOf('https://bits.example/drop/x', '/data/x'),
      keyOf('http://bits.example/drop/x?sig=abc', '/data/x'),
      keyOf('http://bits.example/drop/x?sig=abd', '/data/x'),
      keyOf('http://bits.example/drop/', 'x/data/x'),
    ]);
    expect(new Set(keys)).to.have.property('size', keys.length);
  });

  it('can be made of a job id instead, which gives one of the same form', () => {
    expect(keyOfId('a'))
      .to.match(/^[0-9a-f]{32}$/)
      .and.not.to.equal(keyOfId('b'));
  });
});

describe('the hash of a query', () => {
  it('is none without a query', async () => {
    expect(await hashQuery(new URL('http://h/x?'), '/x')).to.equal(undefined);
  });

  it('does not show that the same query belongs to another URL or file', async () => {
    const hashes = await Promise.all([
      hashQuery(new URL('http://h/x?sig=1'), '/x'),
      hashQuery(new URL('http://h/y?sig=1'), '/x'),
      hashQuery(new URL('http://h/x?sig=1'), '/y'),
    ]);
    for (const hash of hashes) expect(hash).to.match(/^[0-9a-f]{64}$/);
    expect(new Set(hashes)).to.have.property('size', 3);
  });
});
