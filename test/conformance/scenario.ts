import fc from 'fast-check';
import type { Fault, FaultAction } from '../../src/testing/index.js';

const KIB = 1024;

/** What happens to the client or the server after so many requests. */
export interface Incident {
  readonly atRequest: number;
  readonly what:
    | 'suspend'
    | 'abort'
    | 'cancel'
    | 'kill'
    | 'restart-server'
    | 'sleep'
    | 'clock-set-back';
}

/** One upload in a hostile world, as data. */
export interface Scenario {
  readonly seed: number;
  readonly bytes: number;
  readonly source: 'file' | 'bytes' | 'blob' | 'stream' | 'web-stream' | 'iterable';
  readonly fragmentBytes: number | undefined;
  readonly overlap: 'strict' | 'accept' | 'append';
  readonly omitSessionIdOnAck: boolean;
  readonly maxFragmentBytes: number | undefined;
  readonly onUncertainFragment: 'resend' | 'restart';
  /** The transport sends a request again by itself, as Chromium does. */
  readonly mayResend: boolean;
  readonly store: 'none' | 'memory' | 'file';
  readonly restoreById: boolean;
  /** `self`: another name of the same server; `stranger`: a server that does not know the session. */
  readonly hostId: 'none' | 'self' | 'stranger';
  readonly reply:
    | undefined
    | {
        readonly to: 'memory' | 'file';
        readonly optional: boolean;
        readonly bytes: number;
        readonly url: 'relative' | 'absolute';
        readonly bytesPerSecond: number | undefined;
        readonly changes: number;
        readonly again: boolean;
        /** How long the server's application takes. */
        readonly takesMs: number;
      };
  readonly faults: readonly Fault[];
  readonly incidents: readonly Incident[];
}

const status = (more: object = {}) =>
  fc.record({
    status: fc.constantFrom(400, 403, 404, 408, 409, 413, 416, 429, 500, 501, 502, 503, 504, 505),
    ...more,
  });

/** An offset within most fragments. */
const PART = 997;

