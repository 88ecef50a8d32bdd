import type { SessionPlan, SizerOptions } from '../../src/session/session.js';
import {
  busy,
  cancel,
  cancelled,
  closed,
  created,
  denied,
  fallbackExpired,
  gaveUp,
  gone,
  goneWith,
  has,
  lost,
  MIN,
  maybeTooLarge,
  misfit,
  notBits,
  ofApplication,
  outOfStep,
  pinged,
  replyGone,
  replyStored,
  resume,
  retryDue,
  type Script,
  sourceChanged,
  stale,
  start,
  status,
  suspend,
  tooLarge,
  URL_OF_REPLY,
  unknown,
  unsent,
} from './script.js';

export interface Case {
  readonly it: string;
  readonly plan?: Partial<SessionPlan>;
  /** @default fragments of 100 bytes */
  readonly sizer?: SizerOptions;
  readonly script: Script;
  /** What the error of the last command has to say. */
  readonly tells?: RegExp;
}

const KIB = 1024;
export const HOST = { hostId: 'web3.corp.example' };
export const HOST_WITH_FALLBACK = { ...HOST, hostIdFallbackTimeoutMs: 1000 };
export const DOWNLOAD = `download ${URL_OF_REPLY}`;

/** Up to the first fragment on the wire. */
export const begun: Script = [
  [start, 'create-session'],
  [created(), 'fragment 0-100'],
];
/** Up to the last fragment on the wire. */
export const atLast: Script = [
  ...begun,
  [has(100), 'fragment 100-200'],
  [has(200), 'fragment 200-250'],
];
export const atClose: Script = [...atLast, [has(250), 'close-session']];
export const atReply: Script = [...atLast, [has(250, URL_OF_REPLY), DOWNLOAD]];

/** Sizes in the smallest fragment's: ten of them, sent by fours. */
export const BIG = { plan: { totalBytes: 10 * MIN }, sizer: { fixedBytes: 4 * MIN } } as const;
export const piece = (from: number, to: number) => `fragment ${from * MIN}-${to * MIN}`;
/** The probe that asks for an offset: bytes below `known`, or of the first fragment up to `end`. */
export const probe = (known: number, end = 0) => {
  const to = known > 1 ? known - 1 : Math.min(2560, end - 1);
  return `fragment ${Math.max(0, to - 2560)}-${to}`;
};
const PROBE_AT_0 = probe(0, 100);
const BIG_PROBE_AT_0 = probe(0, 4 * MIN);
const bigBegun: Script = [
  [start, 'create-session'],
  [created(), piece(0, 4)],
];
const hostBegun: Script = [
  [start, 'create-session'],
  [created(HOST_WITH_FALLBACK), 'ping @host-id'],
  [pinged, 'fragment 0-100 @host-id'],
];

