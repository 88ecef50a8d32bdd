import { setTimeout as wait } from 'node:timers/promises';
import { BITS_PORT, OTHER_SERVER_ADDRESS, PUT_PORT, SERVER_ADDRESS } from './addresses.js';
import type { Stage, StageOptions, Upload } from './stage.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const MBIT = 1_000_000;

const URL_BY_ADDRESS = `http://${SERVER_ADDRESS}:${BITS_PORT}/`;
const URL_BY_NAME = `http://server.test:${BITS_PORT}/`;

/** Something that was measured, and its limit. */
export interface Figure {
  readonly title: string;
  readonly value: number;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Scenario extends StageOptions {
  readonly name: string;
  readonly situation: string;
  /** Left out of the quick mode. */
  readonly isLong?: boolean;
  /** Needs the machine for itself, because it is about speed. */
  readonly isAlone?: boolean;
  readonly happens: (stage: Stage) => Promise<readonly Figure[]>;
}

const secondsToPayload = (value: number): Figure => ({
  title: 'seconds to moving bytes',
  value,
  atMost: 10,
});

/** Waits for the end of an upload, and says how much was sent for it. */
async function sentOverSize(stage: Stage, upload: Upload, atMost: number): Promise<Figure> {
  await upload.done;
  await stage.check();
  return {
    title: 'bytes sent over size',
    value: (await stage.line.payloadBytes()) / stage.bytes,
    atMost,
  };
}

const BROADBAND = { delayMs: 20, bitsPerSecond: 20 * MBIT, queueBytes: 256 * KIB };

/** An upload over a usual line, in the middle of which something happens. */
function interrupted(
  name: string,
  situation: string,
  happens: (stage: Stage, upload: Upload) => Promise<number>,
): Scenario {
  return {
    name,
    situation,
    line: BROADBAND,
    bytes: 24 * MIB,
    happens: async (stage) => {
      await stage.line.setHosts([`${SERVER_ADDRESS} server.test`]);
      const upload = stage.upload({ url: URL_BY_NAME });
      await upload.acknowledged(0.3);
      const seconds = await happens(stage, upload);
      return [secondsToPayload(seconds), await sentOverSize(stage, upload, 1.4)];
    },
  };
}

/** @param isQuick shorter waits and smaller files, for CI */
export function scenarios(isQuick: boolean): readonly Scenario[] {
  const goneForSeconds = isQuick ? 15 : 180;
  const workSeconds = isQuick ? 24 : 30;
  return [
    {
      name: 'two-addresses',
      situation: 'IPv6 is silent, and a round trip takes 400 ms',
      line: { delayMs: 200 },
      bytes: 100 * KIB,
      happens: async (stage) => {
        await stage.line.addSilentIpv6();
        await stage.line.setHosts(['fd00:88::2 server.test', `${SERVER_ADDRESS} server.test`]);
        const upload = stage.upload({ url: URL_BY_NAME });
        const { durationMs } = await upload.done;
        await stage.check();
        return [{ title: 'seconds for 100 KiB', value: durationMs / 1000, atMost: 10 }];
      },
    },
    {
      name: 'two-addresses-proxy',
      isLong: true,
      situation: 'the same to a proxy',
      line: { delayMs: 200 },
      bytes: 100 * KIB,
      happens: async (stage) => {
        await stage.line.addSilentIpv6();
        await stage.line.setHosts(['fd00:88::2 proxy.test', `${SERVER_ADDRESS} proxy.test`]);
        const proxy = `http://proxy.test:${BITS_PORT}/`;
        const upload = stage.upload({ url: URL_BY_ADDRESS, proxy });
        const { durationMs } = await upload.done;
        await stage.check();
        return [{ title: 'seconds for 100 KiB', value: durationMs / 1000, atMost: 10 }];
      },
    },
    interrupted('client-moves', 'the address of the client changes', ({ line }) =>
      line.changeClientAddress(),
    ),
    {
      ...interrupted('client-offline', 'the client has no address for 20 s', ({ line }) =>
        line.changeClientAddress(20),
      ),
      isLong: true,
    },
    interrupted('nat-restarts', 'a NAT restarts', ({ line }) => line.forgetAll()),
    interrupted('server-moves', 'the name of the server moves', async ({ line }) => {
      await line.setHosts([`${OTHER_SERVER_ADDRESS} server.test`]);
      return line.changeServerAddress();
    }),
    interrupted('network-gone', `the network is gone for ${goneForSeconds} s`, ({ line }) =>
      line.cut(goneForSeconds),
    ),
    {
      name: 'network-gone-create',
      isLong: true,
      situation: 'the same from Create-Session on',
      line: BROADBAND,
      bytes: MIB,
      happens: async (stage) => {
        const restored = stage.line.cutAt('Create-Session', goneForSeconds);
        const upload = stage.upload({ url: URL_BY_ADDRESS });
        return [secondsToPayload(await restored), await sentOverSize(stage, upload, 1.4)];
      },
    },
    interrupted('network-gone-close', 'the same from Close-Session on', ({ line }) =>
      line.cutAt('Close-Session', goneForSeconds),
    ),
    {
      name: 'process-stopped',
      situation: 'the process is stopped for longer than its limits, and a NAT forgets',
      line: BROADBAND,
      bytes: 24 * MIB,
      happens: async (stage) => {
        const limitMs = 15_000;
        const timeouts = { stallMs: limitMs, answerMs: limitMs, noProgressMs: limitMs };
        const upload = stage.upload({ url: URL_BY_ADDRESS, timeouts });
        await upload.acknowledged(0.3);
        upload.signal('SIGSTOP');
        void stage.line.forgetAll().catch(() => {});
        await wait(1.4 * limitMs);
        upload.signal('SIGCONT');
        const seconds = await stage.line.watch();
        return [secondsToPayload(seconds), await sentOverSize(stage, upload, 1.4)];
      },
    },
    {
      name: 'given-up',
      situation: 'a request is given up on a slow line',
      line: { delayMs: 20, bitsPerSecond: MBIT },
      bytes: 2 * MIB,
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS });
        await upload.sent(0.2);
        await upload.suspend();
        // What the system had already handed to the line.
        await wait(500);
        const before = await stage.line.payloadBytes();
        await wait(4000);
        const late = (await stage.line.payloadBytes()) - before;
        upload.resume();
        return [
          { title: 'bytes sent afterwards', value: late, atMost: 0 },
          await sentOverSize(stage, upload, 1.4),
        ];
      },
    },
    {
      name: 'application-works',
      situation: `the application works for ${workSeconds} s behind a firewall that forgets after 10 s, and the line is out for 14 s`,
      line: BROADBAND,
      bytes: 4 * MIB,
      farSide: { applicationMs: workSeconds * 1000 },
      happens: async (stage) => {
        stage.line.forgetIdle(10);
        const applicationDone = stage.applicationDone().then(() => Date.now());
        const upload = stage.upload({ url: URL_BY_ADDRESS, reply: { to: 'memory' } });
        await upload.sent(1);
        await wait(5000);
        void stage.line.cut(14).catch(() => {});
        const sent = await sentOverSize(stage, upload, 1.1);
        const { atMs } = await upload.done;
        const seconds = (atMs - (await applicationDone)) / 1000;
        return [{ title: 'seconds from the reply to the end', value: seconds, atMost: 10 }, sent];
      },
    },
    {
      name: 'resets',
      situation: 'the server resets each connection 12 to 300 ms after an answer',
      line: BROADBAND,
      bytes: 16 * MIB,
      farSide: { resetAfterMs: [12, 300] },
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS });
        const sent = await sentOverSize(stage, upload, 1.4);
        const { durationMs } = await upload.done;
        return [{ title: 'seconds for 16 MiB', value: durationMs / 1000, atMost: 20 }, sent];
      },
    },
    {
      name: 'slow-line',
      isLong: true,
      situation: '64 kbit/s, and a limit of 20 s for a stall',
      line: { delayMs: 50, bitsPerSecond: 64_000, queueBytes: 64 * KIB },
      bytes: MIB,
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS, timeouts: { stallMs: 20_000 } });
        const sent = await sentOverSize(stage, upload, 1.1);
        return [{ title: 'retries', value: upload.retries.length, atMost: 0 }, sent];
      },
    },
    {
      name: 'slow-after-fast',
      situation: '5 kB/s after a fast start, and a limit of 20 s for a stall',
      line: { delayMs: 20, bitsPerSecond: 8 * MBIT, queueBytes: 64 * KIB },
      bytes: (isQuick ? 3 : 6) * MIB,
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS, timeouts: { stallMs: 20_000 } });
        await upload.sent(1 - ((isQuick ? 150 : 1000) * KIB) / stage.bytes);
        stage.line.set({ bitsPerSecond: 40_000 }, 'up');
        const sent = await sentOverSize(stage, upload, 1.5);
        // While the queue is full of the fast start, nothing tells this line from a dead one.
        return [{ title: 'retries', value: upload.retries.length, atMost: 1 }, sent];
      },
    },
    {
      name: 'stop-on-slow-line',
      isLong: true,
      situation: '64 kbit/s, and a NAT restarts',
      line: { delayMs: 50, bitsPerSecond: 64_000, queueBytes: 64 * KIB },
      bytes: 400 * KIB,
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS });
        await upload.sent(0.1);
        await wait(8000);
        const value = await stage.line.forgetAll();
        return [{ title: 'seconds to moving bytes', value, atMost: 20 }];
      },
    },
    {
      name: 'eta',
      situation: 'the line stands still for 30 s',
      line: BROADBAND,
      bytes: 48 * MIB,
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS });
        await upload.acknowledged(0.2);
        const seconds = await stage.line.cut(isQuick ? 15 : 30);
        const movedAtMs = Date.now();
        const sent = await sentOverSize(stage, upload, 1.4);
        const { atMs: endMs } = await upload.done;
        const after = upload.progress.filter(({ atMs }) => atMs > movedAtMs + 2000);
        const over = after.map(({ atMs, etaMs = 0 }) => etaMs / (endMs - atMs + 1000));
        return [
          secondsToPayload(seconds),
          { title: 'largest ETA over time left', value: Math.max(...over), atMost: 3 },
          sent,
        ];
      },
    },
    {
      name: 'cuts',
      situation: 'a reset after each 5 to 10 MB',
      line: { delayMs: 10, bitsPerSecond: 50 * MBIT, queueBytes: 512 * KIB },
      bytes: (isQuick ? 48 : 512) * MIB,
      farSide: { cutAfterBytes: [5_000_000, 10_000_000] },
      happens: async (stage) => {
        const upload = stage.upload({ url: URL_BY_ADDRESS });
        return [await sentOverSize(stage, upload, 1.12)];
      },
    },
    ...(isQuick ? [50] : [10, 50, 100]).map((mbit) => far(mbit, isQuick)),
  ];
}

