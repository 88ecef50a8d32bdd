import type { SessionEvent, SessionPlan, SizerOptions } from '../../src/session/session.js';
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

/** A session, and what follows when it is there. */
const opened = (next: string, fields?: Parameters<typeof created>[0]): Script => [
  [start, 'create-session'],
  [created(fields), next],
];
/** Up to the first fragment on the wire. */
export const begun = opened('fragment 0-100');
/** Up to the second fragment on the wire. */
const halfway: Script = [...begun, [has(100), 'fragment 100-200']];
/** Up to the last fragment on the wire. */
export const atLast: Script = [...halfway, [has(200), 'fragment 200-250']];
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
const bigBegun: Script = [...opened(piece(0, 4))];
const hostBegun: Script = [
  ...opened('ping @host-id', HOST_WITH_FALLBACK),
  [pinged, 'fragment 0-100 @host-id'],
];

/** Suspended, and resumed with a Ping. */
const rested: Script = [
  [suspend, 'pause'],
  [resume, 'ping'],
];

/** A wait after an event, and what follows when it is over. */
const waited = (event: SessionEvent, next: string): Script => [
  [event, 'wait'],
  [retryDue, next],
];

/** A script of an upload that is not the usual one. */
const given = (of: Omit<Case, 'script'>, script: Script): Case => ({ ...of, script });

/** Scripts that differ in one event. */
const each = (
  events: Readonly<Record<string, SessionEvent>>,
  sentence: (name: string) => string,
  script: (event: SessionEvent) => Script,
): Record<string, Script> =>
  Object.fromEntries(
    Object.entries(events).map(([name, event]) => [sentence(name), script(event)]),
  );

type Group = Readonly<Record<string, Script | Case>>;

/** The cases of a group, each with the sentence that says what the machine does in it. */
export function casesOf(group: Group): (readonly [sentence: string, one: Case])[] {
  return Object.entries(group).map(([sentence, one]) => [
    sentence,
    'script' in one ? one : { script: one },
  ]);
}

