import { AssertionError } from 'node:assert';
import { expect } from 'chai';
import type { BitsServerOptions } from '../../src/testing/index.js';
import {
  cancel,
  client,
  close,
  codes,
  DATA,
  endAfterEach,
  id,
  offsetIn,
  open,
  reconnect,
  send,
  server,
  start,
} from './harness.js';
import { fragment, packet, RawClient } from './raw-client.js';

describe('the referee', () => {
  endAfterEach();
  const begin = async (options: BitsServerOptions = {}) => {
    await start(options);
    await open();
  };
  const until = async (isTrue: () => boolean) => {
    while (!isTrue()) await new Promise(setImmediate);
  };

  describe('of a request head', () => {
    const heads: [string, () => string | Buffer, string][] = [
      [
        'a protocol id in upper case',
        () =>
          packet('/f', 'Create-Session', {
            'BITS-Supported-Protocols': '{7DF0354D-249B-430F-820D-3D2A9BEF4931}',
          }),
        'protocol-id',
      ],
      [
        'a session id on a Ping',
        () => packet('/f', 'Ping', { 'BITS-Session-Id': id }),
        'session-id',
      ],
      ['no session id on a Close', () => packet('/f', 'Close-Session'), 'session-id'],
      [
        'a malformed Content-Range',
        () => fragment('/f', id, 0, DATA, 16, { 'Content-Range': 'bytes 0-16/16' }),
        'content-range',
      ],
      [
        'a Content-Range without total',
        () => fragment('/f', id, 0, DATA, 16, { 'Content-Range': 'bytes 0-15/*' }),
        'content-range',
      ],
      [
        'a Content-Range that is not the length',
        () => fragment('/f', id, 0, DATA, 16, { 'Content-Range': 'bytes 0-14/16' }),
        'content-range',
      ],
      [
        'a path in Content-Name',
        () => fragment('/f', id, 0, DATA, 16, { 'Content-Name': 'a\\b' }),
        'content-name',
      ],
      [
        'a Content-Name beyond ASCII',
        () => fragment('/f', id, 0, DATA, 16, { 'Content-Name': '\u00e4' }),
        'content-name',
      ],
      [
        'a Content-Name of 261 characters',
        () => fragment('/f', id, 0, DATA, 16, { 'Content-Name': 'x'.repeat(261) }),
        'content-name',
      ],
    ];
    for (const [what, bytes, violation] of heads) {
      it(`reports ${what}`, async () => {
        await begin();
        const data = bytes();
        await client.send(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
        expect(codes()).to.deep.equal([violation]);
        expect(server.violations[0]?.rule).to.match(/^§2\.2\./);
        expect(server.violations[0]?.request.number).to.equal(2);
        expect(() => server.assertNoViolations()).to.throw(AssertionError, /Violations/);
      });
    }
  });

  describe('of the order of fragments', () => {
    it('reports a hole', async () => {
      await begin();
      await send(0, 4);
      await send(8, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('reports a start below the last offset that was acknowledged on the same connection', async () => {
      await begin();
      await send(0, 8);
      await send(4, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('reports a first fragment that does not start at 0', async () => {
      await begin();
      await send(4, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('reports an offset that only a lost ack named', async () => {
      await begin({ faults: [{ on: 'fragment', do: 'reset-after-commit' }] });
      await send(0, 8).catch(() => {});
      await reconnect();
      await send(8, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('reports a fragment after the last one was acknowledged', async () => {
      await begin();
      await send(0, 16);
      await send(0, 16);
      expect(codes()).to.deep.equal(['after-completion']);
    });

    it('accepts the offset that a 416 named', async () => {
      await begin({ faults: [{ on: 'fragment', nth: 2, do: { offset: 3 } }] });
      await send(0, 8);
      await send(8, 12);
      const answer = await send(3, 16);
      expect(answer.status).to.equal(416);
      await send(12, 16);
      server.assertNoViolations();
    });

    it('accepts a fragment that is sent again on a new connection: its ack may be lost', async () => {
      await begin();
      await send(0, 8);
      await reconnect();
      await send(0, 8);
      await send(8, 16);
      server.assertNoViolations();
    });

    it('accepts a smaller fragment after 413, and the same one after 503', async () => {
      await begin({
        maxFragmentBytes: 8,
        faults: [{ on: 'fragment', nth: 2, do: { status: 503 } }],
      });
      await send(0, 16);
      await send(0, 8);
      await send(0, 8);
      await send(8, 16);
      server.assertNoViolations();
    });

    it('accepts probes below the offset in doubt until it is known again', async () => {
      await begin({ faults: [{ on: 'fragment', nth: 2, do: 'reset-after-commit' }] });
      await send(0, 8);
      await send(8, 12).catch(() => {});
      await reconnect();
      expect(offsetIn(await send(3, 7))).to.equal('12');
      await send(3, 7);
      await send(12, 14);
      server.assertNoViolations();
      await send(3, 7);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('accepts probes at the beginning of a first fragment in doubt', async () => {
      await begin({ faults: [{ on: 'fragment', do: 'reset-after-commit' }] });
      await send(0, 8).catch(() => {});
      await reconnect();
      expect(offsetIn(await send(0, 4))).to.equal('8');
      await send(0, 4);
      await send(8, 12);
      server.assertNoViolations();
    });

    it('reports a probe that reaches beyond the offset in doubt', async () => {
      await begin({ faults: [{ on: 'fragment', nth: 2, do: 'reset-before' }] });
      await send(0, 8);
      await send(8, 12).catch(() => {});
      await reconnect();
      await send(3, 9);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('accepts an older offset after a Ping, as from a restored job', async () => {
      await begin();
      await send(0, 4);
      await send(4, 8);
      await send(8, 12);
      await client.ping('/f');
      expect((await send(4, 8)).status).to.equal(416);
      await send(12, 16);
      server.assertNoViolations();
    });
  });

  describe('of the end of a session', () => {
    it('reports the use of a session after Close, Cancel and session-not-found', async () => {
      await begin();
      await close();
      await close();
      await open('/g');
      await cancel();
      await cancel();
      await client.closeSession('/h', '{NONE}');
      await client.closeSession('/h', '{NONE}');
      expect(codes()).to.deep.equal(['session-ended', 'session-ended', 'session-ended']);
    });

    it('reports a Fragment after Close, on a new connection too', async () => {
      await begin();
      await close();
      await reconnect();
      await send(0, 4);
      expect(codes()).to.deep.equal(['session-ended']);
    });

    it('accepts a second Close, or a Cancel, when the first ack was lost', async () => {
      await begin({ faults: [{ on: 'close-session', do: 'reset-after-commit' }] });
      await close().catch(() => {});
      await reconnect();
      const gone = await close();
      expect(gone.headers['bits-error-code']).to.equal('0x8020001F');
      await reconnect();
      await cancel();
      server.assertNoViolations();
    });

    it('accepts a second Close when the first took effect but was answered with 503', async () => {
      const fault = { status: 503, afterCommit: true };
      await begin({ faults: [{ on: 'close-session', do: fault }] });
      await close();
      await close();
      server.assertNoViolations();
      await close();
      expect(codes()).to.deep.equal(['session-ended']);
    });

    it('reports a Close before the last byte', async () => {
      await begin();
      await send(0, 4);
      await close();
      expect(codes()).to.deep.equal(['close-before-end']);
    });
  });

  describe('of two requests of a session at once', () => {
    it('reports the second connection, and lets the newer request win', async () => {
      await begin({ faults: [{ on: 'fragment', do: 'hang' }] });
      const older = send(0, 4).catch(() => 'cut');
      await server.waitForRequest('fragment');
      const newer = await RawClient.connect(server);
      const answer = await newer.fragment('/f', id, 0, DATA, 16);
      expect(answer.status).to.equal(200);
      expect(await older).to.equal('cut');
      expect(codes()).to.deep.equal(['concurrent-requests']);
      await newer.end();
    });

    it('accepts them while the server does not read the older connection', async () => {
      const body = Buffer.alloc(400_000);
      await begin({ faults: [{ on: 'fragment', do: { bytesPerSecond: 100_000 } }] });
      client.write(fragment('/f', id, 0, body, body.length));
      await until(() => server.log.some(({ bodyBytes }) => bodyBytes > 0));
      await reconnect();
      await client.fragment('/f', id, 0, body.subarray(0, 10), body.length);
      server.assertNoViolations();
    });

    it('accepts them when the client closed the older connection', async () => {
      await begin({ faults: [{ on: 'fragment', do: 'hang' }] });
      send(0, 4).catch(() => {});
      await server.waitForRequest('fragment');
      await reconnect();
      await send(0, 16);
      server.assertNoViolations();
    });
  });

  it('reports a session that continues on a Host-Id without a Ping', async () => {
    await begin({ hostId: () => 'other' });
    await client.send(packet('/f', 'Close-Session', { Host: 'other', 'BITS-Session-Id': id }));
    expect(codes()).to.deep.equal(['host-id-not-pinged']);
  });

  it('accepts the origin host after the fallback time', async () => {
    let nowMs = 0;
    await begin({ hostId: 'other', hostIdFallbackTimeoutMs: 5000, now: () => nowMs });
    nowMs = 5000;
    await close();
    server.assertNoViolations();
  });
});