/**
 * How fast one upload is, beside one PUT of curl over the same line. At 100 Mbit/s a fragment of the largest
 * size takes 2.35 s, and the round trip after it another 0.2 s: no upload can reach more than 0.92.
 */
function far(mbit: number, isQuick: boolean): Scenario {
  const seconds = isQuick ? 8 : 25;
  return {
    name: `far-${mbit}`,
    situation: `${mbit} Mbit/s and a round trip of 200 ms`,
    isAlone: true,
    line: { delayMs: 100, bitsPerSecond: mbit * MBIT, queueBytes: (mbit * MBIT * 0.2) / 8 },
    bytes: (mbit * MBIT * seconds) / 8,
    happens: async (stage) => {
      const upload = stage.upload({ url: URL_BY_ADDRESS });
      const { durationMs } = await upload.done;
      await stage.check();
      const args = ['-sS', '-o', '/dev/null', '-w', '%{time_total}', '-T', stage.sourcePath];
      const curl = await stage.run('curl', ...args, `http://${SERVER_ADDRESS}:${PUT_PORT}/`);
      return [
        {
          title: 'speed over `curl -T`',
          value: (Number(curl) * 1000) / durationMs,
          atLeast: isQuick ? 0.75 : mbit < 100 ? 0.9 : 0.85,
        },
      ];
    },
  };
}
