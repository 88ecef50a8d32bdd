import { Readable } from 'node:stream';
import { expect } from 'chai';
import type { BitsServerOptions } from '../../src/testing/index.js';
import { gate } from '../transport/support.js';
import {
  client,
  close,
  codes,
  endAfterEach,
  offsetIn,
  open,
  reconnect,
  send,
  server,
  start,
} from './harness.js';

describe('a reply of the reference server', () => {
  endAfterEach();
  const askForReply = async (options: BitsServerOptions) => {
    await start(options);
    await open('/dir/f');
    return send();
  };
  const replyPath = (url = '') => `/dir/${encodeURI(url.replaceAll('\\', '/'))}`;

  it('has a relative URL with back-slashes as on IIS, can be read in ranges, and is gone after Close', async () => {
    const seen: string[] = [];
    const ack = await askForReply({
      reply: async (done) => {
        seen.push(Buffer.concat(await done.open().toArray()).toString());
        return Readable.from([Buffer.from('the '), Buffer.from('reply')]);
      },
    });
    const url = ack.headers['bits-reply-url'];
    expect(url).to.match(/^BITS-Sessions\\Replies\\\{[0-9A-F-]{36}\}\\responsefile\.bin$/);
    expect(seen).to.deep.equal(['0123456789abcdef']);
    expect(replyPath(url)).to.include('/%7B');
    const first = await client.get(replyPath(url), { Range: 'bytes=0-3' });
    expect([first.status, first.body.toString()]).to.deep.equal([206, 'the ']);
    const rest = await client.get(replyPath(url), {
      Range: 'bytes=4-',
      'If-Range': first.headers.etag ?? '',
    });
    expect([rest.status, rest.body.toString()]).to.deep.equal([206, 'reply']);
    await close();
    server.assertNoViolations();
    expect((await client.get(replyPath(url))).status).to.equal(404);
    expect(server.log.map(({ packet }) => packet)).to.deep.equal([
      'create-session',
      'fragment',
      'reply',
      'reply',
      'close-session',
      'file',
    ]);
  });

  it('can have an absolute URL, be on another host, or be missing', async () => {
    const absolute = await askForReply({ reply: () => ({ body: 'x', url: 'absolute' }) });
    const url = new URL(absolute.headers['bits-reply-url'] ?? '');
    expect(url.origin).to.equal('http://localhost');
    expect((await client.get(url.pathname)).body.toString()).to.equal('x');

    const elsewhere = await askForReply({
      reply: () => ({ body: 'x', url: new URL('http://static.example/r') }),
    });
    expect(elsewhere.headers['bits-reply-url']).to.equal('http://static.example/r');
    await close();
    server.assertNoViolations();

    const missing = await askForReply({ reply: () => ({ body: 'x', missing: true }) });
    expect((await client.get(replyPath(missing.headers['bits-reply-url']))).status).to.equal(404);

    const none = await askForReply({ reply: () => undefined });
    expect(none.status).to.equal(200);
    expect(none.headers).not.to.have.property('bits-reply-url');
  });

  it('can change between two GETs, with its ETag and date', async () => {
    const ack = await askForReply({ reply: () => ({ body: 'first', changesTo: ['second'] }) });
    const at = replyPath(ack.headers['bits-reply-url']);
    const first = await client.get(at, { Range: 'bytes=0-1' });
    const second = await client.get(at, {
      Range: 'bytes=2-',
      'If-Range': first.headers.etag ?? '',
    });
    expect([second.status, second.body.toString()]).to.deep.equal([200, 'second']);
    expect(second.headers['last-modified']).not.to.equal(first.headers['last-modified']);
    await close();
    server.assertNoViolations();
  });

  it('is the same when the last fragment is sent again', async () => {
    let calls = 0;
    const options = {
      reply: () => String(++calls),
      faults: [{ on: 'fragment', do: 'reset-after-commit' }],
    } as const;
    await askForReply(options).catch(() => {});
    await reconnect();
    const again = await send();
    expect(again.status).to.equal(200);
    expect(offsetIn(again)).to.equal('16');
    const at = replyPath(again.headers['bits-reply-url']);
    expect((await client.get(at)).body.toString()).to.equal('1');
    expect(calls).to.equal(1);
    server.assertNoViolations();
    await send();
    expect(codes()).to.deep.equal(['after-completion']);
  });

  it('is made again for a repeated last fragment with replyAgain', async () => {
    const attempts: number[] = [];
    await askForReply({
      replyAgain: true,
      reply: ({ attempt }) => {
        attempts.push(attempt);
        return 'x';
      },
    });
    await send();
    expect(attempts).to.deep.equal([1, 2]);
  });

  it('is that of the newest call, whichever ends first', async () => {
    const called = gate();
    const late = gate<string>();
    const reply = ({ attempt }: { readonly attempt: number }) => {
      called.open();
      return attempt === 1 ? late.promise : 'newest';
    };
    askForReply({ replyAgain: true, reply }).catch(() => {});
    await called.promise;
    client.socket.resetAndDestroy();
    await client.closed;
    await reconnect();
    const again = await send();
    late.open('late');
    const at = replyPath(again.headers['bits-reply-url']);
    for (let time = 0; time < 20; time++) {
      expect((await client.get(at)).body.toString()).to.equal('newest');
    }
  });

  it("becomes 500 with the application's context when the application throws, which is then called again", async () => {
    let calls = 0;
    const failed = await askForReply({
      reply: () => {
        calls += 1;
        if (calls === 1) throw new Error('no');
        return 'x';
      },
    });
    expect([failed.status, failed.headers['bits-error-context']]).to.deep.equal([500, '0x7']);
    const again = await send();
    expect(again.headers).to.have.property('bits-reply-url');
    server.assertNoViolations();
  });

  it('that was not read to its end makes Close a violation', async () => {
    const ack = await askForReply({ reply: () => 'the reply' });
    const at = replyPath(ack.headers['bits-reply-url']);
    await client.get(at, { Range: 'bytes=0-4' });
    await client.get(at, { Range: 'bytes=6-' });
    client.write(`HEAD ${at} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.read({ head: true });
    await close();
    expect(codes()).to.deep.equal(['close-before-reply']);
  });

  for (const action of ['reset-mid', 'reset-after-commit'] as const) {
    it(`can break with ${action}, and be resumed`, async () => {
      const ack = await askForReply({
        reply: () => Buffer.alloc(100_000, 'x'),
        faults: [{ on: 'reply', do: action }],
      });
      const at = replyPath(ack.headers['bits-reply-url']);
      await client.get(at).then(
        () => expect.fail('all came'),
        () => {},
      );
      server.assertFaultsConsumed();
      await client.closed;
      await reconnect();
      const rest = await client.get(at, { Range: 'bytes=50000-' });
      expect(rest.body).to.have.length(50_000);
    });
  }

  it('can be sent slowly', async () => {
    const ack = await askForReply({
      reply: () => ({ body: 'x'.repeat(300), bytesPerSecond: 2000 }),
    });
    const before = Date.now();
    await client.get(replyPath(ack.headers['bits-reply-url']));
    expect(Date.now() - before).to.be.at.least(95);
  });
});