/** What the machine does, a rule of the protocol each: event by event, what it commands. */
export const groups: Readonly<Record<string, readonly Case[]>> = {
  'in an undisturbed upload (§2)': [
    {
      it: 'creates a session, sends every byte in order from 0, and closes',
      script: [...atClose, [closed, 'completed acknowledged']],
    },
    {
      it: 'sends an empty file without a fragment',
      plan: { totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(), 'close-session'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'expects no optional reply to an empty file',
      plan: { totalBytes: 0, reply: 'optional' },
      script: [
        [start, 'create-session'],
        [created(), 'close-session'],
      ],
    },
    {
      it: 'sends a file that fits into one fragment as one',
      plan: { totalBytes: 100 },
      script: [...begun, [has(100), 'close-session']],
    },
    {
      it: 'lets fragments grow while answers are fast',
      plan: { totalBytes: 4096 * MIN },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [has(1024 * KIB), `fragment ${1024 * KIB}-${5 * 1024 * KIB}`],
      ],
    },
  ],
  'with a BITS-Host-Id (§4)': [
    {
      it: 'sends a Ping to the new host first, and all later packets there too',
      script: [
        ...hostBegun,
        [has(100), 'fragment 100-200 @host-id'],
        [has(200), 'fragment 200-250 @host-id'],
        [has(250), 'close-session @host-id'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'closes an empty file at the new host',
      plan: { totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'close-session @host-id'],
      ],
    },
    {
      it: 'repeats a Ping that failed',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [lost, 'wait'],
        [retryDue, 'ping @host-id'],
        [pinged, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'returns to the origin, with a Ping first, when the fallback time is over',
      script: [
        ...hostBegun,
        [has(100), 'fragment 100-200 @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, probe(100)],
        [has(100), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250), 'close-session'],
      ],
    },
    {
      it: 'returns to the origin when the new host does not even answer the first Ping',
      script: [
        [start, 'create-session'],
        [created(HOST_WITH_FALLBACK), 'ping @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [lost, 'wait'],
        [retryDue, 'ping'],
        [pinged, 'fragment 0-100'],
      ],
    },
    {
      it: 'starts over when the origin does not know the session of the new host',
      script: [
        ...hostBegun,
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, PROBE_AT_0],
        [gone, 'create-session'],
        [created({}, 'two'), 'fragment 0-100'],
      ],
    },
    {
      it: 'creates at the origin when the new host lost the session',
      script: [...hostBegun, [gone, 'create-session'], [created(), 'fragment 0-100']],
    },
    {
      it: 'forgets a suspicion against the new host when it returns to the origin',
      script: [
        ...hostBegun,
        [lost, 'wait'],
        [retryDue, `${PROBE_AT_0} @host-id`],
        [status(500, 'transient'), 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
      ],
    },
    {
      it: 'presumes no file at the origin that only the new host could have closed',
      plan: { totalBytes: 100 },
      script: [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, probe(100)],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'presumes no empty file that the new host never showed to know',
      plan: { totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'close-session @host-id'],
        [lost, 'wait'],
        [retryDue, 'close-session @host-id'],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'cancels at the origin when the fallback time is over',
      script: [
        ...hostBegun,
        [cancel, 'cancel-session @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'cancels at the origin without a thought of a Close at the new host',
      plan: { totalBytes: 100 },
      script: [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [lost, 'wait'],
        [cancel, 'cancel-session @host-id'],
        [unsent, 'wait'],
        [fallbackExpired, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    },
    {
      it: 'resumes the download when it returns to the origin in the middle of a reply',
      plan: { reply: 'required', totalBytes: 100 },
      script: [
        ...hostBegun,
        [has(100, URL_OF_REPLY), DOWNLOAD],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, DOWNLOAD],
        [replyStored, 'close-session'],
      ],
    },
  ],
  'after the offset of the server (§2)': [
    {
      it: 'sends from there when it is lower than what was sent',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [outOfStep(50), 'fragment 50-150'],
        [has(150), 'fragment 150-250'],
        [has(250), 'close-session'],
      ],
    },
    {
      it: 'sends from there when it is in the middle of a fragment',
      script: [...begun, [has(30), 'fragment 30-130'], [has(130), 'fragment 130-230']],
    },
    {
      it: 'makes fragments no longer than what the server took of two in a row',
      plan: { totalBytes: 4 * 1024 * KIB },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [has(64 * KIB), `fragment ${64 * KIB}-${1088 * KIB}`],
        [has(128 * KIB), `fragment ${128 * KIB}-${192 * KIB}`],
      ],
    },
    {
      it: 'learns nothing about sizes from a probe',
      plan: { totalBytes: 4 * 1024 * KIB },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [lost, 'wait'],
        [retryDue, probe(0, 1024 * KIB)],
        [outOfStep(10), `fragment 10-${512 * KIB + 10}`],
        [has(10 + 6 * KIB), `fragment ${10 + 6 * KIB}-${518 * KIB + 10}`],
      ],
    },
    {
      it: 'sends from there when it is beyond the fragment, because an earlier answer was lost',
      ...BIG,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [retryDue, BIG_PROBE_AT_0],
        [has(4 * MIN), BIG_PROBE_AT_0],
        [has(4 * MIN), piece(4, 8)],
        [has(8 * MIN), piece(8, 10)],
        [has(10 * MIN), 'close-session'],
      ],
    },
    {
      it: 'sends from there when a 416 names it, too',
      ...BIG,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [retryDue, BIG_PROBE_AT_0],
        [outOfStep(4 * MIN), BIG_PROBE_AT_0],
        [outOfStep(4 * MIN), piece(4, 8)],
        [outOfStep(MIN), piece(1, 5)],
      ],
    },
    {
      it: 'closes when a 416 names the total',
      script: [
        ...atLast,
        [lost, 'wait'],
        [retryDue, probe(200)],
        [outOfStep(250), probe(200)],
        [outOfStep(250), 'close-session'],
      ],
    },
    {
      it: 'asks a few times about one above the total, and then ends in an error',
      script: [
        ...begun,
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /claims to hold 251 bytes, but only 100 of the file's 250 were sent/,
    },
    {
      it: 'asks a few times about one above what was sent, and then ends in an error',
      script: [
        ...begun,
        [outOfStep(101), `${PROBE_AT_0} anew`],
        [outOfStep(101), `${PROBE_AT_0} anew`],
        [outOfStep(101), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /claims to hold 101 bytes, but only 100/,
    },
    {
      it: 'believes one at exactly the end of what was sent',
      script: [...begun, [has(100), 'fragment 100-200'], [outOfStep(200), 'fragment 200-250']],
    },
    {
      it: 'asks a few times when it brings no progress, and then ends in an error',
      script: [
        ...begun,
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /keeps asking for byte 0 .* drops request bodies/,
    },
    {
      it: 'ends in an error when it goes up and down without a new best',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [outOfStep(0), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [outOfStep(0), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'has all attempts again after progress',
      script: [
        ...begun,
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [outOfStep(100), 'fragment 100-200'],
        [outOfStep(100), 'fragment 100-200'],
        [outOfStep(100), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'has all attempts again in the next session',
      script: [
        ...begun,
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'ends in an error when the server takes a few bytes each time',
      ...BIG,
      script: [
        ...bigBegun,
        [has(1), `fragment 1-${4 * MIN + 1}`],
        [has(2), `fragment 2-${4 * MIN + 2}`],
        [has(3), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /takes only a few bytes of each fragment/,
    },
    {
      it: 'counts a few bytes each time as progress when they add up to 5 KiB',
      plan: { ...BIG.plan, maxResyncs: 3 },
      sizer: BIG.sizer,
      script: [
        ...bigBegun,
        [has(2000), `fragment 2000-${4 * MIN + 2000}`],
        [has(4000), `fragment 4000-${4 * MIN + 4000}`],
        [has(6000), `fragment 6000-${4 * MIN + 6000}`],
        [has(8000), `fragment 8000-${4 * MIN + 8000}`],
        [has(10_000), `fragment 10000-${4 * MIN + 10_000}`],
      ],
    },
    {
      it: 'ends in an error when the server takes a few bytes and goes back, again and again',
      ...BIG,
      script: [
        ...bigBegun,
        [has(1), `fragment 1-${4 * MIN + 1}`],
        [outOfStep(0), piece(0, 4)],
        [has(2), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'asks on a new connection when a 200 names one that the fragment has passed already',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [has(100), `${probe(100)} anew`],
        [has(200), `${probe(100)} anew`],
        [has(200), 'fragment 200-250 anew'],
      ],
    },
    {
      it: 'ends in an error when every 200 names one that the fragment has passed already',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [has(50), `${probe(100)} anew`],
        [has(100), 'fragment 100-200 anew'],
        [has(100), `${probe(100)} anew`],
        [has(100), 'fragment 100-200 anew'],
        [has(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /keeps asking for byte 0/,
    },
    {
      it: 'ends in an error when the server goes back and takes a byte more each time',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [outOfStep(1), `fragment 1-${4 * MIN + 1}`],
        [has(4 * MIN + 1), `fragment ${4 * MIN + 1}-${8 * MIN + 1}`],
        [outOfStep(2), `fragment 2-${4 * MIN + 2}`],
        [has(4 * MIN + 2), `fragment ${4 * MIN + 2}-${8 * MIN + 2}`],
        [outOfStep(3), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'sends no more bytes again than the budget, however much progress each fragment makes',
      plan: { totalBytes: 10 * 1024 * KIB, maxResyncs: 3 },
      sizer: { fixedBytes: 10 * 1024 * KIB },
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${10 * 1024 * KIB}`],
        ...Array.from(
          { length: 14 },
          (_, at) =>
            [has((at + 1) * MIN), `fragment ${(at + 1) * MIN}-${10 * 1024 * KIB}`] as const,
        ),
        [has(15 * MIN), 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, `fragment ${15 * MIN}-${10 * 1024 * KIB}`],
      ],
    },
    {
      it: 'starts over and frees the old session when a 416 names none',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [outOfStep(), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [outOfStep(), 'cancel-session'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [outOfStep(), 'failed BITS_ERR_SERVER resumable'],
      ],
      tells: /whole file may be larger than the server accepts/,
    },
    {
      it: 'halves the first fragment when a 416 names none, because another session would not help',
      ...BIG,
      script: [
        ...bigBegun,
        [outOfStep(), piece(0, 2)],
        [outOfStep(), piece(0, 1)],
        [outOfStep(), 'failed BITS_ERR_SERVER resumable'],
      ],
      tells: /whole file may be larger than the server accepts/,
    },
    {
      it: 'asks for it with a probe after an interruption',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [busy, 'wait'],
        [retryDue, probe(4 * MIN)],
        [has(4 * MIN), piece(4, 8)],
      ],
    },
    {
      it: 'halves the size once after an interruption, however many probes were lost',
      plan: { totalBytes: 4 * 1024 * KIB },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [lost, 'wait'],
        [retryDue, probe(0, 1024 * KIB)],
        [lost, 'wait'],
        [retryDue, probe(0, 1024 * KIB)],
        [outOfStep(MIN), probe(0, 1024 * KIB)],
        [outOfStep(MIN), `fragment ${MIN}-${MIN + 512 * KIB}`],
      ],
    },
    {
      it: 'asks for it with less than the fragment that was lost',
      script: [...begun, [lost, 'wait'], [retryDue, PROBE_AT_0]],
    },
  ],
  'at a fragment that is too large (§3)': [
    {
      it: 'halves the size at each 413, down to 5 KiB',
      ...BIG,
      script: [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [tooLarge, piece(0, 1)],
        [tooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
      tells: /whole file may be larger than the server accepts/,
    },
    {
      it: 'never sends less than 5 KiB',
      plan: { totalBytes: 2 * MIN },
      sizer: { fixedBytes: MIN + 2 },
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${MIN + 2}`],
        [tooLarge, piece(0, 1)],
      ],
    },
    {
      it: 'keeps to the smaller size in later fragments',
      ...BIG,
      script: [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [has(2 * MIN), piece(2, 4)],
        [has(4 * MIN), piece(4, 6)],
      ],
    },
    {
      it: 'does not let the adaptive size grow back',
      plan: { totalBytes: 100 * MIN },
      sizer: { capBytes: 8 * MIN },
      script: [
        [start, 'create-session'],
        [created(), piece(0, 8)],
        [tooLarge, piece(0, 4)],
        [has(4 * MIN, undefined, 1), piece(4, 8)],
      ],
    },
    {
      it: 'keeps to the smaller size in the next session on the same server',
      ...BIG,
      script: [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [gone, 'create-session'],
        [created(), piece(0, 2)],
      ],
    },
    {
      it: 'halves the size at a 404 to a fragment larger than any that passed',
      ...BIG,
      script: [...bigBegun, [maybeTooLarge, piece(0, 2)], [has(2 * MIN), piece(2, 4)]],
    },
    {
      it: 'ends at a 404 to a fragment as large as one that passed',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'ends at a 404 to a large fragment that has passed before',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'ends at a 404 to the smallest fragment',
      ...BIG,
      script: [
        ...bigBegun,
        [maybeTooLarge, piece(0, 2)],
        [maybeTooLarge, piece(0, 1)],
        [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'counts a fragment as passed only when all of it was taken',
      ...BIG,
      script: [
        ...bigBegun,
        [has(MIN), piece(1, 5)],
        [maybeTooLarge, piece(1, 3)],
        [has(3 * MIN), piece(3, 5)],
      ],
    },
  ],
  'at "session not found" (§3)': [
    {
      it: 'on a Fragment starts over from 0, a bounded number of times',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
      ],
    },
    {
      it: 'on a Ping, which names no session, asks with a probe',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [gone, probe(100)],
        [has(100), 'fragment 100-200'],
      ],
    },
    {
      it: 'on a Create-Session tries again, a bounded number of times',
      script: [
        [start, 'create-session'],
        [gone, 'create-session'],
        [gone, 'create-session'],
        [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
      ],
    },
    {
      it: 'on a first Close starts over from 0',
      script: [...atClose, [gone, 'create-session'], [created(), 'fragment 0-100']],
    },
    {
      it: 'on a Close after one whose answer was lost presumes that the file is in place',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
    ...(
      [
        ['whose application failed', ofApplication(500, 'transient', 0x80004005)],
        ['that failed with no more than a status', status(500, 'transient', 0x801901f4)],
      ] as const
    ).map(
      ([which, failed]): Case => ({
        it: `on a Close after one ${which} presumes that the file is in place`,
        script: [
          ...atClose,
          [failed, 'wait'],
          [retryDue, 'close-session'],
          [gone, 'completed presumed'],
        ],
      }),
    ),
    {
      it: 'on a Close after one that was cut by a suspend presumes that the file is in place',
      script: [
        ...atClose,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'on a Close after one that was refused starts over from 0',
      script: [
        ...atClose,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, probe(250)],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'on a first Close starts over even with the reply stored, because the file is not in place',
      plan: { reply: 'required' },
      script: [...atReply, [replyStored, 'close-session'], [gone, 'create-session']],
    },
    {
      it: 'on a Close after one that reached no server starts over',
      script: [...atClose, [unsent, 'wait'], [retryDue, 'close-session'], [gone, 'create-session']],
    },
    {
      it: 'finds out with a probe whether a missing reply means a lost session',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, probe(250)],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'does not ask again about a missing reply once the last fragment was answered',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, probe(250)],
        [has(250), 'fragment 0-250'],
        [has(250, URL_OF_REPLY), `download ${URL_OF_REPLY}`],
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'starts over without a missing reply when no fragment may be sent twice to ask about it',
      plan: { reply: 'required', onUncertainFragment: 'restart', maxRestarts: 1 },
      script: [
        ...atReply,
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'cancel-session'],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'starts over without a missing reply of a file that is too short for a probe',
      plan: { reply: 'required', totalBytes: 1, maxRestarts: 0 },
      script: [
        [start, 'create-session'],
        [created(), 'fragment 0-1'],
        [has(1, URL_OF_REPLY), `download ${URL_OF_REPLY}`],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'on a Cancel counts the session as freed',
      script: [...begun, [cancel, 'cancel-session'], [gone, 'cancelled freed']],
    },
    {
      it: 'on a Cancel after a Close whose answer was lost presumes that the Close worked',
      script: [...atClose, [cancel, 'cancel-session'], [gone, 'completed presumed']],
    },
    {
      it: 'on a second Cancel attributes it to the first Cancel and not to the Close',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    },
    {
      it: 'on a second Cancel, after one that was refused, still presumes that the Close worked',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [status(503, 'transient'), 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'on a second Cancel, after one that failed in the middle, does not presume the Close',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [status(500, 'transient'), 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    },
    {
      it: 'on a second Cancel, after one that a gateway gave up, does not presume the Close',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [status(504, 'transient'), 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    },
    {
      it: 'on the Cancel for a changed file never counts the upload as completed',
      script: [
        ...atClose,
        [sourceChanged, 'cancel-session'],
        [gone, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'leaves no doubt about a Close behind for the next session',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250), 'close-session'],
        [gone, 'create-session'],
      ],
    },
  ],
  'when a session may be forgotten': [
    {
      it: 'starts over after a connection that was refused, as by a server that is restarted',
      script: [
        ...begun,
        [unsent, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(400, 'fatal'), 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'starts over after a 400 without HRESULT when a Ping works',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(400, 'fatal'), 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
      ],
    },
    {
      it: 'starts over after a 404 without HRESULT when a Ping works',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [maybeTooLarge, 'ping'],
        [lost, 'wait'],
        [retryDue, 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'starts over after a second 500 without HRESULT when a Ping works',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
        [retryDue, PROBE_AT_0],
        [status(500, 'transient'), 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'suspects nothing when a fragment passes between two 500s',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
        [retryDue, PROBE_AT_0],
        [outOfStep(100), PROBE_AT_0],
        [outOfStep(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [status(500, 'transient'), 'wait'],
      ],
    },
    {
      it: 'suspects nothing without an interruption and an error header',
      script: [...begun, [status(400, 'fatal'), 'failed BITS_ERR_SERVER resumable']],
    },
    {
      it: 'suspects nothing when every request is answered, however often with 500',
      script: [
        ...begun,
        [status(500, 'transient'), 'wait'],
        [retryDue, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
        [retryDue, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
      ],
    },
    {
      it: 'suspects nothing at a first 500',
      script: [...begun, [status(500, 'transient'), 'wait']],
    },
    {
      it: 'suspects nothing when an HRESULT says what is wrong',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(404, 'fatal', 0x80070005), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'suspects nothing when the application fails, which has the upload from the server',
      script: [
        ...atLast,
        [ofApplication(500, 'transient'), 'wait'],
        [retryDue, probe(200)],
        [ofApplication(500, 'transient'), 'wait'],
        [retryDue, probe(200)],
      ],
    },
    {
      it: 'suspects nothing at another status',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(403, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'suspects nothing when no answer comes at all',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
      ],
    },
    {
      it: 'ends in an error that explains it, after a bounded number of restarts',
      plan: { maxRestarts: 0 },
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(400, 'fatal'), 'ping'],
        [pinged, 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /answers a Ping and refuses whatever names the session/,
    },
    {
      it: 'does not carry the suspicion over to the next session',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [status(500, 'transient'), 'wait'],
        [retryDue, probe(100)],
        [outOfStep(), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'drops the suspicion when it is resumed',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, PROBE_AT_0],
        [status(500, 'transient'), 'wait'],
      ],
    },
    {
      it: 'starts over after a 400 with an error header that says nothing, without an interruption',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [unknown(400), 'ping'],
        [pinged, 'cancel-session'],
        [unknown(400), 'create-session'],
        [created(), 'fragment 0-100'],
      ],
    },
    {
      it: 'starts over when a BITS server refuses the Ping, too, without a reason',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [unknown(400), 'ping'],
        [unknown(400), 'cancel-session'],
      ],
    },
    {
      it: 'keeps the session and the first error when something else refuses the Ping, too',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [unknown(400), 'ping'],
        [status(404, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, probe(100)],
      ],
    },
    ...Object.entries({
      'with 500': unknown(500),
      'with 503': busy,
      'with no answer': lost,
      unsent,
    }).map(
      ([how, failed]): Case => ({
        it: `keeps a session when the server fails the Ping, too, which explains its 500s: ${how}`,
        script: [
          ...begun,
          [has(100), 'fragment 100-200'],
          [unknown(500), 'wait'],
          [retryDue, probe(100)],
          [unknown(500), 'ping'],
          [failed, 'wait'],
          [retryDue, probe(100)],
          [unknown(500), 'wait'],
          [retryDue, probe(100)],
          [has(100), 'fragment 100-200'],
        ],
      }),
    ),
    {
      it: 'begins the two probes again after that',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [unknown(500), 'wait'],
        [retryDue, probe(100)],
        [outOfStep(150), probe(100)],
        [unknown(500), 'ping'],
        [busy, 'wait'],
        [retryDue, probe(100)],
        [outOfStep(150), probe(100)],
        [outOfStep(150), 'fragment 150-250'],
      ],
    },
    {
      it: 'takes a connection that has ended for no failure of the server',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [unknown(500), 'wait'],
        [retryDue, probe(100)],
        [unknown(500), 'ping'],
        [stale, 'ping anew'],
        [pinged, 'cancel-session anew'],
      ],
    },
    {
      it: 'waits when the server is too busy for the Ping',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [unknown(400), 'ping'],
        [busy, 'wait'],
        [retryDue, 'ping'],
        [pinged, 'cancel-session'],
      ],
    },
  ],
  'at an answer that is not an Ack (§1)': [
    {
      it: 'ends when it is the answer to the first packet',
      script: [
        [start, 'create-session'],
        [notBits, 'failed BITS_ERR_NOT_BITS'],
      ],
    },
    {
      it: 'tries again once a packet has succeeded',
      script: [
        ...begun,
        [notBits, 'wait'],
        [retryDue, PROBE_AT_0],
        [gone, 'create-session'],
        [notBits, 'wait'],
        [retryDue, 'create-session'],
      ],
    },
    {
      it: 'tries again a Ping and a Close',
      plan: { totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [notBits, 'wait'],
        [retryDue, 'ping @host-id'],
        [pinged, 'close-session @host-id'],
        [notBits, 'wait'],
        [retryDue, 'close-session @host-id'],
      ],
    },
    {
      it: 'does not count it as a Cancel',
      script: [...begun, [cancel, 'cancel-session'], [notBits, 'cancelled']],
    },
  ],
  'at a temporary refusal (§3)': [
    {
      it: 'repeats a Create-Session',
      script: [
        [start, 'create-session'],
        [busy, 'wait'],
        [retryDue, 'create-session'],
        [lost, 'wait'],
        [retryDue, 'create-session'],
      ],
    },
    {
      it: 'repeats a Close',
      script: [
        ...atClose,
        [busy, 'wait'],
        [retryDue, 'close-session'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'repeats a download',
      plan: { reply: 'required' },
      script: [...atReply, [lost, 'wait'], [retryDue, DOWNLOAD]],
    },
    {
      it: 'repeats a Cancel, a bounded number of times',
      script: [
        ...begun,
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [busy, 'wait'],
        [retryDue, 'cancel-session'],
        [lost, 'cancelled'],
      ],
    },
  ],
  'at a final refusal (§3)': [
    {
      it: 'of a Create-Session ends without a session',
      script: [
        [start, 'create-session'],
        [denied, 'failed BITS_ERR_SERVER'],
      ],
    },
    {
      it: 'of a Fragment keeps the session',
      script: [
        ...begun,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-100'],
      ],
    },
    {
      it: 'of the application follows a Fragment that was taken, so its offset is in doubt',
      script: [
        ...atLast,
        [ofApplication(403, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, probe(200)],
        [outOfStep(250), probe(200)],
        [outOfStep(250), 'close-session'],
      ],
    },
    {
      it: 'of credentials for a Ping keeps the session',
      script: [
        ...begun,
        [suspend, 'pause'],
        [resume, 'ping'],
        [status(401, 'unauthorized'), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'of a Ping shows that the server can be reached, so the next packet decides',
      script: [
        ...begun,
        [suspend, 'pause'],
        [resume, 'ping'],
        [denied, PROBE_AT_0],
        [outOfStep(100), PROBE_AT_0],
        [outOfStep(100), 'fragment 100-200'],
      ],
    },
    {
      it: 'of a Ping that may pass shows the same',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [busy, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'of a Close does not repeat it',
      script: [...atClose, [status(409, 'fatal'), 'failed BITS_ERR_SERVER resumable']],
    },
    {
      it: 'of a Cancel does not repeat it',
      script: [...begun, [cancel, 'cancel-session'], [status(409, 'fatal'), 'cancelled']],
    },
    {
      it: 'of a download keeps the session and its reply',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, DOWNLOAD],
        [replyStored, 'close-session'],
      ],
    },
    ...(['unauthorized', 'redirect', 'maybe-too-large', 'fragment-too-large'] as const).map(
      (meaning): Case => ({
        it: `also ends a Create-Session when the refusal is ${meaning}`,
        script: [
          [start, 'create-session'],
          [status(404, meaning), 'failed BITS_ERR_SERVER'],
        ],
      }),
    ),
  ],
  'in an upload-reply (§5)': [
    {
      it: 'downloads the reply that the last answer names, and only then closes',
      plan: { reply: 'required' },
      script: [...atReply, [replyStored, 'close-session'], [closed, 'completed acknowledged']],
    },
    {
      it: 'downloads the reply that a 416 at the end names',
      plan: { reply: 'required' },
      script: [...atLast, [outOfStep(250, URL_OF_REPLY), DOWNLOAD]],
    },
    {
      it: 'ignores a reply URL before the end',
      plan: { reply: 'required' },
      script: [
        ...begun,
        [has(100, 'too-early'), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250), 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'ends in an error when the last answer names no reply and one is required',
      plan: { reply: 'required' },
      script: [...atLast, [has(250), 'failed BITS_ERR_REPLY resumable']],
      tells: /no BITS-Reply-URL.*BITSServerNotificationType/,
    },
    {
      it: 'asks with the end of the file, after a probe, when it is resumed after that error',
      plan: { reply: 'required' },
      script: [
        ...atLast,
        [has(250), 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-249'],
        [has(250), 'fragment 0-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    },
    {
      it: 'closes when the last answer names no reply and one is optional',
      plan: { reply: 'optional' },
      script: [...atLast, [has(250), 'close-session']],
    },
    {
      it: 'downloads an optional reply',
      plan: { reply: 'optional' },
      script: [...atReply, [replyStored, 'close-session']],
    },
    {
      it: 'does not download a reply that was not requested',
      script: [...atLast, [has(250, URL_OF_REPLY), 'close-session']],
    },
    {
      it: 'asks with the end of the file, not with a whole fragment, when the last answer was lost',
      plan: { totalBytes: 8 * MIN, reply: 'required' },
      sizer: BIG.sizer,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, probe(4 * MIN)],
        [outOfStep(8 * MIN), probe(4 * MIN)],
        [outOfStep(8 * MIN), `fragment ${8 * MIN - 2560}-${8 * MIN}`],
        [has(8 * MIN, URL_OF_REPLY), DOWNLOAD],
      ],
    },
    {
      it: 'downloads at once when the probe is told the reply',
      plan: { totalBytes: 8 * MIN, reply: 'required' },
      sizer: BIG.sizer,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, probe(4 * MIN)],
        [has(8 * MIN, URL_OF_REPLY), probe(4 * MIN)],
        [has(8 * MIN, URL_OF_REPLY), DOWNLOAD],
      ],
    },
    {
      it: 'waits between two requests for a reply that the server has not made yet',
      plan: { reply: 'required' },
      script: [
        ...atLast,
        [outOfStep(250), 'fragment 0-250'],
        [outOfStep(250), 'wait reply'],
        [retryDue, 'fragment 0-250'],
        [outOfStep(250), 'wait reply'],
        [retryDue, 'fragment 0-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    },
    {
      it: 'sends again what the server lost after its last answer',
      plan: { reply: 'required' },
      script: [
        ...atLast,
        [outOfStep(250), 'fragment 0-250'],
        [outOfStep(100), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    },
  ],
  'with onUncertainFragment: restart': [
    {
      it: 'cancels the session and starts over, a bounded number of times',
      plan: { onUncertainFragment: 'restart' },
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [notBits, 'wait'],
        [retryDue, 'cancel-session'],
        [denied, 'create-session'],
        [created(), 'fragment 0-100'],
        [lost, 'failed BITS_ERR_TRANSPORT resumable'],
      ],
    },
    {
      it: 'cancels when it is resumed after a suspend in a fragment',
      plan: { onUncertainFragment: 'restart' },
      script: [
        ...begun,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'believes an answer, whatever offset it names',
      plan: { onUncertainFragment: 'restart' },
      script: [...begun, [has(30), 'fragment 30-130'], [outOfStep(20), 'fragment 20-120']],
    },
    {
      it: 'repeats a Create-Session and a Close as usual',
      plan: { onUncertainFragment: 'restart', totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [lost, 'wait'],
        [retryDue, 'create-session'],
        [created(), 'close-session'],
        [lost, 'wait'],
        [retryDue, 'close-session'],
      ],
    },
    {
      it: 'may be suspended and cancelled while it frees the old session',
      plan: { onUncertainFragment: 'restart' },
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'cancel-session'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'does not start over when the caller gives up while the old session is freed',
      plan: { onUncertainFragment: 'restart' },
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, 'cancel-session'],
      ],
    },
  ],
  'when it is suspended and resumed (§2)': [
    {
      it: 'before the start sends nothing, and resumes with a Ping',
      script: [
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'create-session'],
      ],
    },
    {
      it: 'while creating resumes with a Ping and a new Create-Session',
      script: [
        [start, 'create-session'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'create-session'],
      ],
    },
    {
      it: 'while pinging resumes with a Ping to the same host',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [suspend, 'pause'],
        [resume, 'ping @host-id'],
        [pinged, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'in a fragment asks for the offset first',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, probe(4 * MIN)],
      ],
    },
    {
      it: 'in a back-off asks for the offset first',
      ...BIG,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, BIG_PROBE_AT_0],
      ],
    },
    {
      it: 'in a download resumes the download',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, DOWNLOAD],
        [replyStored, 'close-session'],
      ],
    },
    {
      it: 'in a Close repeats the Close',
      script: [
        ...atClose,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'counts restarts and resyncs from 0',
      script: [
        ...begun,
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
        [resume, 'ping'],
        [pinged, 'create-session'],
        [gone, 'create-session'],
        [gone, 'create-session'],
        [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
      ],
    },
  ],
  'when it is cancelled (§2)': [
    { it: 'before the start has nothing to free', script: [[cancel, 'cancelled freed']] },
    {
      it: 'while creating cannot free the session that the server may have made',
      script: [
        [start, 'create-session'],
        [cancel, 'cancelled'],
      ],
    },
    {
      it: 'in the back-off of a Create-Session has nothing to free',
      script: [
        [start, 'create-session'],
        [busy, 'wait'],
        [cancel, 'cancelled freed'],
      ],
    },
    {
      it: 'while pinging frees the session',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [cancel, 'cancel-session @host-id'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'in a fragment frees the session',
      script: [...begun, [cancel, 'cancel-session'], [cancelled, 'cancelled freed']],
    },
    {
      it: 'in a back-off frees the session',
      script: [
        ...begun,
        [lost, 'wait'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'in a download frees the session',
      plan: { reply: 'required' },
      script: [...atReply, [cancel, 'cancel-session'], [cancelled, 'cancelled freed']],
    },
    {
      it: 'in a Close frees the session',
      script: [...atClose, [cancel, 'cancel-session'], [cancelled, 'cancelled freed']],
    },
    {
      it: 'while suspended frees the session',
      script: [
        ...begun,
        [suspend, 'pause'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'after an error frees the session',
      script: [
        ...begun,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'again while cancelling counts the attempts from 0',
      plan: { maxCancelAttempts: 2 },
      script: [
        ...begun,
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [lost, 'cancelled'],
      ],
    },
    {
      it: 'gives up when the caller does',
      script: [...begun, [cancel, 'cancel-session'], [lost, 'wait'], [gaveUp, 'cancelled']],
    },
  ],
  'when the source changes': [
    {
      it: 'while creating fails without a packet',
      script: [
        [start, 'create-session'],
        [sourceChanged, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'while pinging cancels the session',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [sourceChanged, 'cancel-session @host-id'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'in a fragment cancels the session, and cannot be resumed',
      script: [
        ...begun,
        [sourceChanged, 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'fails also when it cannot cancel the session',
      plan: { maxCancelAttempts: 2 },
      script: [
        ...begun,
        [sourceChanged, 'cancel-session'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [lost, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'in a download cancels the session',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [sourceChanged, 'cancel-session'],
        [gone, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'before the Close cancels the session',
      script: [
        ...atClose,
        [sourceChanged, 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'while suspended cancels the session',
      script: [
        ...begun,
        [suspend, 'pause'],
        [sourceChanged, 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'after an error without a session fails at once',
      script: [
        [start, 'create-session'],
        [denied, 'failed BITS_ERR_SERVER'],
        [sourceChanged, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
  ],
  'when the caller gives up': [
    {
      it: 'cannot be resumed without a session',
      script: [
        [start, 'create-session'],
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS'],
      ],
    },
    {
      it: 'can be resumed with a session, beginning with a Ping',
      script: [
        ...begun,
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, PROBE_AT_0],
      ],
    },
    {
      it: 'while a request is on the wire has its effect in doubt',
      ...BIG,
      script: [
        ...bigBegun,
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, BIG_PROBE_AT_0],
      ],
    },
    {
      it: 'in a Close has the Close in doubt',
      script: [
        ...atClose,
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
  ],
  'with a server that appends blindly': [
    {
      it: 'starts over when it acknowledges the end of a probe',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [has(99), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
      ],
    },
    {
      it: 'starts over when a second probe shows that it appended the first one',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, probe(4 * MIN)],
        [has(4 * MIN + 2560), probe(4 * MIN)],
        [has(4 * MIN + 2 * 2560), 'cancel-session'],
      ],
    },
    {
      it: 'starts over when it acknowledges a part of a probe, which brings it nothing new',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [has(1), 'cancel-session'],
      ],
    },
    {
      it: 'starts over a few times when it takes a part of the beginning of the file, which no lost answer explains',
      plan: { maxRestarts: 2 },
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [has(1), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [has(2), 'wait'],
        [retryDue, 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [has(3), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /takes only a few bytes of each fragment/,
    },
    {
      it: 'starts over when it twice accepts bytes and says that it does not have them',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [has(0), `${probe(100)} anew`],
        [has(0), `${probe(100)} anew`],
        [has(0), 'cancel-session anew'],
        [cancelled, 'create-session anew'],
      ],
    },
    {
      it: 'starts over when it accepts the beginning of the file and says that it has nothing',
      script: [...begun, [has(0), 'fragment 0-99 anew'], [has(0), 'cancel-session anew']],
    },
    {
      it: 'tells it from one that holds a part of the fragment by a second probe',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, probe(4 * MIN)],
        [has(5 * MIN), probe(4 * MIN)],
        [has(5 * MIN), piece(5, 9)],
      ],
    },
    {
      it: 'begins the two probes again when one of them is lost',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, probe(4 * MIN)],
        [has(4 * MIN + 2560), probe(4 * MIN)],
        [lost, 'wait'],
        [retryDue, probe(4 * MIN)],
        [has(4 * MIN + 3 * 2560), probe(4 * MIN)],
        [has(4 * MIN + 4 * 2560), 'cancel-session'],
      ],
    },
    {
      it: 'starts over at once, and does not count it, when the first fragment is in doubt',
      plan: { maxRestarts: 0 },
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [has(99), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
      ],
    },
    {
      it: 'waits before it starts over from the first fragment once more',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [has(99), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [lost, 'wait'],
        [retryDue, PROBE_AT_0],
        [has(99), 'wait'],
        [retryDue, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'starts over without a probe when there are no bytes to probe with',
      plan: { totalBytes: 1 },
      script: [
        [start, 'create-session'],
        [created(), 'fragment 0-1'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-1'],
        [has(1), 'close-session'],
      ],
    },
    {
      it: 'ends in an error after a bounded number of restarts, and may then be resumed',
      plan: { maxRestarts: 0 },
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [has(99), 'failed BITS_ERR_PROTOCOL resumable'],
        [resume, 'ping'],
        [pinged, 'cancel-session'],
      ],
    },
    {
      it: 'probes with no byte below an offset of 1, where there is nothing to repeat',
      script: [
        ...begun,
        [has(1), 'fragment 1-101'],
        [lost, 'wait'],
        [retryDue, 'fragment 1-100'],
        [has(100), 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'starts over when a probe is refused as malformed',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [status(400, 'fatal', 0x80070057), 'cancel-session'],
      ],
    },
    {
      it: 'cancels no session that a probe shows to be gone, whatever the status',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, probe(100)],
        [goneWith(400), 'create-session'],
      ],
    },
  ],
  'when a Close may be forgotten': [
    {
      it: 'presumes the file after a 4xx without HRESULT to a second Close when a Ping works',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [unknown(400), 'ping'],
        [pinged, 'completed presumed'],
      ],
    },
    {
      it: 'presumes the file after a second 500 without HRESULT when a Ping works',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'ping'],
        [pinged, 'completed presumed'],
      ],
    },
    {
      it: 'presumes nothing after a second 500 when the server fails the Ping, too',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'ping'],
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'sends no byte of a complete file again for that',
      plan: { totalBytes: 1 },
      script: [
        [start, 'create-session'],
        [created(), 'fragment 0-1'],
        [has(1), 'close-session'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [lost, 'wait'],
        [retryDue, 'ping'],
        [pinged, 'close-session'],
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'ping'],
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
      ],
    },
    {
      it: 'presumes the file when it is resumed after a Close whose answer was lost',
      script: [
        ...atClose,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [status(404, 'fatal'), 'ping'],
        [pinged, 'completed presumed'],
      ],
    },
    {
      it: 'presumes nothing when no answer to a Close was lost',
      script: [
        ...atClose,
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'wait'],
        [retryDue, 'close-session'],
        [unknown(500), 'wait'],
      ],
    },
    {
      it: 'presumes nothing at a second Close when its status says what is wrong',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [status(413, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    ...[403, 409].map(
      (code): Case => ({
        it: `presumes nothing at a second Close that a ${code} refuses, for a file may be in the way`,
        script: [
          ...atClose,
          [lost, 'wait'],
          [retryDue, 'close-session'],
          [status(code, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
        ],
      }),
    ),
    {
      it: 'starts over when a resumed session cannot be closed for a second 500 while a Ping works',
      script: [
        ...atClose,
        [status(500, 'transient'), 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [status(500, 'transient'), 'wait'],
        [retryDue, 'close-session'],
        [status(500, 'transient'), 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'presumes nothing at a first 4xx',
      script: [...atClose, [unknown(400), 'failed BITS_ERR_SERVER resumable']],
    },
    {
      it: 'presumes nothing when an HRESULT says what is wrong',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [denied, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'presumes nothing when the credentials are refused, or the server is busy',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [status(429, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [status(401, 'unauthorized'), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'presumes nothing when a Ping is refused as well',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [status(404, 'fatal'), 'ping'],
        [status(404, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'presumes nothing when a Cancel may have ended the session',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [unknown(400), 'cancelled freed'],
      ],
    },
    {
      it: 'ends for good when the server refuses to close an empty file',
      plan: { totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(), 'close-session'],
        [status(416, 'fatal'), 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SERVER'],
      ],
      tells: /does not store empty files/,
    },
  ],
  'on a connection that was used before': [
    {
      it: 'sends each packet once more at once when the connection ended before the answer',
      script: [
        [start, 'create-session'],
        [stale, 'create-session anew'],
        [created(), 'fragment 0-100'],
        [stale, `${PROBE_AT_0} anew`],
        [outOfStep(100), `${PROBE_AT_0} anew`],
        [outOfStep(100), 'fragment 100-200 anew'],
        [has(200), 'fragment 200-250'],
        [has(250), 'close-session'],
        [stale, 'close-session anew'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'sends a Ping, a download and a Cancel once more, too',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [suspend, 'pause'],
        [resume, 'ping'],
        [stale, 'ping anew'],
        [pinged, DOWNLOAD],
        [stale, DOWNLOAD],
        [cancel, 'cancel-session anew'],
        [stale, 'wait'],
      ],
    },
    {
      it: 'waits when that happens again before any progress',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [stale, `${probe(100)} anew`],
        [has(100), 'fragment 100-200 anew'],
        [stale, 'wait'],
      ],
    },
    {
      it: 'does not reduce the size of fragments for it',
      plan: { totalBytes: 8 * 1024 * KIB },
      sizer: { capBytes: 1024 * KIB },
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [has(1024 * KIB), `fragment ${1024 * KIB}-${2048 * KIB}`],
        [stale, `${probe(1024 * KIB)} anew`],
        [has(1024 * KIB), `fragment ${1024 * KIB}-${2048 * KIB} anew`],
      ],
    },
    {
      it: 'starts over once at once, and on new connections, when the first fragment meets it',
      script: [
        ...begun,
        [stale, `${PROBE_AT_0} anew`],
        [has(99), 'cancel-session anew'],
        [cancelled, 'create-session anew'],
        [created(), 'fragment 0-100 anew'],
        [has(100), 'fragment 100-200'],
      ],
    },
    {
      it: 'presumes a Close that it swallowed',
      script: [...atClose, [stale, 'close-session anew'], [gone, 'completed presumed']],
    },
    {
      it: 'asks again on a new connection when an ack does not fit its packet',
      script: [
        [start, 'create-session'],
        [misfit, 'create-session anew'],
        [created(), 'fragment 0-100'],
        [misfit, `${PROBE_AT_0} anew`],
        [outOfStep(100), `${PROBE_AT_0} anew`],
        [outOfStep(100), 'fragment 100-200 anew'],
        [has(200), 'fragment 200-250'],
        [has(250), 'close-session'],
        [misfit, 'close-session anew'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'never completes by an ack that does not fit, when the Close is refused',
      script: [
        ...atClose,
        [misfit, 'close-session anew'],
        [denied, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'ends in an error when the ack on a new connection does not fit either',
      script: [
        [start, 'create-session'],
        [misfit, 'create-session anew'],
        [misfit, 'failed BITS_ERR_PROTOCOL'],
      ],
    },
    {
      it: 'keeps a session whose Close is not acknowledged properly',
      script: [
        ...atClose,
        [misfit, 'close-session anew'],
        [misfit, 'failed BITS_ERR_PROTOCOL resumable'],
        [resume, 'ping anew'],
        [pinged, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'counts no ack that does not fit as a Cancel',
      script: [
        ...begun,
        [cancel, 'cancel-session'],
        [misfit, 'cancel-session anew'],
        [misfit, 'cancelled'],
      ],
    },
  ],
  'with a transport that may send a request again': [
    {
      it: 'presumes the file when the session is not found at a first Close',
      plan: { mayResend: true },
      script: [...atClose, [gone, 'completed presumed']],
    },
    {
      it: 'presumes the file after a 400 without HRESULT to a first Close when a Ping works',
      plan: { mayResend: true },
      script: [...atClose, [unknown(400), 'ping'], [pinged, 'completed presumed']],
    },
    {
      it: 'presumes nothing of a session that was not found after a rest or at another server',
      plan: { mayResend: true, totalBytes: 100 },
      script: [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [unsent, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, probe(100)],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'close-session'],
        [busy, 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, probe(100)],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'presumes nothing of a session that was not found after no connection could be made',
      plan: { mayResend: true },
      script: [...atClose, [unsent, 'wait'], [retryDue, 'close-session'], [gone, 'create-session']],
    },
    {
      it: 'presumes the file when a reply came after the silence, which shows the session',
      plan: { mayResend: true, reply: 'required' },
      script: [
        ...atReply,
        [lost, 'wait'],
        [retryDue, DOWNLOAD],
        [replyStored, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'presumes nothing of an empty file that a host-id knows nothing of',
      plan: { mayResend: true, totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'close-session @host-id'],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'starts over when the session is not found before',
      plan: { mayResend: true },
      script: [...atLast, [gone, 'create-session']],
    },
  ],
};
