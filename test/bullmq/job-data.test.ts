import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { parseJobData, toJobData } from '../../src/bullmq/job-data.js';
import { type FleetUploadOptions, uploadFlowJob } from '../../src/bullmq.js';

describe('what a job of BullMQ holds of an upload', () => {
  const url = 'https://bits.example/drop/';

  it('is plain JSON with absolute paths, and comes back as it was', () => {
    const data = toJobData({
      url: new URL(url),
      source: 'dump.zip',
      name: undefined,
      reply: { to: 'answer.bin', optional: true },
      retry: { limit: 3 },
      credentials: 'drop',
      priority: 'high',
      jobOptions: { delay: 5 },
    });
    expect(data).to.deep.equal({
      version: 1,
      url,
      source: resolve('dump.zip'),
      reply: { to: resolve('answer.bin'), optional: true },
      retry: { limit: 3 },
      credentials: 'drop',
    });
    expect(parseJobData(JSON.parse(JSON.stringify(data)))).to.deep.equal(data);
  });

  it('takes a file: URL as a path, and leaves a reference as it is', () => {
    const path = resolve('a b.zip');
    expect(toJobData({ url, source: pathToFileURL(path) }).source).to.equal(path);
    expect(toJobData({ url, source: 's3://bucket/a?b' }).source).to.equal('s3://bucket/a?b');
  });

  it('has no path with .., of which links could make another one than was checked', () => {
    const data = { version: 1, url, source: '/a/link/../b', reply: { to: '/a/link/../../c' } };
    expect(parseJobData(data)).to.deep.include({
      source: resolve('/a/b'),
      reply: { to: resolve('/c') },
    });
    const reference = { version: 1, url, source: 's3://bucket/a/../b' };
    expect(parseJobData(reference).source).to.equal(reference.source);
  });

  const refused: Record<string, [Partial<FleetUploadOptions>, RegExp]> = {
    'a password in the URL': [
      { url: 'https://user:sesame@bits.example/' },
      /user name or password/,
    ],
    'a query in the URL': [{ url: 'https://bits.example/?sig=sesame' }, /query of credentials/],
    'a signed URL as source': [{ source: 'https://store.example/x?sig=sesame' }, /resolveSource/],
    'a password in the source': [{ source: 'ftp://user:sesame@host/x' }, /resolveSource/],
    'headers, which may be secrets': [
      { headers: { cookie: 'sesame' } } as never,
      /no option headers/,
    ],
    'bytes as source': [{ source: new Uint8Array(1) as never }, /Redis holds no bytes/],
    'a function': [{ retry: { shouldRetry: () => true } as never }, /Redis cannot hold/],
    'a reply to memory': [{ reply: true as never }, /reply\.to/],
    'an unknown priority': [{ priority: 'urgent' as never }, /priority must be one of/],
    'an unknown option of a group': [{ timeouts: { conectMs: 1 } as never }, /conectMs/],
    'a fragment that is too small': [{ fragmentBytes: 1 }, /fragmentBytes/],
  };
  for (const [what, [options, message]] of Object.entries(refused)) {
    it(`never is ${what}`, () => {
      const attempt = (): unknown => uploadFlowJob('q', { url, source: '/x', ...options });
      expect(attempt)
        .to.throw(message)
        .with.property('message')
        .that.does.not.match(/sesame/);
    });
  }
});
