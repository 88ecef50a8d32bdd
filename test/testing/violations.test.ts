import { AssertionError } from 'node:assert';
import { expect } from 'chai';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { fragment, packet, RawClient } from './raw-client.js';

const DATA = Buffer.from('0123456789abcdef');

describe('violations that the reference server records', () => {
  let server: BitsServer;
  let client: RawClient;
  let id = '';
  const start = async (options: BitsServerOptions = {}) => {
    server = await createBitsServer(options);
    client = await RawClient.connect(server);
    id = await client.open('/f');
  };
  const reconnect = async () => {
    await client.end();
    client = await RawClient.connect(server);
  };
  const send = (from: number, to: number) =>
    client.fragment('/f', id, from, DATA.subarray(from, to), 16);
  const codes = () => server.violations.map(({ code }) => code);
  afterEach(async () => {
    await client.end();
    await server.close();
  });

  describe('in a head', () => {
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
      it(what, async () => {
        await start();
        const data = bytes();
        await client.send(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
        expect(codes()).to.deep.equal([violation]);
        expect(server.violations[0]?.rule).to.match(/^§2\.2\./);
        expect(server.violations[0]?.request.number).to.equal(2);
        expect(() => server.assertNoViolations()).to.throw(AssertionError, /Violations/);
      });
    }
  });

  describe('in the order of offsets', () => {
    it('a hole', async () => {
      await start();
      await send(0, 4);
      await send(8, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('a start below what was acked on the same connection', async () => {
      await start();
      await send(0, 8);
      await send(4, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('a first fragment that does not start at 0', async () => {
      await start();
      await send(4, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('an offset that a lost ack would have named', async () => {
      await start({ faults: [{ on: 'fragment', do: 'reset-after-commit' }] });
      await send(0, 8).catch(() => {});
      await reconnect();
      await send(8, 16);
      expect(codes()).to.deep.equal(['out-of-order']);
    });

    it('a fragment after the last one was acked', async () => {
      await start();
      await send(0, 16);
      await send(0, 16);
      expect(codes()).to.deep.equal(['after-completion']);
    });

    it('but not the offset that a 416 named', async () => {
      await start({ faults: [{ on: 'fragment', nth: 2, do: { offset: 3 } }] });
      await send(0, 8);
      await send(8, 12);
      const answer = await send(3, 16);
      expect(answer.status).to.equal(416);
      await send(12, 16);
      server.assertNoViolations();
    });

    it('but not a resend on a new connection, whose last ack may be lost', async () => {
      await start();
      await send(0, 8);
      await reconnect();
      await send(0, 8);
      await send(8, 16);
      server.assertNoViolations();
    });

    it('but not a smaller fragment after 413, nor a resend after 503', async () => {
      await start({
        maxFragmentBytes: 8,
        faults: [{ on: 'fragment', nth: 2, do: { status: 503 } }],
      });
      await send(0, 16);
      await send(0, 8);
      await send(0, 8);
      await send(8, 16);
      server.assertNoViolations();
    });

    it('but not an older offset after a Ping, as a restored job has it', async () => {
      await start();
      await send(0, 4);
      await send(4, 8);
      await send(8, 12);
      await client.ping('/f');
      expect((await send(4, 8)).status).to.equal(416);
      await send(12, 16);
      server.assertNoViolations();
    });
  });

  describe('at the end of a session', () => {
    it('its use after Close, Cancel and session-not-found', async () => {
      await start();
      await client.closeSession('/f', id);
      await client.closeSession('/f', id);
      id = await client.open('/g');
      await client.cancelSession('/g', id);
      await client.cancelSession('/g', id);
      await client.closeSession('/h', '{NONE}');
      await client.closeSession('/h', '{NONE}');
      expect(codes()).to.deep.equal(['session-ended', 'session-ended', 'session-ended']);
    });

    it('a Fragment after Close, on a new connection too', async () => {
      await start();
      await client.closeSession('/f', id);
      await reconnect();
      await send(0, 4);
      expect(codes()).to.deep.equal(['session-ended']);
    });

    it('but not a Close again, or a Cancel, when the first ack was lost', async () => {
      await start({ faults: [{ on: 'close-session', do: 'reset-after-commit' }] });
      await client.closeSession('/f', id).catch(() => {});
      await reconnect();
      const gone = await client.closeSession('/f', id);
      expect(gone.headers['bits-error-code']).to.equal('0x8020001F');
      await reconnect();
      await client.cancelSession('/f', id);
      server.assertNoViolations();
    });

    it('but not a Close again when the first took effect and was answered with 503', async () => {
      const fault = { status: 503, afterCommit: true };
      await start({ faults: [{ on: 'close-session', do: fault }] });
      await client.closeSession('/f', id);
      await client.closeSession('/f', id);
      server.assertNoViolations();
      await client.closeSession('/f', id);
      expect(codes()).to.deep.equal(['session-ended']);
    });

    it('a Close before the last byte', async () => {
      await start();
      await send(0, 4);
      await client.closeSession('/f', id);
      expect(codes()).to.deep.equal(['close-before-end']);
    });
  });

  describe('two requests of a session at once', () => {
    it('on two connections: the newer one wins', async () => {
      await start({ faults: [{ on: 'fragment', do: 'hang' }] });
      const older = send(0, 4).catch(() => 'cut');
      await server.waitForRequest('fragment');
      const newer = await RawClient.connect(server);
      const answer = await newer.fragment('/f', id, 0, DATA, 16);
      expect(answer.status).to.equal(200);
      expect(await older).to.equal('cut');
      expect(codes()).to.deep.equal(['concurrent-requests']);
      await newer.end();
    });

    it('but not when the older connection was given up', async () => {
      await start({ faults: [{ on: 'fragment', do: 'hang' }] });
      send(0, 4).catch(() => {});
      await server.waitForRequest('fragment');
      await reconnect();
      await send(0, 16);
      server.assertNoViolations();
    });
  });

  it('no Ping to a Host-Id before the session goes on there', async () => {
    await start({ hostId: () => 'other' });
    const close = packet('/f', 'Close-Session', { Host: 'other', 'BITS-Session-Id': id });
    await client.send(close);
    expect(codes()).to.deep.equal(['host-id-not-pinged']);
  });

  it('but not the origin host once the fallback time is over', async () => {
    let nowMs = 0;
    await start({ hostId: 'other', hostIdFallbackTimeoutMs: 5000, now: () => nowMs });
    nowMs = 5000;
    await client.closeSession('/f', id);
    server.assertNoViolations();
  });
});
