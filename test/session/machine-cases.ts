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
  has,
  lost,
  MIN,
  maybeTooLarge,
  notBits,
  outOfStep,
  pinged,
  replyGone,
  replyStored,
  resume,
  retryDue,
  type Script,
  sourceChanged,
  start,
  status,
  suspend,
  tooLarge,
  URL_OF_REPLY,
  unsent,
} from './script.js';

export interface Case {
  readonly it: string;
  readonly plan?: Partial<SessionPlan>;
  /** @default fragments of 100 bytes */
  readonly sizer?: SizerOptions;
  readonly script: Script;
  /** What the error of the last command has to tell. */
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
const bigBegun: Script = [
  [start, 'create-session'],
  [created(), piece(0, 4)],
];
const hostBegun: Script = [
  [start, 'create-session'],
  [created(HOST_WITH_FALLBACK), 'ping @host-id'],
  [pinged, 'fragment 0-100 @host-id'],
];

/** What the session decides, a sentence of the protocol each: event by event, what it commands. */
export const groups: Readonly<Record<string, readonly Case[]>> = {
  'a normal run (§2)': [
    {
      it: 'creates, sends every byte in order from 0, and closes',
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
      it: 'sends a file of one fragment as one',
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
  'BITS-Host-Id (§4)': [
    {
      it: 'sends a Ping there first, and all later packets',
      script: [
        ...hostBegun,
        [has(100), 'fragment 100-200 @host-id'],
        [has(200), 'fragment 200-250 @host-id'],
        [has(250), 'close-session @host-id'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'is where an empty file is closed',
      plan: { totalBytes: 0 },
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'close-session @host-id'],
      ],
    },
    {
      it: 'is pinged again after a failed Ping',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [lost, 'wait'],
        [retryDue, 'ping @host-id'],
        [pinged, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'is left for the origin, pinged first, when the fallback time is over',
      script: [
        ...hostBegun,
        [has(100), 'fragment 100-200 @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250), 'close-session'],
      ],
    },
    {
      it: 'is left for the origin when it does not even answer the first Ping',
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
      it: 'leads to a new session when the origin does not know the old one',
      script: [
        ...hostBegun,
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, 'fragment 0-100'],
        [gone, 'create-session'],
        [created({}, 'two'), 'fragment 0-100'],
      ],
    },
    {
      it: 'leads to a Create at the origin when its server lost the session',
      script: [...hostBegun, [gone, 'create-session'], [created(), 'fragment 0-100']],
    },
    {
      it: 'when left keeps no suspicion that its server raised',
      script: [
        ...hostBegun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100 @host-id'],
        [status(500, 'transient'), 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, 'fragment 0-100'],
      ],
    },
    {
      it: 'when left makes no file presumed that only its server could have closed',
      plan: { totalBytes: 100 },
      script: [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, 'close-session'],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'when left lets a Cancel go to the origin',
      script: [
        ...hostBegun,
        [cancel, 'cancel-session @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'when left in the middle of a reply goes on with the download',
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
  'the offset of the server (§2)': [
    {
      it: 'wins when it is lower than what was sent',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [has(50), 'fragment 50-150'],
        [has(150), 'fragment 150-250'],
        [has(250), 'close-session'],
      ],
    },
    {
      it: 'wins in the middle of a fragment',
      script: [...begun, [has(30), 'fragment 30-130'], [has(130), 'fragment 130-230']],
    },
    {
      it: 'at the same place of two fragments makes the next ones no longer than that',
      plan: { totalBytes: 4 * 1024 * KIB },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [has(64 * KIB), `fragment ${64 * KIB}-${1088 * KIB}`],
        [has(128 * KIB), `fragment ${128 * KIB}-${192 * KIB}`],
        [has(128 * KIB), `fragment ${128 * KIB}-${192 * KIB}`],
      ],
    },
    {
      it: 'in the middle of one that asks for the offset says nothing about sizes',
      plan: { totalBytes: 4 * 1024 * KIB },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [lost, 'wait'],
        [retryDue, piece(0, 1)],
        [has(10), `fragment 10-${512 * KIB + 10}`],
        [has(20), `fragment 20-${512 * KIB + 20}`],
        [has(30), `fragment 30-${MIN + 30}`],
      ],
    },
    {
      it: 'wins beyond the fragment, when the answer to an earlier one was lost',
      ...BIG,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [retryDue, piece(0, 1)],
        [has(4 * MIN), piece(4, 8)],
        [has(8 * MIN), piece(8, 10)],
        [has(10 * MIN), 'close-session'],
      ],
    },
    {
      it: 'wins on a 416 too',
      ...BIG,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [retryDue, piece(0, 1)],
        [outOfStep(4 * MIN), piece(4, 8)],
        [outOfStep(MIN), piece(1, 5)],
      ],
    },
    {
      it: 'lets a 416 that claims the total lead to the Close',
      script: [
        ...atLast,
        [lost, 'wait'],
        [retryDue, 'fragment 200-250'],
        [outOfStep(250), 'close-session'],
      ],
    },
    {
      it: 'above the total is asked again a few times, and then an error',
      script: [
        ...begun,
        [has(251), 'fragment 0-100'],
        [has(251), 'fragment 0-100'],
        [has(251), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /claims to hold 251 bytes, but only 100 of the file's 250 were sent/,
    },
    {
      it: 'above what was sent is asked again a few times, and then an error',
      script: [
        ...begun,
        [outOfStep(101), 'fragment 0-100'],
        [outOfStep(101), 'fragment 0-100'],
        [outOfStep(101), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /claims to hold 101 bytes, but only 100/,
    },
    {
      it: 'at exactly what was sent is believed',
      script: [...begun, [has(100), 'fragment 100-200'], [outOfStep(200), 'fragment 200-250']],
    },
    {
      it: 'that goes nowhere is asked again a few times, and then an error',
      script: [
        ...begun,
        [has(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [has(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /keeps asking for byte 0 .* drops request bodies/,
    },
    {
      it: 'that goes up and down without ever a new best is bounded as well',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [has(0), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [has(0), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [has(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'may go nowhere again after progress',
      script: [
        ...begun,
        [has(0), 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
        [has(1), 'fragment 1-101'],
        [has(1), 'fragment 1-101'],
        [has(1), 'fragment 1-101'],
        [has(1), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'may go nowhere again in the next session',
      script: [
        ...begun,
        [has(0), 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
        [has(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    },
    {
      it: 'that a 416 keeps to itself begins the upload again, freeing the old session',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [outOfStep(), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [outOfStep(), 'cancel-session'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [outOfStep(), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is learnt with the smallest fragment after an interruption',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [busy, 'wait'],
        [retryDue, piece(4, 5)],
        [has(5 * MIN), piece(5, 9)],
      ],
    },
    {
      it: 'once learnt again is followed by fragments half as large, however many were lost',
      plan: { totalBytes: 4 * 1024 * KIB },
      sizer: {},
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${1024 * KIB}`],
        [lost, 'wait'],
        [retryDue, piece(0, 1)],
        [lost, 'wait'],
        [retryDue, piece(0, 1)],
        [has(MIN), `fragment ${MIN}-${MIN + 512 * KIB}`],
      ],
    },
    {
      it: "is learnt with no more than the caller's own fragment size",
      script: [...begun, [lost, 'wait'], [retryDue, 'fragment 0-100']],
    },
  ],
  'a fragment that is too large (§3)': [
    {
      it: 'is halved down to 5 KiB at 413',
      ...BIG,
      script: [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [tooLarge, piece(0, 1)],
        [tooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is never cut under 5 KiB',
      plan: { totalBytes: 2 * MIN },
      sizer: { fixedBytes: MIN + 2 },
      script: [
        [start, 'create-session'],
        [created(), `fragment 0-${MIN + 2}`],
        [tooLarge, piece(0, 1)],
      ],
    },
    {
      it: 'is remembered for the fragments after it',
      ...BIG,
      script: [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [has(2 * MIN), piece(2, 4)],
        [has(4 * MIN), piece(4, 6)],
      ],
    },
    {
      it: 'is remembered by the adaptive size, which does not grow back',
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
      it: 'is remembered by the next session on the same server',
      ...BIG,
      script: [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [gone, 'create-session'],
        [created(), piece(0, 2)],
      ],
    },
    {
      it: 'is guessed from a 404 to a fragment larger than any that passed',
      ...BIG,
      script: [...bigBegun, [maybeTooLarge, piece(0, 2)], [has(2 * MIN), piece(2, 4)]],
    },
    {
      it: 'is not guessed from a 404 to a fragment as large as one that passed',
      script: [
        ...begun,
        [has(100), 'fragment 100-200'],
        [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is not guessed from a 404 to a large fragment that has passed before',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is not guessed from a 404 to the smallest fragment',
      ...BIG,
      script: [
        ...bigBegun,
        [maybeTooLarge, piece(0, 2)],
        [maybeTooLarge, piece(0, 1)],
        [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'did not pass when only its beginning was taken',
      ...BIG,
      script: [
        ...bigBegun,
        [has(MIN), piece(1, 5)],
        [maybeTooLarge, piece(1, 3)],
        [has(3 * MIN), piece(3, 5)],
      ],
    },
    {
      it: 'is cut even when it repeats the last fragment for the reply URL',
      plan: { totalBytes: 4 * MIN, reply: 'required' },
      sizer: BIG.sizer,
      script: [
        ...bigBegun,
        [outOfStep(4 * MIN), piece(0, 4)],
        [tooLarge, piece(2, 4)],
        [tooLarge, piece(3, 4)],
        [tooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is cut even when it repeats the last fragment after an interruption',
      plan: { totalBytes: 4 * MIN, reply: 'required' },
      sizer: BIG.sizer,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [retryDue, piece(0, 4)],
        [tooLarge, piece(0, 1)],
        [tooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
  ],
  'session not found (§3)': [
    {
      it: 'on a Fragment begins again from 0, a bounded number of times',
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
      it: 'on a Ping begins again from 0',
      script: [
        ...begun,
        [suspend, 'pause'],
        [resume, 'ping'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
      ],
    },
    {
      it: 'on a Create is bounded too',
      script: [
        [start, 'create-session'],
        [gone, 'create-session'],
        [gone, 'create-session'],
        [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
      ],
    },
    {
      it: 'on the first Close begins again from 0',
      script: [...atClose, [gone, 'create-session'], [created(), 'fragment 0-100']],
    },
    {
      it: 'on a Close after one whose answer was lost means that it worked',
      script: [
        ...atClose,
        [lost, 'wait'],
        [retryDue, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'on a Close after one cut by suspending means that it worked',
      script: [
        ...atClose,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'on a Close after one that was refused begins again from 0',
      script: [
        ...atClose,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'on a first Close begins anew with the reply in hand too, for the file is not in place',
      plan: { reply: 'required' },
      script: [...atReply, [replyStored, 'close-session'], [gone, 'create-session']],
    },
    {
      it: 'on a Close after one that reached no server begins anew',
      script: [...atClose, [unsent, 'wait'], [retryDue, 'close-session'], [gone, 'create-session']],
    },
    {
      it: 'is found out by the last fragment when a resumed job finds its reply gone',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'fragment 200-250'],
        [gone, 'create-session'],
      ],
    },
    {
      it: 'is not suspected again once the last fragment was answered',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'fragment 200-250'],
        [has(250, URL_OF_REPLY), `download ${URL_OF_REPLY}`],
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'is not looked for with a fragment that might be appended twice',
      plan: { reply: 'required', onUncertainFragment: 'restart' },
      script: [
        ...atReply,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'on a Cancel means done',
      script: [...begun, [cancel, 'cancel-session'], [gone, 'cancelled freed']],
    },
    {
      it: 'on a Cancel after a Close whose answer was lost means that the Close worked',
      script: [...atClose, [cancel, 'cancel-session'], [gone, 'completed presumed']],
    },
    {
      it: 'on a second Cancel is what the first one may have done, not the Close',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [lost, 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    },
    {
      it: 'on a second Cancel after one that was refused still means that the Close worked',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [status(503, 'transient'), 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'completed presumed'],
      ],
    },
    {
      it: 'on a second Cancel after one that a gateway gave up is not the Close',
      script: [
        ...atClose,
        [cancel, 'cancel-session'],
        [status(504, 'transient'), 'wait'],
        [retryDue, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    },
    {
      it: 'on the Cancel of a changed file never counts as completed',
      script: [
        ...atClose,
        [sourceChanged, 'cancel-session'],
        [gone, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'in one session leaves no uncertain Close behind for the next',
      script: [
        ...atClose,
        [lost, 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250), 'close-session'],
        [gone, 'create-session'],
      ],
    },
  ],
  'a session forgotten without saying so': [
    {
      it: '(400 without HRESULT after an interruption) is told by a Ping that works',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(400, 'fatal'), 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
      ],
    },
    {
      it: '(404 without HRESULT after an interruption) is told by a Ping that works',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [maybeTooLarge, 'ping'],
        [lost, 'wait'],
        [retryDue, 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: '(500 without HRESULT after an interruption) is suspected when repeated',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'ping'],
        [pinged, 'cancel-session'],
        [cancelled, 'create-session'],
      ],
    },
    {
      it: 'is not suspected when a fragment passes between two 500s',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'wait'],
        [retryDue, 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
        [lost, 'wait'],
        [retryDue, 'fragment 100-200'],
        [status(500, 'transient'), 'wait'],
      ],
    },
    {
      it: 'is not suspected without an interruption',
      script: [...begun, [status(400, 'fatal'), 'failed BITS_ERR_SERVER resumable']],
    },
    {
      it: 'is not suspected when every request is answered, however often by 500',
      script: [
        ...begun,
        [status(500, 'transient'), 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'wait'],
      ],
    },
    {
      it: 'is not suspected at a first 500',
      script: [...begun, [status(500, 'transient'), 'wait']],
    },
    {
      it: 'is not suspected when an HRESULT says what is wrong',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(400, 'fatal', 0x80070057), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is not suspected at another status',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(403, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'is not suspected when no answer comes at all',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
      ],
    },
    {
      it: 'ends in an error that tells, after a bounded number of restarts',
      plan: { maxRestarts: 0 },
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(400, 'fatal'), 'ping'],
        [pinged, 'failed BITS_ERR_PROTOCOL resumable'],
      ],
      tells: /answers a Ping and refuses every Fragment/,
    },
    {
      it: 'is not suspected any more by the session after it',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'wait'],
        [retryDue, 'fragment 0-100'],
        [outOfStep(), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'is not suspected any more after a resume',
      script: [
        ...begun,
        [lost, 'wait'],
        [retryDue, 'fragment 0-100'],
        [status(500, 'transient'), 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'fragment 0-100'],
      ],
    },
  ],
  'an answer that is no Ack (§1)': [
    {
      it: 'is fatal on the first packet',
      script: [
        [start, 'create-session'],
        [notBits, 'failed BITS_ERR_NOT_BITS'],
      ],
    },
    {
      it: 'may pass once a packet has succeeded',
      script: [
        ...begun,
        [notBits, 'wait'],
        [retryDue, 'fragment 0-100'],
        [gone, 'create-session'],
        [notBits, 'wait'],
        [retryDue, 'create-session'],
      ],
    },
    {
      it: 'may pass on a Ping and a Close',
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
      it: 'counts as no Cancel',
      script: [...begun, [cancel, 'cancel-session'], [notBits, 'cancelled']],
    },
  ],
  'refusals that may pass (§3)': [
    {
      it: 'repeat a Create',
      script: [
        [start, 'create-session'],
        [busy, 'wait'],
        [retryDue, 'create-session'],
        [lost, 'wait'],
        [retryDue, 'create-session'],
      ],
    },
    {
      it: 'repeat a Close',
      script: [
        ...atClose,
        [busy, 'wait'],
        [retryDue, 'close-session'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'repeat a download',
      plan: { reply: 'required' },
      script: [...atReply, [lost, 'wait'], [retryDue, DOWNLOAD]],
    },
    {
      it: 'repeat a Cancel a bounded number of times',
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
  'refusals that are final (§3)': [
    {
      it: 'of a Create end without a session',
      script: [
        [start, 'create-session'],
        [denied, 'failed BITS_ERR_SERVER'],
      ],
    },
    {
      it: 'of a Fragment keep the session',
      script: [
        ...begun,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-100'],
      ],
    },
    {
      it: 'of a Ping keep the session',
      script: [
        ...begun,
        [suspend, 'pause'],
        [resume, 'ping'],
        [denied, 'failed BITS_ERR_SERVER resumable'],
      ],
    },
    {
      it: 'of a Close are not retried',
      script: [...atClose, [status(409, 'fatal'), 'failed BITS_ERR_SERVER resumable']],
    },
    {
      it: 'of a Cancel are not retried',
      script: [...begun, [cancel, 'cancel-session'], [status(409, 'fatal'), 'cancelled']],
    },
    {
      it: 'of a download keep the session and its reply',
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
        it: `are also ${meaning} on a Create`,
        script: [
          [start, 'create-session'],
          [status(404, meaning), 'failed BITS_ERR_SERVER'],
        ],
      }),
    ),
  ],
  'an upload-reply (§5)': [
    {
      it: 'downloads what the last answer names, and closes only then',
      plan: { reply: 'required' },
      script: [...atReply, [replyStored, 'close-session'], [closed, 'completed acknowledged']],
    },
    {
      it: 'downloads what a 416 at the end names',
      plan: { reply: 'required' },
      script: [...atLast, [outOfStep(250, URL_OF_REPLY), DOWNLOAD]],
    },
    {
      it: 'ignores a URL that comes before the end',
      plan: { reply: 'required' },
      script: [
        ...begun,
        [has(100, 'too-early'), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250), 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'without a URL on the last answer is an error, when the reply is required',
      plan: { reply: 'required' },
      script: [...atLast, [has(250), 'failed BITS_ERR_REPLY resumable']],
      tells: /no BITS-Reply-URL.*BITSServerNotificationType/,
    },
    {
      it: 'asks again with the last fragment when resumed after that error',
      plan: { reply: 'required' },
      script: [
        ...atLast,
        [has(250), 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 200-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    },
    {
      it: 'without a URL on the last answer is done, when the reply is optional',
      plan: { reply: 'optional' },
      script: [...atLast, [has(250), 'close-session']],
    },
    {
      it: 'downloads an optional reply that is there',
      plan: { reply: 'optional' },
      script: [...atReply, [replyStored, 'close-session']],
    },
    {
      it: 'is not downloaded when none was asked for',
      script: [...atLast, [has(250, URL_OF_REPLY), 'close-session']],
    },
    {
      it: 'sends the very same last fragment again when its answer was lost',
      plan: { totalBytes: 8 * MIN, reply: 'required' },
      sizer: BIG.sizer,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, piece(4, 8)],
        [has(8 * MIN, URL_OF_REPLY), DOWNLOAD],
      ],
    },
    {
      it: 'sends it again at exactly the size that the transport allows, though losses shrink',
      plan: { totalBytes: 8 * MIN, reply: 'required' },
      sizer: { capBytes: 4 * MIN },
      script: [
        ...bigBegun,
        [has(4 * MIN, undefined, 4000), piece(4, 8)],
        [lost, 'wait'],
        [retryDue, piece(4, 8)],
      ],
    },
    {
      it: 'learns the offset with a small fragment when another than the last was lost',
      plan: { totalBytes: 8 * MIN, reply: 'required' },
      sizer: BIG.sizer,
      script: [...bigBegun, [lost, 'wait'], [retryDue, piece(0, 1)]],
    },
    {
      it: 'has no need of the same last fragment when no reply is expected',
      plan: { totalBytes: 8 * MIN },
      sizer: BIG.sizer,
      script: [...bigBegun, [has(4 * MIN), piece(4, 8)], [lost, 'wait'], [retryDue, piece(4, 5)]],
    },
    {
      it: 'asks with the last fragment for a URL that a 416 left out, a bounded number of times',
      plan: { reply: 'required' },
      script: [
        ...atLast,
        [outOfStep(250), 'fragment 200-250'],
        [outOfStep(250), 'fragment 200-250'],
        [outOfStep(250), 'failed BITS_ERR_REPLY resumable'],
      ],
    },
    {
      it: 'begins again when the server goes back after its last answer',
      plan: { reply: 'required' },
      script: [
        ...atLast,
        [outOfStep(250), 'fragment 200-250'],
        [has(100), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    },
  ],
  'onUncertainFragment: restart': [
    {
      it: 'cancels the session and begins another, a bounded number of times',
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
      it: 'cancels at a resume when a fragment was cut by suspending',
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
      it: 'believes an answer, whatever offset it gives',
      plan: { onUncertainFragment: 'restart' },
      script: [...begun, [has(30), 'fragment 30-130'], [outOfStep(20), 'fragment 20-120']],
    },
    {
      it: 'waits out a Create and a Close as ever',
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
      it: 'begins nothing new when the patience ends while it frees the old session',
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
  'suspending and resuming (§2)': [
    {
      it: 'before the start sends nothing, and resumes with a Ping',
      script: [
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'create-session'],
      ],
    },
    {
      it: 'while creating',
      script: [
        [start, 'create-session'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'create-session'],
      ],
    },
    {
      it: 'while pinging',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [suspend, 'pause'],
        [resume, 'ping @host-id'],
        [pinged, 'fragment 0-100 @host-id'],
      ],
    },
    {
      it: 'in a fragment, whose fate is then unknown',
      ...BIG,
      script: [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, piece(4, 5)],
      ],
    },
    {
      it: 'in a back-off',
      ...BIG,
      script: [
        ...bigBegun,
        [lost, 'wait'],
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, piece(0, 1)],
      ],
    },
    {
      it: 'in a download',
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
      it: 'in a Close',
      script: [
        ...atClose,
        [suspend, 'pause'],
        [resume, 'ping'],
        [pinged, 'close-session'],
        [closed, 'completed acknowledged'],
      ],
    },
    {
      it: 'counts restarts and resyncs anew',
      script: [
        ...begun,
        [has(0), 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
        [has(0), 'failed BITS_ERR_PROTOCOL resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
        [has(0), 'fragment 0-100'],
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
  'cancelling (§2)': [
    { it: 'before the start sends nothing', script: [[cancel, 'cancelled freed']] },
    {
      it: 'while creating cannot name the session that the server may have made',
      script: [
        [start, 'create-session'],
        [cancel, 'cancelled'],
      ],
    },
    {
      it: 'in the back-off of a Create has nothing to free',
      script: [
        [start, 'create-session'],
        [busy, 'wait'],
        [cancel, 'cancelled freed'],
      ],
    },
    {
      it: 'while pinging',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [cancel, 'cancel-session @host-id'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'in a fragment',
      script: [...begun, [cancel, 'cancel-session'], [cancelled, 'cancelled freed']],
    },
    {
      it: 'in a back-off',
      script: [
        ...begun,
        [lost, 'wait'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'in a download',
      plan: { reply: 'required' },
      script: [...atReply, [cancel, 'cancel-session'], [cancelled, 'cancelled freed']],
    },
    {
      it: 'in a Close',
      script: [...atClose, [cancel, 'cancel-session'], [cancelled, 'cancelled freed']],
    },
    {
      it: 'while suspended',
      script: [
        ...begun,
        [suspend, 'pause'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'after an error',
      script: [
        ...begun,
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    },
    {
      it: 'again while cancelling begins the count of attempts anew',
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
  'a source that changes': [
    {
      it: 'while creating fails without a packet',
      script: [
        [start, 'create-session'],
        [sourceChanged, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'while pinging cancels',
      script: [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [sourceChanged, 'cancel-session @host-id'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'in a fragment cancels, and is not resumable',
      script: [
        ...begun,
        [sourceChanged, 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'cancels as well as it can',
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
      it: 'in a download cancels',
      plan: { reply: 'required' },
      script: [
        ...atReply,
        [sourceChanged, 'cancel-session'],
        [gone, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'before the Close cancels',
      script: [
        ...atClose,
        [sourceChanged, 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
      ],
    },
    {
      it: 'while suspended cancels',
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
  'the end of patience': [
    {
      it: 'without a session is not resumable',
      script: [
        [start, 'create-session'],
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS'],
      ],
    },
    {
      it: 'with a session is resumable, beginning with a Ping',
      script: [
        ...begun,
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-100'],
      ],
    },
    {
      it: 'while a request is on the wire leaves its fate unknown',
      ...BIG,
      script: [
        ...bigBegun,
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, piece(0, 1)],
      ],
    },
    {
      it: 'in a Close leaves the next one presumed',
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
};