/** What the machine does, a rule of the protocol each: event by event, what it commands. */
export const groups: Readonly<Record<string, Group>> = {
  'in an undisturbed upload (§2)': {
    'creates a session, sends every byte in order from 0, and closes': [
      ...atClose,
      [closed, 'completed acknowledged'],
    ],
    'sends an empty file without a fragment': given({ plan: { totalBytes: 0 } }, [
      ...opened('close-session'),
      [closed, 'completed acknowledged'],
    ]),
    'expects no optional reply to an empty file': given(
      { plan: { totalBytes: 0, reply: 'optional' } },
      [...opened('close-session')],
    ),
    'sends a file that fits into one fragment as one': given({ plan: { totalBytes: 100 } }, [
      ...begun,
      [has(100), 'close-session'],
    ]),
    'lets fragments grow while answers are fast': given(
      { plan: { totalBytes: 4096 * MIN }, sizer: {} },
      [
        ...opened(`fragment 0-${1024 * KIB}`),
        [has(1024 * KIB), `fragment ${1024 * KIB}-${5 * 1024 * KIB}`],
      ],
    ),
  },
  'with a BITS-Host-Id (§4)': {
    'sends a Ping to the new host first, and all later packets there too': [
      ...hostBegun,
      [has(100), 'fragment 100-200 @host-id'],
      [has(200), 'fragment 200-250 @host-id'],
      [has(250), 'close-session @host-id'],
      [closed, 'completed acknowledged'],
    ],
    'closes an empty file at the new host': given({ plan: { totalBytes: 0 } }, [
      ...opened('ping @host-id', HOST),
      [pinged, 'close-session @host-id'],
    ]),
    'repeats a Ping that failed': [
      ...opened('ping @host-id', HOST),
      ...waited(lost, 'ping @host-id'),
      [pinged, 'fragment 0-100 @host-id'],
    ],
    'returns to the origin, with a Ping first, when the fallback time is over': [
      ...hostBegun,
      [has(100), 'fragment 100-200 @host-id'],
      [lost, 'wait'],
      [fallbackExpired, 'ping'],
      [pinged, probe(100)],
      [has(100), 'fragment 100-200'],
      [has(200), 'fragment 200-250'],
      [has(250), 'close-session'],
    ],
    'returns to the origin when the new host does not even answer the first Ping': [
      ...opened('ping @host-id', HOST_WITH_FALLBACK),
      [lost, 'wait'],
      [fallbackExpired, 'ping'],
      ...waited(lost, 'ping'),
      [pinged, 'fragment 0-100'],
    ],
    'starts over when the origin does not know the session of the new host': [
      ...hostBegun,
      [lost, 'wait'],
      [fallbackExpired, 'ping'],
      [pinged, PROBE_AT_0],
      [gone, 'create-session'],
      [created({}, 'two'), 'fragment 0-100'],
    ],
    'creates at the origin when the new host lost the session': [
      ...hostBegun,
      [gone, 'create-session'],
      [created(), 'fragment 0-100'],
    ],
    'forgets a suspicion against the new host when it returns to the origin': [
      ...hostBegun,
      ...waited(lost, `${PROBE_AT_0} @host-id`),
      [status(500, 'transient'), 'wait'],
      [fallbackExpired, 'ping'],
      [pinged, PROBE_AT_0],
      [status(500, 'transient'), 'wait'],
    ],
    'presumes no file at the origin that only the new host could have closed': given(
      { plan: { totalBytes: 100 } },
      [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, probe(100)],
        [gone, 'create-session'],
      ],
    ),
    'presumes no empty file that the new host never showed to know': given(
      { plan: { totalBytes: 0 } },
      [
        ...opened('ping @host-id', HOST),
        [pinged, 'close-session @host-id'],
        ...waited(lost, 'close-session @host-id'),
        [gone, 'create-session'],
      ],
    ),
    'cancels at the origin when the fallback time is over': [
      ...hostBegun,
      [cancel, 'cancel-session @host-id'],
      [lost, 'wait'],
      [fallbackExpired, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ],
    'cancels at the origin without a thought of a Close at the new host': given(
      { plan: { totalBytes: 100 } },
      [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [lost, 'wait'],
        [cancel, 'cancel-session @host-id'],
        [unsent, 'wait'],
        [fallbackExpired, 'cancel-session'],
        [gone, 'cancelled freed'],
      ],
    ),
    'resumes the download when it returns to the origin in the middle of a reply': given(
      { plan: { reply: 'required', totalBytes: 100 } },
      [
        ...hostBegun,
        [has(100, URL_OF_REPLY), DOWNLOAD],
        [lost, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, DOWNLOAD],
        [replyStored, 'close-session'],
      ],
    ),
  },
  'after the offset of the server (§2)': {
    'sends from there when it is lower than what was sent': [
      ...halfway,
      [outOfStep(50), 'fragment 50-150'],
      [has(150), 'fragment 150-250'],
      [has(250), 'close-session'],
    ],
    'sends from there when it is in the middle of a fragment': [
      ...begun,
      [has(30), 'fragment 30-130'],
      [has(130), 'fragment 130-230'],
    ],
    'makes fragments no longer than what the server took of two in a row': given(
      { plan: { totalBytes: 4 * 1024 * KIB }, sizer: {} },
      [
        ...opened(`fragment 0-${1024 * KIB}`),
        [has(64 * KIB), `fragment ${64 * KIB}-${1088 * KIB}`],
        [has(128 * KIB), `fragment ${128 * KIB}-${192 * KIB}`],
      ],
    ),
    'learns nothing about sizes from a probe': given(
      { plan: { totalBytes: 4 * 1024 * KIB }, sizer: {} },
      [
        ...opened(`fragment 0-${1024 * KIB}`),
        ...waited(lost, probe(0, 1024 * KIB)),
        [outOfStep(10), `fragment 10-${512 * KIB + 10}`],
        [has(10 + 6 * KIB), `fragment ${10 + 6 * KIB}-${518 * KIB + 10}`],
      ],
    ),
    'sends from there when it is beyond the fragment, because an earlier answer was lost': given(
      BIG,
      [
        ...bigBegun,
        ...waited(lost, BIG_PROBE_AT_0),
        [has(4 * MIN), BIG_PROBE_AT_0],
        [has(4 * MIN), piece(4, 8)],
        [has(8 * MIN), piece(8, 10)],
        [has(10 * MIN), 'close-session'],
      ],
    ),
    'sends from there when a 416 names it, too': given(BIG, [
      ...bigBegun,
      ...waited(lost, BIG_PROBE_AT_0),
      [outOfStep(4 * MIN), BIG_PROBE_AT_0],
      [outOfStep(4 * MIN), piece(4, 8)],
      [outOfStep(MIN), piece(1, 5)],
    ]),
    'closes when a 416 names the total': [
      ...atLast,
      ...waited(lost, probe(200)),
      [outOfStep(250), probe(200)],
      [outOfStep(250), 'close-session'],
    ],
    'asks a few times about one above the total, and then ends in an error': given(
      { tells: /claims to hold 251 bytes, but only 100 of the file's 250 were sent/ },
      [
        ...begun,
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), `${PROBE_AT_0} anew`],
        [has(251), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'asks a few times about one above what was sent, and then ends in an error': given(
      { tells: /claims to hold 101 bytes, but only 100/ },
      [
        ...begun,
        [outOfStep(101), `${PROBE_AT_0} anew`],
        [outOfStep(101), `${PROBE_AT_0} anew`],
        [outOfStep(101), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'believes one at exactly the end of what was sent': [
      ...halfway,
      [outOfStep(200), 'fragment 200-250'],
    ],
    'asks a few times when it brings no progress, and then ends in an error': given(
      { tells: /keeps asking for byte 0 .* drops request bodies/ },
      [
        ...begun,
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'fragment 0-100'],
        [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'ends in an error when it goes up and down without a new best': [
      ...halfway,
      [outOfStep(0), 'fragment 0-100'],
      [has(100), 'fragment 100-200'],
      [outOfStep(0), 'fragment 0-100'],
      [has(100), 'fragment 100-200'],
      [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
    ],
    'has all attempts again after progress': [
      ...begun,
      [outOfStep(0), 'fragment 0-100'],
      [outOfStep(0), 'fragment 0-100'],
      [has(100), 'fragment 100-200'],
      [outOfStep(100), 'fragment 100-200'],
      [outOfStep(100), 'fragment 100-200'],
      [outOfStep(100), 'failed BITS_ERR_PROTOCOL resumable'],
    ],
    'has all attempts again in the next session': [
      ...begun,
      [outOfStep(0), 'fragment 0-100'],
      [outOfStep(0), 'fragment 0-100'],
      [gone, 'create-session'],
      [created(), 'fragment 0-100'],
      [outOfStep(0), 'fragment 0-100'],
      [outOfStep(0), 'fragment 0-100'],
      [outOfStep(0), 'failed BITS_ERR_PROTOCOL resumable'],
    ],
    'ends in an error when the server takes a few bytes each time': given(
      { ...BIG, tells: /takes only a few bytes of each fragment/ },
      [
        ...bigBegun,
        [has(1), `fragment 1-${4 * MIN + 1}`],
        [has(2), `fragment 2-${4 * MIN + 2}`],
        [has(3), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'counts a few bytes each time as progress when they add up to 5 KiB': given(
      { plan: { ...BIG.plan, maxResyncs: 3 }, sizer: BIG.sizer },
      [
        ...bigBegun,
        [has(2000), `fragment 2000-${4 * MIN + 2000}`],
        [has(4000), `fragment 4000-${4 * MIN + 4000}`],
        [has(6000), `fragment 6000-${4 * MIN + 6000}`],
        [has(8000), `fragment 8000-${4 * MIN + 8000}`],
        [has(10_000), `fragment 10000-${4 * MIN + 10_000}`],
      ],
    ),
    'ends in an error when the server takes a few bytes and goes back, again and again': given(
      BIG,
      [
        ...bigBegun,
        [has(1), `fragment 1-${4 * MIN + 1}`],
        [outOfStep(0), piece(0, 4)],
        [has(2), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'asks on a new connection when a 200 names one that the fragment has passed already': [
      ...halfway,
      [has(100), `${probe(100)} anew`],
      [has(200), `${probe(100)} anew`],
      [has(200), 'fragment 200-250 anew'],
    ],
    'ends in an error when every 200 names one that the fragment has passed already': given(
      { tells: /keeps asking for byte 0/ },
      [
        ...halfway,
        [has(50), `${probe(100)} anew`],
        [has(100), 'fragment 100-200 anew'],
        [has(100), `${probe(100)} anew`],
        [has(100), 'fragment 100-200 anew'],
        [has(0), 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'ends in an error when the server goes back and takes a byte more each time': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      [outOfStep(1), `fragment 1-${4 * MIN + 1}`],
      [has(4 * MIN + 1), `fragment ${4 * MIN + 1}-${8 * MIN + 1}`],
      [outOfStep(2), `fragment 2-${4 * MIN + 2}`],
      [has(4 * MIN + 2), `fragment ${4 * MIN + 2}-${8 * MIN + 2}`],
      [outOfStep(3), 'failed BITS_ERR_PROTOCOL resumable'],
    ]),
    'sends no more bytes again than the budget, however much progress each fragment makes': given(
      {
        plan: { totalBytes: 10 * 1024 * KIB, maxResyncs: 3 },
        sizer: { fixedBytes: 10 * 1024 * KIB },
      },
      [
        ...opened(`fragment 0-${10 * 1024 * KIB}`),
        ...Array.from(
          { length: 14 },
          (_, at) =>
            [has((at + 1) * MIN), `fragment ${(at + 1) * MIN}-${10 * 1024 * KIB}`] as const,
        ),
        [has(15 * MIN), 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, `fragment ${15 * MIN}-${10 * 1024 * KIB}`],
      ],
    ),
    'starts over and frees the old session when a 416 names none': given(
      { tells: /whole file may be larger than the server accepts/ },
      [
        ...halfway,
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
    ),
    'halves the first fragment when a 416 names none, because another session would not help':
      given({ ...BIG, tells: /whole file may be larger than the server accepts/ }, [
        ...bigBegun,
        [outOfStep(), piece(0, 2)],
        [outOfStep(), piece(0, 1)],
        [outOfStep(), 'failed BITS_ERR_SERVER resumable'],
      ]),
    'asks for it with a probe after an interruption': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      ...waited(busy, probe(4 * MIN)),
      [has(4 * MIN), piece(4, 8)],
    ]),
    'halves the size once after an interruption, however many probes were lost': given(
      { plan: { totalBytes: 4 * 1024 * KIB }, sizer: {} },
      [
        ...opened(`fragment 0-${1024 * KIB}`),
        ...waited(lost, probe(0, 1024 * KIB)),
        ...waited(lost, probe(0, 1024 * KIB)),
        [outOfStep(MIN), probe(0, 1024 * KIB)],
        [outOfStep(MIN), `fragment ${MIN}-${MIN + 512 * KIB}`],
      ],
    ),
    'asks for it with less than the fragment that was lost': [
      ...begun,
      [lost, 'wait'],
      [retryDue, PROBE_AT_0],
    ],
  },
  'at a fragment that is too large (§3)': {
    'halves the size at each 413, down to 5 KiB': given(
      { ...BIG, tells: /whole file may be larger than the server accepts/ },
      [
        ...bigBegun,
        [tooLarge, piece(0, 2)],
        [tooLarge, piece(0, 1)],
        [tooLarge, 'failed BITS_ERR_SERVER resumable'],
      ],
    ),
    'never sends less than 5 KiB': given(
      { plan: { totalBytes: 2 * MIN }, sizer: { fixedBytes: MIN + 2 } },
      [...opened(`fragment 0-${MIN + 2}`), [tooLarge, piece(0, 1)]],
    ),
    'keeps to the smaller size in later fragments': given(BIG, [
      ...bigBegun,
      [tooLarge, piece(0, 2)],
      [has(2 * MIN), piece(2, 4)],
      [has(4 * MIN), piece(4, 6)],
    ]),
    'does not let the adaptive size grow back': given(
      { plan: { totalBytes: 100 * MIN }, sizer: { capBytes: 8 * MIN } },
      [...opened(piece(0, 8)), [tooLarge, piece(0, 4)], [has(4 * MIN, undefined, 1), piece(4, 8)]],
    ),
    'keeps to the smaller size in the next session on the same server': given(BIG, [
      ...bigBegun,
      [tooLarge, piece(0, 2)],
      [gone, 'create-session'],
      [created(), piece(0, 2)],
    ]),
    'halves the size at a 404 to a fragment larger than any that passed': given(BIG, [
      ...bigBegun,
      [maybeTooLarge, piece(0, 2)],
      [has(2 * MIN), piece(2, 4)],
    ]),
    'ends at a 404 to a fragment as large as one that passed': [
      ...halfway,
      [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
    ],
    'ends at a 404 to a large fragment that has passed before': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
    ]),
    'ends at a 404 to the smallest fragment': given(BIG, [
      ...bigBegun,
      [maybeTooLarge, piece(0, 2)],
      [maybeTooLarge, piece(0, 1)],
      [maybeTooLarge, 'failed BITS_ERR_SERVER resumable'],
    ]),
    'counts a fragment as passed only when all of it was taken': given(BIG, [
      ...bigBegun,
      [has(MIN), piece(1, 5)],
      [maybeTooLarge, piece(1, 3)],
      [has(3 * MIN), piece(3, 5)],
    ]),
  },
  'at "session not found" (§3)': {
    'on a Fragment starts over from 0, a bounded number of times': [
      ...halfway,
      [gone, 'create-session'],
      [created(), 'fragment 0-100'],
      [has(100), 'fragment 100-200'],
      [gone, 'create-session'],
      [created(), 'fragment 0-100'],
      [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
    ],
    'on a Ping, which names no session, asks with a probe': [
      ...halfway,
      ...rested,
      [gone, probe(100)],
      [has(100), 'fragment 100-200'],
    ],
    'on a Create-Session tries again, a bounded number of times': [
      [start, 'create-session'],
      [gone, 'create-session'],
      [gone, 'create-session'],
      [gone, 'failed BITS_ERR_SESSION_NOT_FOUND'],
    ],
    'on a first Close starts over from 0': [
      ...atClose,
      [gone, 'create-session'],
      [created(), 'fragment 0-100'],
    ],
    'on a Close after one whose answer was lost presumes that the file is in place': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [gone, 'completed presumed'],
    ],
    ...each(
      {
        'whose application failed': ofApplication(500, 'transient', 0x80004005),
        'that failed with no more than a status': status(500, 'transient', 0x801901f4),
      },
      (which) => `on a Close after one ${which} presumes that the file is in place`,
      (failed) => [...atClose, ...waited(failed, 'close-session'), [gone, 'completed presumed']],
    ),
    'on a Close after one that was cut by a suspend presumes that the file is in place': [
      ...atClose,
      ...rested,
      [pinged, 'close-session'],
      [gone, 'completed presumed'],
    ],
    'on a Close after one that was refused starts over from 0': [
      ...atClose,
      [denied, 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, probe(250)],
      [gone, 'create-session'],
    ],
    'on a first Close starts over even with the reply stored, because the file is not in place':
      given({ plan: { reply: 'required' } }, [
        ...atReply,
        [replyStored, 'close-session'],
        [gone, 'create-session'],
      ]),
    'on a Close after one that reached no server starts over': [
      ...atClose,
      [unsent, 'wait'],
      [retryDue, 'close-session'],
      [gone, 'create-session'],
    ],
    'finds out with a probe whether a missing reply means a lost session': given(
      { plan: { reply: 'required' } },
      [
        ...atReply,
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, probe(250)],
        [gone, 'create-session'],
      ],
    ),
    'does not ask again about a missing reply once the last fragment was answered': given(
      { plan: { reply: 'required' } },
      [
        ...atReply,
        ...rested,
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, probe(250)],
        [has(250), 'fragment 0-250'],
        [has(250, URL_OF_REPLY), `download ${URL_OF_REPLY}`],
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
      ],
    ),
    'starts over without a missing reply when no fragment may be sent twice to ask about it': given(
      { plan: { reply: 'required', onUncertainFragment: 'restart', maxRestarts: 1 } },
      [
        ...atReply,
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'cancel-session'],
        [gone, 'create-session'],
      ],
    ),
    'starts over without a missing reply of a file that is too short for a probe': given(
      { plan: { reply: 'required', totalBytes: 1, maxRestarts: 0 } },
      [
        ...opened('fragment 0-1'),
        [has(1, URL_OF_REPLY), `download ${URL_OF_REPLY}`],
        ...rested,
        [pinged, `download ${URL_OF_REPLY}`],
        [replyGone, 'failed BITS_ERR_REPLY resumable'],
      ],
    ),
    'on a Cancel counts the session as freed': [
      ...begun,
      [cancel, 'cancel-session'],
      [gone, 'cancelled freed'],
    ],
    'on a Cancel after a Close whose answer was lost presumes that the Close worked': [
      ...atClose,
      [cancel, 'cancel-session'],
      [gone, 'completed presumed'],
    ],
    'on a second Cancel attributes it to the first Cancel and not to the Close': [
      ...atClose,
      [cancel, 'cancel-session'],
      ...waited(lost, 'cancel-session'),
      [gone, 'cancelled freed'],
    ],
    'on a second Cancel, after one that was refused, still presumes that the Close worked': [
      ...atClose,
      [cancel, 'cancel-session'],
      ...waited(status(503, 'transient'), 'cancel-session'),
      [gone, 'completed presumed'],
    ],
    'on a second Cancel, after one that failed in the middle, does not presume the Close': [
      ...atClose,
      [cancel, 'cancel-session'],
      ...waited(status(500, 'transient'), 'cancel-session'),
      [gone, 'cancelled freed'],
    ],
    'on a second Cancel, after one that a gateway gave up, does not presume the Close': [
      ...atClose,
      [cancel, 'cancel-session'],
      ...waited(status(504, 'transient'), 'cancel-session'),
      [gone, 'cancelled freed'],
    ],
    'on the Cancel for a changed file never counts the upload as completed': [
      ...atClose,
      [sourceChanged, 'cancel-session'],
      [gone, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
    'leaves no doubt about a Close behind for the next session': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [cancel, 'cancel-session'],
      [lost, 'wait'],
      ...rested,
      [pinged, 'close-session'],
      [gone, 'create-session'],
      [created(), 'fragment 0-100'],
      [has(100), 'fragment 100-200'],
      [has(200), 'fragment 200-250'],
      [has(250), 'close-session'],
      [gone, 'create-session'],
    ],
  },
  'when a session may be forgotten': {
    'starts over after a connection that was refused, as by a server that is restarted': [
      ...begun,
      ...waited(unsent, 'fragment 0-100'),
      [status(400, 'fatal'), 'ping'],
      [pinged, 'cancel-session'],
      [cancelled, 'create-session'],
    ],
    'starts over after a 400 without HRESULT when a Ping works': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      [status(400, 'fatal'), 'ping'],
      [pinged, 'cancel-session'],
      [cancelled, 'create-session'],
      [created(), 'fragment 0-100'],
    ],
    'starts over after a 404 without HRESULT when a Ping works': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      [maybeTooLarge, 'ping'],
      ...waited(lost, 'ping'),
      [pinged, 'cancel-session'],
      [cancelled, 'create-session'],
    ],
    'starts over after a second 500 without HRESULT when a Ping works': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      ...waited(status(500, 'transient'), PROBE_AT_0),
      [status(500, 'transient'), 'ping'],
      [pinged, 'cancel-session'],
      [cancelled, 'create-session'],
    ],
    'suspects nothing when a fragment passes between two 500s': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      ...waited(status(500, 'transient'), PROBE_AT_0),
      [outOfStep(100), PROBE_AT_0],
      [outOfStep(100), 'fragment 100-200'],
      ...waited(lost, probe(100)),
      [status(500, 'transient'), 'wait'],
    ],
    'suspects nothing without an interruption and an error header': [
      ...begun,
      [status(400, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
    ],
    'suspects nothing when every request is answered, however often with 500': [
      ...begun,
      ...waited(status(500, 'transient'), PROBE_AT_0),
      ...waited(status(500, 'transient'), PROBE_AT_0),
      [status(500, 'transient'), 'wait'],
    ],
    'suspects nothing at a first 500': [...begun, [status(500, 'transient'), 'wait']],
    'suspects nothing when an HRESULT says what is wrong': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      [status(404, 'fatal', 0x80070005), 'failed BITS_ERR_SERVER resumable'],
    ],
    'suspects nothing when the application fails, which has the upload from the server': [
      ...atLast,
      ...waited(ofApplication(500, 'transient'), probe(200)),
      ...waited(ofApplication(500, 'transient'), probe(200)),
    ],
    'suspects nothing at another status': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      [status(403, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
    ],
    'suspects nothing when no answer comes at all': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      ...waited(lost, PROBE_AT_0),
    ],
    'ends in an error that explains it, after a bounded number of restarts': given(
      { plan: { maxRestarts: 0 }, tells: /answers a Ping and refuses whatever names the session/ },
      [
        ...begun,
        ...waited(lost, PROBE_AT_0),
        [status(400, 'fatal'), 'ping'],
        [pinged, 'failed BITS_ERR_PROTOCOL resumable'],
      ],
    ),
    'does not carry the suspicion over to the next session': [
      ...halfway,
      ...waited(lost, probe(100)),
      ...waited(status(500, 'transient'), probe(100)),
      [outOfStep(), 'cancel-session'],
      [cancelled, 'create-session'],
      [created(HOST), 'ping @host-id'],
      [pinged, 'fragment 0-100 @host-id'],
    ],
    'drops the suspicion when it is resumed': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      [status(500, 'transient'), 'wait'],
      ...rested,
      [pinged, PROBE_AT_0],
      [status(500, 'transient'), 'wait'],
    ],
    'starts over after a 400 with an error header that says nothing, without an interruption': [
      ...halfway,
      [unknown(400), 'ping'],
      [pinged, 'cancel-session'],
      [unknown(400), 'create-session'],
      [created(), 'fragment 0-100'],
    ],
    'starts over when a BITS server refuses the Ping, too, without a reason': [
      ...halfway,
      [unknown(400), 'ping'],
      [unknown(400), 'cancel-session'],
    ],
    'keeps the session and the first error when something else refuses the Ping, too': [
      ...halfway,
      [unknown(400), 'ping'],
      [status(404, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, probe(100)],
    ],
    ...each(
      { 'with 500': unknown(500), 'with 503': busy, 'with no answer': lost, unsent },
      (how) =>
        `keeps a session when the server fails the Ping, too, which explains its 500s: ${how}`,
      (failed) => [
        ...halfway,
        ...waited(unknown(500), probe(100)),
        [unknown(500), 'ping'],
        ...waited(failed, probe(100)),
        ...waited(unknown(500), probe(100)),
        [has(100), 'fragment 100-200'],
      ],
    ),
    'begins the two probes again after that': [
      ...halfway,
      ...waited(unknown(500), probe(100)),
      [outOfStep(150), probe(100)],
      [unknown(500), 'ping'],
      ...waited(busy, probe(100)),
      [outOfStep(150), probe(100)],
      [outOfStep(150), 'fragment 150-250'],
    ],
    'takes a connection that has ended for no failure of the server': [
      ...halfway,
      ...waited(unknown(500), probe(100)),
      [unknown(500), 'ping'],
      [stale, 'ping anew'],
      [pinged, 'cancel-session anew'],
    ],
    'waits when the server is too busy for the Ping': [
      ...halfway,
      [unknown(400), 'ping'],
      ...waited(busy, 'ping'),
      [pinged, 'cancel-session'],
    ],
  },
  'at an answer that is not an Ack (§1)': {
    'ends when it is the answer to the first packet': [
      [start, 'create-session'],
      [notBits, 'failed BITS_ERR_NOT_BITS'],
    ],
    'tries again once a packet has succeeded': [
      ...begun,
      ...waited(notBits, PROBE_AT_0),
      [gone, 'create-session'],
      ...waited(notBits, 'create-session'),
    ],
    'tries again a Ping and a Close': given({ plan: { totalBytes: 0 } }, [
      ...opened('ping @host-id', HOST),
      ...waited(notBits, 'ping @host-id'),
      [pinged, 'close-session @host-id'],
      ...waited(notBits, 'close-session @host-id'),
    ]),
    'does not count it as a Cancel': [...begun, [cancel, 'cancel-session'], [notBits, 'cancelled']],
  },
  'at a temporary refusal (§3)': {
    'repeats a Create-Session': [
      [start, 'create-session'],
      ...waited(busy, 'create-session'),
      ...waited(lost, 'create-session'),
    ],
    'repeats a Close': [
      ...atClose,
      ...waited(busy, 'close-session'),
      [closed, 'completed acknowledged'],
    ],
    'repeats a download': given({ plan: { reply: 'required' } }, [
      ...atReply,
      [lost, 'wait'],
      [retryDue, DOWNLOAD],
    ]),
    'repeats a Cancel, a bounded number of times': [
      ...begun,
      [cancel, 'cancel-session'],
      ...waited(lost, 'cancel-session'),
      ...waited(busy, 'cancel-session'),
      [lost, 'cancelled'],
    ],
  },
  'at a final refusal (§3)': {
    'of a Create-Session ends without a session': [
      [start, 'create-session'],
      [denied, 'failed BITS_ERR_SERVER'],
    ],
    'of a Fragment keeps the session': [
      ...begun,
      [denied, 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, 'fragment 0-100'],
    ],
    'of the application follows a Fragment that was taken, so its offset is in doubt': [
      ...atLast,
      [ofApplication(403, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, probe(200)],
      [outOfStep(250), probe(200)],
      [outOfStep(250), 'close-session'],
    ],
    'of credentials for a Ping keeps the session': [
      ...begun,
      ...rested,
      [status(401, 'unauthorized'), 'failed BITS_ERR_SERVER resumable'],
    ],
    'of a Ping shows that the server can be reached, so the next packet decides': [
      ...begun,
      ...rested,
      [denied, PROBE_AT_0],
      [outOfStep(100), PROBE_AT_0],
      [outOfStep(100), 'fragment 100-200'],
    ],
    'of a Ping that may pass shows the same': [
      ...opened('ping @host-id', HOST),
      [busy, 'fragment 0-100 @host-id'],
    ],
    'of a Close does not repeat it': [
      ...atClose,
      [status(409, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
    ],
    'of a Cancel does not repeat it': [
      ...begun,
      [cancel, 'cancel-session'],
      [status(409, 'fatal'), 'cancelled'],
    ],
    'of a download keeps the session and its reply': given({ plan: { reply: 'required' } }, [
      ...atReply,
      [denied, 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, DOWNLOAD],
      [replyStored, 'close-session'],
    ]),
    ...each(
      {
        unauthorized: status(404, 'unauthorized'),
        redirect: status(404, 'redirect'),
        'maybe-too-large': maybeTooLarge,
        'fragment-too-large': tooLarge,
      },
      (meaning) => `also ends a Create-Session when the refusal is ${meaning}`,
      (refused) => [
        [start, 'create-session'],
        [refused, 'failed BITS_ERR_SERVER'],
      ],
    ),
  },
  'in an upload-reply (§5)': {
    'downloads the reply that the last answer names, and only then closes': given(
      { plan: { reply: 'required' } },
      [...atReply, [replyStored, 'close-session'], [closed, 'completed acknowledged']],
    ),
    'downloads the reply that a 416 at the end names': given({ plan: { reply: 'required' } }, [
      ...atLast,
      [outOfStep(250, URL_OF_REPLY), DOWNLOAD],
    ]),
    'ignores a reply URL before the end': given({ plan: { reply: 'required' } }, [
      ...begun,
      [has(100, 'too-early'), 'fragment 100-200'],
      [has(200), 'fragment 200-250'],
      [has(250), 'failed BITS_ERR_REPLY resumable'],
    ]),
    'ends in an error when the last answer names no reply and one is required': given(
      { plan: { reply: 'required' }, tells: /no BITS-Reply-URL.*BITSServerNotificationType/ },
      [...atLast, [has(250), 'failed BITS_ERR_REPLY resumable']],
    ),
    'asks with the end of the file, after a probe, when it is resumed after that error': given(
      { plan: { reply: 'required' } },
      [
        ...atLast,
        [has(250), 'failed BITS_ERR_REPLY resumable'],
        [resume, 'ping'],
        [pinged, 'fragment 0-249'],
        [has(250), 'fragment 0-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    ),
    'closes when the last answer names no reply and one is optional': given(
      { plan: { reply: 'optional' } },
      [...atLast, [has(250), 'close-session']],
    ),
    'downloads an optional reply': given({ plan: { reply: 'optional' } }, [
      ...atReply,
      [replyStored, 'close-session'],
    ]),
    'does not download a reply that was not requested': [
      ...atLast,
      [has(250, URL_OF_REPLY), 'close-session'],
    ],
    'asks with the end of the file, not with a whole fragment, when the last answer was lost':
      given({ plan: { totalBytes: 8 * MIN, reply: 'required' }, sizer: BIG.sizer }, [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        ...waited(lost, probe(4 * MIN)),
        [outOfStep(8 * MIN), probe(4 * MIN)],
        [outOfStep(8 * MIN), `fragment ${8 * MIN - 2560}-${8 * MIN}`],
        [has(8 * MIN, URL_OF_REPLY), DOWNLOAD],
      ]),
    'downloads at once when the probe is told the reply': given(
      { plan: { totalBytes: 8 * MIN, reply: 'required' }, sizer: BIG.sizer },
      [
        ...bigBegun,
        [has(4 * MIN), piece(4, 8)],
        ...waited(lost, probe(4 * MIN)),
        [has(8 * MIN, URL_OF_REPLY), probe(4 * MIN)],
        [has(8 * MIN, URL_OF_REPLY), DOWNLOAD],
      ],
    ),
    'waits between two requests for a reply that the server has not made yet': given(
      { plan: { reply: 'required' } },
      [
        ...atLast,
        [outOfStep(250), 'fragment 0-250'],
        [outOfStep(250), 'wait reply'],
        [retryDue, 'fragment 0-250'],
        [outOfStep(250), 'wait reply'],
        [retryDue, 'fragment 0-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    ),
    'sends again what the server lost after its last answer': given(
      { plan: { reply: 'required' } },
      [
        ...atLast,
        [outOfStep(250), 'fragment 0-250'],
        [outOfStep(100), 'fragment 100-200'],
        [has(200), 'fragment 200-250'],
        [has(250, URL_OF_REPLY), DOWNLOAD],
      ],
    ),
  },
  'with onUncertainFragment: restart': {
    'cancels the session and starts over, a bounded number of times': given(
      { plan: { onUncertainFragment: 'restart' } },
      [
        ...halfway,
        ...waited(lost, 'cancel-session'),
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        ...waited(notBits, 'cancel-session'),
        [denied, 'create-session'],
        [created(), 'fragment 0-100'],
        [lost, 'failed BITS_ERR_TRANSPORT resumable'],
      ],
    ),
    'cancels when it is resumed after a suspend in a fragment': given(
      { plan: { onUncertainFragment: 'restart' } },
      [...begun, ...rested, [pinged, 'cancel-session'], [cancelled, 'create-session']],
    ),
    'believes an answer, whatever offset it names': given(
      { plan: { onUncertainFragment: 'restart' } },
      [...begun, [has(30), 'fragment 30-130'], [outOfStep(20), 'fragment 20-120']],
    ),
    'repeats a Create-Session and a Close as usual': given(
      { plan: { onUncertainFragment: 'restart', totalBytes: 0 } },
      [
        [start, 'create-session'],
        ...waited(lost, 'create-session'),
        [created(), 'close-session'],
        ...waited(lost, 'close-session'),
      ],
    ),
    'may be suspended and cancelled while it frees the old session': given(
      { plan: { onUncertainFragment: 'restart' } },
      [
        ...begun,
        ...waited(lost, 'cancel-session'),
        ...rested,
        [pinged, 'cancel-session'],
        [cancel, 'cancel-session'],
        [cancelled, 'cancelled freed'],
      ],
    ),
    'does not start over when the caller gives up while the old session is freed': given(
      { plan: { onUncertainFragment: 'restart' } },
      [
        ...begun,
        ...waited(lost, 'cancel-session'),
        [lost, 'wait'],
        [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
        [resume, 'ping'],
        [pinged, 'cancel-session'],
      ],
    ),
  },
  'when it is suspended and resumed (§2)': {
    'before the start sends nothing, and resumes with a Ping': [
      ...rested,
      [pinged, 'create-session'],
    ],
    'while creating resumes with a Ping and a new Create-Session': [
      [start, 'create-session'],
      ...rested,
      [pinged, 'create-session'],
    ],
    'while pinging resumes with a Ping to the same host': [
      ...opened('ping @host-id', HOST),
      [suspend, 'pause'],
      [resume, 'ping @host-id'],
      [pinged, 'fragment 0-100 @host-id'],
    ],
    'in a fragment asks for the offset first': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      ...rested,
      [pinged, probe(4 * MIN)],
    ]),
    'in a back-off asks for the offset first': given(BIG, [
      ...bigBegun,
      [lost, 'wait'],
      ...rested,
      [pinged, BIG_PROBE_AT_0],
    ]),
    'in a download resumes the download': given({ plan: { reply: 'required' } }, [
      ...atReply,
      ...rested,
      [pinged, DOWNLOAD],
      [replyStored, 'close-session'],
    ]),
    'in a Close repeats the Close': [
      ...atClose,
      ...rested,
      [pinged, 'close-session'],
      [closed, 'completed acknowledged'],
    ],
    'counts restarts and resyncs from 0': [
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
  'when it is cancelled (§2)': {
    'before the start has nothing to free': [[cancel, 'cancelled freed']],
    'while creating cannot free the session that the server may have made': [
      [start, 'create-session'],
      [cancel, 'cancelled'],
    ],
    'in the back-off of a Create-Session has nothing to free': [
      [start, 'create-session'],
      [busy, 'wait'],
      [cancel, 'cancelled freed'],
    ],
    'while pinging frees the session': [
      ...opened('ping @host-id', HOST),
      [cancel, 'cancel-session @host-id'],
      [cancelled, 'cancelled freed'],
    ],
    'in a fragment frees the session': [
      ...begun,
      [cancel, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ],
    'in a back-off frees the session': [
      ...begun,
      [lost, 'wait'],
      [cancel, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ],
    'in a download frees the session': given({ plan: { reply: 'required' } }, [
      ...atReply,
      [cancel, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ]),
    'in a Close frees the session': [
      ...atClose,
      [cancel, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ],
    'while suspended frees the session': [
      ...begun,
      [suspend, 'pause'],
      [cancel, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ],
    'after an error frees the session': [
      ...begun,
      [denied, 'failed BITS_ERR_SERVER resumable'],
      [cancel, 'cancel-session'],
      [cancelled, 'cancelled freed'],
    ],
    'again while cancelling counts the attempts from 0': given({ plan: { maxCancelAttempts: 2 } }, [
      ...begun,
      [cancel, 'cancel-session'],
      [lost, 'wait'],
      [cancel, 'cancel-session'],
      ...waited(lost, 'cancel-session'),
      [lost, 'cancelled'],
    ]),
    'gives up when the caller does': [
      ...begun,
      [cancel, 'cancel-session'],
      [lost, 'wait'],
      [gaveUp, 'cancelled'],
    ],
  },
  'when the source changes': {
    'while creating fails without a packet': [
      [start, 'create-session'],
      [sourceChanged, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
    'while pinging cancels the session': [
      ...opened('ping @host-id', HOST),
      [sourceChanged, 'cancel-session @host-id'],
      [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
    'in a fragment cancels the session, and cannot be resumed': [
      ...begun,
      [sourceChanged, 'cancel-session'],
      [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
    'fails also when it cannot cancel the session': given({ plan: { maxCancelAttempts: 2 } }, [
      ...begun,
      [sourceChanged, 'cancel-session'],
      ...waited(lost, 'cancel-session'),
      [lost, 'failed BITS_ERR_SOURCE_CHANGED'],
    ]),
    'in a download cancels the session': given({ plan: { reply: 'required' } }, [
      ...atReply,
      [sourceChanged, 'cancel-session'],
      [gone, 'failed BITS_ERR_SOURCE_CHANGED'],
    ]),
    'before the Close cancels the session': [
      ...atClose,
      [sourceChanged, 'cancel-session'],
      [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
    'while suspended cancels the session': [
      ...begun,
      [suspend, 'pause'],
      [sourceChanged, 'cancel-session'],
      [cancelled, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
    'after an error without a session fails at once': [
      [start, 'create-session'],
      [denied, 'failed BITS_ERR_SERVER'],
      [sourceChanged, 'failed BITS_ERR_SOURCE_CHANGED'],
    ],
  },
  'when the caller gives up': {
    'cannot be resumed without a session': [
      [start, 'create-session'],
      [lost, 'wait'],
      [gaveUp, 'failed BITS_ERR_NO_PROGRESS'],
    ],
    'can be resumed with a session, beginning with a Ping': [
      ...begun,
      [lost, 'wait'],
      [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
      [resume, 'ping'],
      [pinged, PROBE_AT_0],
    ],
    'while a request is on the wire has its effect in doubt': given(BIG, [
      ...bigBegun,
      [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
      [resume, 'ping'],
      [pinged, BIG_PROBE_AT_0],
    ]),
    'in a Close has the Close in doubt': [
      ...atClose,
      [lost, 'wait'],
      [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
      [resume, 'ping'],
      [pinged, 'close-session'],
      [gone, 'completed presumed'],
    ],
  },
  'with a server that appends blindly': {
    'starts over when it acknowledges the end of a probe': [
      ...halfway,
      ...waited(lost, probe(100)),
      [has(99), 'cancel-session'],
      [cancelled, 'create-session'],
      [created(), 'fragment 0-100'],
    ],
    'starts over when a second probe shows that it appended the first one': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      ...waited(lost, probe(4 * MIN)),
      [has(4 * MIN + 2560), probe(4 * MIN)],
      [has(4 * MIN + 2 * 2560), 'cancel-session'],
    ]),
    'starts over when it acknowledges a part of a probe, which brings it nothing new': [
      ...halfway,
      ...waited(lost, probe(100)),
      [has(1), 'cancel-session'],
    ],
    'starts over a few times when it takes a part of the beginning of the file, which no lost answer explains':
      {
        plan: { maxRestarts: 2 },
        script: [
          ...begun,
          ...waited(lost, PROBE_AT_0),
          [has(1), 'cancel-session'],
          [cancelled, 'create-session'],
          [created(), 'fragment 0-100'],
          ...waited(lost, PROBE_AT_0),
          ...waited(has(2), 'cancel-session'),
          [cancelled, 'create-session'],
          [created(), 'fragment 0-100'],
          ...waited(lost, PROBE_AT_0),
          [has(3), 'failed BITS_ERR_PROTOCOL resumable'],
        ],
        tells: /takes only a few bytes of each fragment/,
      },
    'starts over when it twice accepts bytes and says that it does not have them': [
      ...halfway,
      [has(0), `${probe(100)} anew`],
      [has(0), `${probe(100)} anew`],
      [has(0), 'cancel-session anew'],
      [cancelled, 'create-session anew'],
    ],
    'starts over when it accepts the beginning of the file and says that it has nothing': [
      ...begun,
      [has(0), 'fragment 0-99 anew'],
      [has(0), 'cancel-session anew'],
    ],
    'tells it from one that holds a part of the fragment by a second probe': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      ...waited(lost, probe(4 * MIN)),
      [has(5 * MIN), probe(4 * MIN)],
      [has(5 * MIN), piece(5, 9)],
    ]),
    'begins the two probes again when one of them is lost': given(BIG, [
      ...bigBegun,
      [has(4 * MIN), piece(4, 8)],
      ...waited(lost, probe(4 * MIN)),
      [has(4 * MIN + 2560), probe(4 * MIN)],
      ...waited(lost, probe(4 * MIN)),
      [has(4 * MIN + 3 * 2560), probe(4 * MIN)],
      [has(4 * MIN + 4 * 2560), 'cancel-session'],
    ]),
    'starts over at once, and does not count it, when the first fragment is in doubt': given(
      { plan: { maxRestarts: 0 } },
      [
        ...begun,
        ...waited(lost, PROBE_AT_0),
        [has(99), 'cancel-session'],
        [cancelled, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'fragment 100-200'],
      ],
    ),
    'waits before it starts over from the first fragment once more': [
      ...begun,
      ...waited(lost, PROBE_AT_0),
      [has(99), 'cancel-session'],
      [cancelled, 'create-session'],
      [created(), 'fragment 0-100'],
      ...waited(lost, PROBE_AT_0),
      ...waited(has(99), 'cancel-session'),
      [cancelled, 'create-session'],
    ],
    'starts over without a probe when there are no bytes to probe with': given(
      { plan: { totalBytes: 1 } },
      [
        ...opened('fragment 0-1'),
        ...waited(lost, 'cancel-session'),
        [cancelled, 'create-session'],
        [created(), 'fragment 0-1'],
        [has(1), 'close-session'],
      ],
    ),
    'ends in an error after a bounded number of restarts, and may then be resumed': given(
      { plan: { maxRestarts: 0 } },
      [
        ...halfway,
        ...waited(lost, probe(100)),
        [has(99), 'failed BITS_ERR_PROTOCOL resumable'],
        [resume, 'ping'],
        [pinged, 'cancel-session'],
      ],
    ),
    'probes with no byte below an offset of 1, where there is nothing to repeat': [
      ...begun,
      [has(1), 'fragment 1-101'],
      ...waited(lost, 'fragment 1-100'),
      [has(100), 'cancel-session'],
      [cancelled, 'create-session'],
    ],
    'starts over when a probe is refused as malformed': [
      ...halfway,
      ...waited(lost, probe(100)),
      [status(400, 'fatal', 0x80070057), 'cancel-session'],
    ],
    'cancels no session that a probe shows to be gone, whatever the status': [
      ...halfway,
      ...waited(lost, probe(100)),
      [goneWith(400), 'create-session'],
    ],
  },
  'when a Close may be forgotten': {
    'presumes the file after a 4xx without HRESULT to a second Close when a Ping works': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [unknown(400), 'ping'],
      [pinged, 'completed presumed'],
    ],
    'presumes the file after a second 500 without HRESULT when a Ping works': [
      ...atClose,
      ...waited(lost, 'close-session'),
      ...waited(unknown(500), 'close-session'),
      [unknown(500), 'ping'],
      [pinged, 'completed presumed'],
    ],
    'presumes nothing after a second 500 when the server fails the Ping, too': [
      ...atClose,
      ...waited(lost, 'close-session'),
      ...waited(unknown(500), 'close-session'),
      [unknown(500), 'ping'],
      ...waited(unknown(500), 'close-session'),
      [closed, 'completed acknowledged'],
    ],
    'sends no byte of a complete file again for that': given({ plan: { totalBytes: 1 } }, [
      ...opened('fragment 0-1'),
      [has(1), 'close-session'],
      ...rested,
      ...waited(lost, 'ping'),
      [pinged, 'close-session'],
      [denied, 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, 'close-session'],
      ...waited(unknown(500), 'close-session'),
      [unknown(500), 'ping'],
      ...waited(unknown(500), 'close-session'),
    ]),
    'presumes the file when it is resumed after a Close whose answer was lost': [
      ...atClose,
      ...rested,
      [pinged, 'close-session'],
      [status(404, 'fatal'), 'ping'],
      [pinged, 'completed presumed'],
    ],
    'presumes nothing when no answer to a Close was lost': [
      ...atClose,
      ...waited(unknown(500), 'close-session'),
      ...waited(unknown(500), 'close-session'),
      [unknown(500), 'wait'],
    ],
    'presumes nothing at a second Close when its status says what is wrong': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [status(413, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
    ],
    ...each(
      { 403: status(403, 'fatal'), 409: status(409, 'fatal') },
      (code) =>
        `presumes nothing at a second Close that a ${code} refuses, for a file may be in the way`,
      (refused) => [
        ...atClose,
        ...waited(lost, 'close-session'),
        [refused, 'failed BITS_ERR_SERVER resumable'],
      ],
    ),
    'starts over when a resumed session cannot be closed for a second 500 while a Ping works': [
      ...atClose,
      [status(500, 'transient'), 'wait'],
      [gaveUp, 'failed BITS_ERR_NO_PROGRESS resumable'],
      [resume, 'ping'],
      [pinged, 'close-session'],
      ...waited(status(500, 'transient'), 'close-session'),
      [status(500, 'transient'), 'ping'],
      [pinged, 'cancel-session'],
      [cancelled, 'create-session'],
    ],
    'presumes nothing at a first 4xx': [
      ...atClose,
      [unknown(400), 'failed BITS_ERR_SERVER resumable'],
    ],
    'presumes nothing when an HRESULT says what is wrong': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [denied, 'failed BITS_ERR_SERVER resumable'],
    ],
    'presumes nothing when the credentials are refused, or the server is busy': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [status(429, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
      [resume, 'ping'],
      [pinged, 'close-session'],
      [status(401, 'unauthorized'), 'failed BITS_ERR_SERVER resumable'],
    ],
    'presumes nothing when a Ping is refused as well': [
      ...atClose,
      ...waited(lost, 'close-session'),
      [status(404, 'fatal'), 'ping'],
      [status(404, 'fatal'), 'failed BITS_ERR_SERVER resumable'],
    ],
    'presumes nothing when a Cancel may have ended the session': [
      ...atClose,
      [cancel, 'cancel-session'],
      ...waited(lost, 'cancel-session'),
      [unknown(400), 'cancelled freed'],
    ],
    'ends for good when the server refuses to close an empty file': given(
      { plan: { totalBytes: 0 }, tells: /does not store empty files/ },
      [
        ...opened('close-session'),
        [status(416, 'fatal'), 'cancel-session'],
        [cancelled, 'failed BITS_ERR_SERVER'],
      ],
    ),
  },
  'on a connection that was used before': {
    'sends each packet once more at once when the connection ended before the answer': [
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
    'sends a Ping, a download and a Cancel once more, too': given({ plan: { reply: 'required' } }, [
      ...atReply,
      ...rested,
      [stale, 'ping anew'],
      [pinged, DOWNLOAD],
      [stale, DOWNLOAD],
      [cancel, 'cancel-session anew'],
      [stale, 'wait'],
    ]),
    'waits when that happens again before any progress': [
      ...halfway,
      [stale, `${probe(100)} anew`],
      [has(100), 'fragment 100-200 anew'],
      [stale, 'wait'],
    ],
    'does not reduce the size of fragments for it': given(
      { plan: { totalBytes: 8 * 1024 * KIB }, sizer: { capBytes: 1024 * KIB } },
      [
        ...opened(`fragment 0-${1024 * KIB}`),
        [has(1024 * KIB), `fragment ${1024 * KIB}-${2048 * KIB}`],
        [stale, `${probe(1024 * KIB)} anew`],
        [has(1024 * KIB), `fragment ${1024 * KIB}-${2048 * KIB} anew`],
      ],
    ),
    'starts over once at once, and on new connections, when the first fragment meets it': [
      ...begun,
      [stale, `${PROBE_AT_0} anew`],
      [has(99), 'cancel-session anew'],
      [cancelled, 'create-session anew'],
      [created(), 'fragment 0-100 anew'],
      [has(100), 'fragment 100-200'],
    ],
    'presumes a Close that it swallowed': [
      ...atClose,
      [stale, 'close-session anew'],
      [gone, 'completed presumed'],
    ],
    'asks again on a new connection when an ack does not fit its packet': [
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
    'never completes by an ack that does not fit, when the Close is refused': [
      ...atClose,
      [misfit, 'close-session anew'],
      [denied, 'failed BITS_ERR_SERVER resumable'],
    ],
    'ends in an error when the ack on a new connection does not fit either': [
      [start, 'create-session'],
      [misfit, 'create-session anew'],
      [misfit, 'failed BITS_ERR_PROTOCOL'],
    ],
    'keeps a session whose Close is not acknowledged properly': [
      ...atClose,
      [misfit, 'close-session anew'],
      [misfit, 'failed BITS_ERR_PROTOCOL resumable'],
      [resume, 'ping anew'],
      [pinged, 'close-session'],
      [gone, 'completed presumed'],
    ],
    'counts no ack that does not fit as a Cancel': [
      ...begun,
      [cancel, 'cancel-session'],
      [misfit, 'cancel-session anew'],
      [misfit, 'cancelled'],
    ],
  },
  'with a transport that may send a request again': {
    'presumes the file when the session is not found at a first Close': given(
      { plan: { mayResend: true } },
      [...atClose, [gone, 'completed presumed']],
    ),
    'presumes the file after a 400 without HRESULT to a first Close when a Ping works': given(
      { plan: { mayResend: true } },
      [...atClose, [unknown(400), 'ping'], [pinged, 'completed presumed']],
    ),
    'presumes nothing of a session that was not found after a rest or at another server': given(
      { plan: { mayResend: true, totalBytes: 100 } },
      [
        ...hostBegun,
        [has(100), 'close-session @host-id'],
        [unsent, 'wait'],
        [fallbackExpired, 'ping'],
        [pinged, probe(100)],
        [gone, 'create-session'],
        [created(), 'fragment 0-100'],
        [has(100), 'close-session'],
        [busy, 'wait'],
        ...rested,
        [pinged, 'close-session'],
        [denied, 'failed BITS_ERR_SERVER resumable'],
        [resume, 'ping'],
        [pinged, probe(100)],
        [gone, 'create-session'],
      ],
    ),
    'presumes nothing of a session that was not found after no connection could be made': given(
      { plan: { mayResend: true } },
      [...atClose, ...waited(unsent, 'close-session'), [gone, 'create-session']],
    ),
    'presumes the file when a reply came after the silence, which shows the session': given(
      { plan: { mayResend: true, reply: 'required' } },
      [
        ...atReply,
        ...waited(lost, DOWNLOAD),
        [replyStored, 'close-session'],
        [gone, 'completed presumed'],
      ],
    ),
    'presumes nothing of an empty file that a host-id knows nothing of': given(
      { plan: { mayResend: true, totalBytes: 0 } },
      [
        ...opened('ping @host-id', HOST),
        [pinged, 'close-session @host-id'],
        [gone, 'create-session'],
      ],
    ),
    'starts over when the session is not found before': given({ plan: { mayResend: true } }, [
      ...atLast,
      [gone, 'create-session'],
    ]),
  },
};
