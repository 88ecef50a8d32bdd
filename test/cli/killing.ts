import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileStore } from '../../src/index.js';
import {
  type BitsServer,
  createBitsServer,
  type Fault,
  type LoggedRequest,
} from '../../src/testing/index.js';
import { patterned } from '../support/files.js';
import type { Json } from './capture.js';
import { Spawned } from './spawned.js';

const KIB = 1024;
const FRAGMENT_BYTES = 256 * KIB;

export interface KillPlan {
  readonly kills: number;
  readonly seed: number;
}

/** What came of one upload whose process was killed time and again. */
export interface KillReport {
  /** When each process was killed, in order. */
  readonly moments: readonly string[];
  readonly bytes: number;
  /** Body bytes of Fragments that the server received in all. */
  readonly bytesReceived: number;
  readonly bytesAllowed: number;
  readonly intact: boolean;
  readonly recordsLeft: number;
  readonly server: BitsServer;
  readonly lastResult: Readonly<Record<string, unknown>>;
}

/** When a process is to die; `seen` is called for what it prints and for what the server answers. */
interface Moment {
  readonly name: string;
  readonly printed?: (object: Json) => boolean;
  readonly answered?: (request: LoggedRequest) => boolean;
}

const isProgress = ({ type, phase }: Json, of: string): boolean =>
  type === 'progress' && phase === of;

function nth(count: number, matches: (object: Json) => boolean): (object: Json) => boolean {
  let left = count;
  return (object) => matches(object) && --left === 0;
}

function uploadMoment(random: () => number): Moment {
  const choice = random();
  const count = 1 + Math.floor(random() * 5);
  if (choice < 0.6) {
    return {
      name: `progress ${count}`,
      printed: nth(count, (object) => isProgress(object, 'upload')),
    };
  }
  if (choice < 0.9) {
    let left = count;
    return {
      name: `answer ${count} to a Fragment`,
      answered: ({ packet }) => packet === 'fragment' && --left === 0,
    };
  }
  return { name: 'first state', printed: nth(1, ({ type }) => type === 'state') };
}

/** Up to two seconds, since what was downloaded is secured once a second. */
function replyMoment(random: () => number): Moment {
  const count = 1 + Math.floor(random() * 20);
  return {
    name: `reply progress ${count}`,
    printed: nth(count, (object) => isProgress(object, 'reply')),
  };
}

/** The nth Close-Session of all, which the server does not answer. */
const closing = (): Moment => ({
  name: 'Close-Session',
  answered: ({ packet }) => packet === 'close-session',
});

/** Numbers from 0 to 1 that are the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Kills the program at random moments across one upload, the last time while the server closes the
 * session, and then lets it finish.
 */
export function killInUpload({ kills, seed }: KillPlan): Promise<KillReport> {
  const random = seededRandom(seed);
  return killAndFinish({
    // More than all moments together can take, or one of them would wait for what never comes.
    bytes: kills * 1600 * KIB + 12_345,
    moments: Array.from({ length: kills }, (_, index) =>
      index === kills - 1 ? closing() : uploadMoment(random),
    ),
    faults: [
      { on: 'fragment', times: 1e9, do: { bytesPerSecond: 3 * 1024 * KIB } },
      { on: 'close-session', do: 'hang-after-commit' },
    ],
    allowedBytes: (bytes) => bytes + kills * FRAGMENT_BYTES,
  });
}

/**
 * Kills the program at random moments while it downloads the reply to one upload, the last two times
 * when the reply is in place and the session is to be closed.
 */
export function killInReply({ kills, seed }: KillPlan): Promise<KillReport> {
  const random = seededRandom(seed);
  const inReply = kills - 2;
  return killAndFinish({
    bytes: 2 * FRAGMENT_BYTES + 777,
    moments: [...Array.from({ length: inReply }, () => replyMoment(random)), closing(), closing()],
    faults: [
      { on: 'reply', times: inReply, do: { bytesPerSecond: 1024 * KIB } },
      { on: 'close-session', do: 'hang' },
      { on: 'close-session', nth: 2, do: 'hang-after-commit' },
    ],
    // Each process goes on where the one before was killed, two seconds further at the most.
    reply: patterned(inReply * 3 * 1024 * KIB + 4321, seed),
    allowedBytes: (bytes) => bytes,
  });
}

interface Setting {
  readonly bytes: number;
  readonly moments: readonly Moment[];
  readonly faults: readonly Fault[];
  readonly reply?: Buffer;
  readonly allowedBytes: (bytes: number) => number;
}

async function killAndFinish(setting: Setting): Promise<KillReport> {
  const { reply } = setting;
  const directory = await mkdtemp(join(tmpdir(), 'bits-kills-'));
  const state = join(directory, 'state');
  const file = join(directory, 'dump.bin');
  const replyFile = join(directory, 'answer.bin');
  const content = patterned(setting.bytes);
  let current: Moment | undefined;
  let program: Spawned | undefined;
  const server = await createBitsServer({
    faults: setting.faults,
    ...(reply && { reply: () => reply }),
    onRequest: (request) => {
      if (current?.answered?.(request)) program?.kill('SIGKILL');
    },
  });
  try {
    await writeFile(file, content);
    const args = [
      ...['put', '--json', `--fragment-size=${FRAGMENT_BYTES}`, '--state-dir', state],
      ...(reply ? ['--reply-file', replyFile] : []),
      ...[file, server.url],
    ];
    const live = async (moment: Moment | undefined): Promise<Json> => {
      current = moment;
      program = new Spawned(args, { state, timeoutMs: 0 });
      let last: Json = {};
      for await (const object of program.objects()) {
        if (object.type !== 'summary') last = object;
        if (moment?.printed?.(last)) program.kill('SIGKILL');
      }
      const { code, signal } = await program.ended();
      const expected = moment === undefined ? code === 0 : signal === 'SIGKILL';
      if (!expected) {
        throw new Error(
          `ended with ${code ?? signal} instead of at ${moment?.name ?? 'its end'}: ` +
            JSON.stringify(last) +
            program.stderr,
        );
      }
      return last;
    };
    for (const moment of setting.moments) await live(moment);
    const lastResult = await live(undefined);
    const { records, problems } = await createFileStore({ directory: state }).list();
    const there = await readFile(join(server.root, 'dump.bin'));
    const answer = reply && (await readFile(replyFile));
    return {
      moments: setting.moments.map(({ name }) => name),
      bytes: content.byteLength,
      bytesReceived: fragmentBytes(server),
      bytesAllowed: setting.allowedBytes(content.byteLength),
      intact: there.equals(content) && (reply === undefined || reply.equals(answer ?? reply)),
      recordsLeft: records.length + problems.length,
      server,
      lastResult,
    };
  } finally {
    program?.kill('SIGKILL');
    await server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function fragmentBytes({ log }: BitsServer): number {
  return log.reduce(
    (sum, { packet, bodyBytes }) => (packet === 'fragment' ? sum + bodyBytes : sum),
    0,
  );
}