const actions: fc.Arbitrary<FaultAction> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom<FaultAction>(
      'reset-before',
      'reset-mid',
      'reset-after-commit',
      'hang',
      'hang-after-commit',
    ),
  },
  { weight: 1, arbitrary: fc.constant<FaultAction>('answer-twice') },
  {
    weight: 2,
    arbitrary: fc.constantFrom<FaultAction>(
      { sessionIdAs: 'lower-case' },
      { sessionIdAs: 'without-braces' },
      { status: 400, headers: { 'BITS-Error-Code': '0' }, forgetsSession: true },
      { keepBytes: 0 },
      { keepBytes: 1 },
      { loseBytes: 1 },
      { loseBytes: 7000 },
      { closeAfterMs: 0 },
      { closeAfterMs: 2 },
      { resetAfterMs: 0 },
      { resetAfterMs: 2 },
      { interimAnswers: 5 },
      { interimAnswers: Infinity },
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom<FaultAction>('session-gone', 'garbage-page') },
  { weight: 2, arbitrary: status() },
  { weight: 1, arbitrary: status({ neverEnds: fc.constant(true) }) },
  // After a request took effect, only an answer that allows a retry is true.
  {
    weight: 1,
    arbitrary: fc.record({
      status: fc.constantFrom(500, 502, 503, 504),
      afterCommit: fc.constant(true),
    }),
  },
  // The application is asked when the server has done what the packet is for.
  {
    weight: 1,
    arbitrary: fc.constantFrom(403, 409, 500, 501).map(
      (code): FaultAction => ({
        status: code,
        hresult: 0x80190000 + code,
        context: 0x7,
        afterCommit: true,
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      status: fc.constantFrom(400, 404, 409, 500, 503),
      hresult: fc.constantFrom(0x8020001f, 0x80070057, 0x80070070, 0x80190194),
      context: fc.constantFrom(0x5, 0x7),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<FaultAction>(
      { offset: null },
      { offset: 'x' },
      { offset: 0 },
      { offset: PART },
      { offset: -1 },
      { offset: '1e3' },
      { offset: 2 ** 53 },
      { offset: 2 ** 40 },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<FaultAction>(
      { headers: { 'BITS-Packet-Type': null } },
      { headers: { 'BITS-Error-Code': '0x8020001F' } },
      { headers: { 'BITS-Reply-URL': null } },
      { headers: { Connection: 'close' } },
      { headers: { ETag: null, 'Last-Modified': null } },
    ),
  },
  { weight: 1, arbitrary: fc.constant<FaultAction>({ redirect: '/file.bin' }) },
  { weight: 1, arbitrary: fc.record({ delayMs: fc.constantFrom(5, 300) }) },
  { weight: 1, arbitrary: fc.record({ bytesPerSecond: fc.constantFrom(200_000, 2_000_000) }) },
);

/** A reply can be any page. */
const makesSense = ({ on, do: action }: Fault) => action !== 'garbage-page' || on !== 'reply';

const faults: fc.Arbitrary<Fault> = fc
  .record({
    on: fc.constantFrom<Fault['on']>(
      'create-session',
      'ping',
      'fragment',
      'fragment',
      'fragment',
      'close-session',
      'cancel-session',
      'reply',
    ),
    nth: fc.integer({ min: 1, max: 12 }),
    times: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.integer({ min: 2, max: 5 })),
    do: actions,
  })
  .map(({ on, nth, ...rest }) => ({
    // There are few packets of other types.
    nth: on === 'fragment' ? nth : 1 + (nth % 3),
    on,
    ...rest,
  }))
  .filter(makesSense);

const isPart = ({ do: action }: Fault) =>
  typeof action === 'object' && 'offset' in action && action.offset === PART;

/**
 * A server that appends a whole fragment and says once that it took a part of it looks like one that
 * took the part, to any client. So a server that lies in this way appends nothing twice. Nor does one
 * whose client does not know what its transport sends twice.
 */
const decidable = (scenario: Scenario): Scenario =>
  scenario.overlap === 'append' && (scenario.mayResend || scenario.faults.some(isPart))
    ? { ...scenario, overlap: 'strict' }
    : scenario;

const hidesReply = ({ do: action }: Fault) =>
  typeof action === 'object' && 'headers' in action && 'BITS-Reply-URL' in (action.headers ?? {});

/**
 * A transport that may send twice is refused for such servers, and an optional reply that is not
 * announced is none.
 */
const possible = (scenario: Scenario): Scenario => ({
  ...scenario,
  ...(scenario.mayResend && { onUncertainFragment: 'resend' }),
  ...(scenario.reply?.optional && { faults: scenario.faults.filter((one) => !hidesReply(one)) }),
});

const anything: fc.Arbitrary<Scenario> = fc.record({
  seed: fc.integer({ min: 1, max: 1e6 }),
  bytes: fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 2561, 5 * KIB - 1, 5 * KIB, 5 * KIB + 1) },
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 300 * KIB }) },
  ),
  source: fc.constantFrom(
    'file',
    'file',
    'file',
    'bytes',
    'blob',
    'stream',
    'web-stream',
    'iterable',
  ),
  fragmentBytes: fc.option(fc.integer({ min: 5 * KIB, max: 64 * KIB }), { nil: undefined }),
  overlap: fc.constantFrom('strict', 'accept', 'append'),
  omitSessionIdOnAck: fc.boolean(),
  maxFragmentBytes: fc.option(fc.integer({ min: 5 * KIB, max: 100 * KIB }), {
    nil: undefined,
    freq: 3,
  }),
  onUncertainFragment: fc.constantFrom('resend', 'resend', 'resend', 'restart'),
  mayResend: fc.constantFrom(false, false, false, true),
  store: fc.constantFrom('none', 'memory', 'memory', 'file'),
  restoreById: fc.boolean(),
  hostId: fc.constantFrom('none', 'none', 'none', 'self', 'stranger'),
  reply: fc.option(
    fc.record({
      to: fc.constantFrom('memory', 'file'),
      optional: fc.boolean(),
      bytes: fc.integer({ min: 0, max: 60 * KIB }),
      url: fc.constantFrom('relative', 'absolute'),
      bytesPerSecond: fc.option(fc.constant(1_000_000), { nil: undefined }),
      changes: fc.constantFrom(0, 0, 0, 1, 2),
      again: fc.boolean(),
      takesMs: fc.constantFrom(0, 0, 10),
    }),
    { nil: undefined, freq: 2 },
  ),
  faults: fc.array(faults, { maxLength: 8 }),
  incidents: fc
    .array(
      fc.record({
        atRequest: fc.integer({ min: 1, max: 40 }),
        what: fc.constantFrom<Incident['what'][]>(
          'suspend',
          'abort',
          'cancel',
          'kill',
          'restart-server',
          'sleep',
          'clock-set-back',
        ),
      }),
      { maxLength: 4 },
    )
    .map((incidents) => incidents.toSorted((a, b) => a.atRequest - b.atRequest)),
});

export const scenarios = anything.map(possible).map(decidable);
