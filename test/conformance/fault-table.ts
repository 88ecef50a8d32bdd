import type { BitsErrorCode } from '../../src/errors.js';
import type { PacketType } from '../../src/protocol/packets.js';
import type { FaultAction } from '../../src/testing/index.js';

/** What the request is for to which a fault applies. */
export type Struck = PacketType | 'reply';

/**
 * What a fault costs a job.
 *
 * - `nothing`: no additional request.
 * - `again`: the packet is sent once more.
 * - `resync`: a probe asks for the offset, or the upload starts over from a first fragment in doubt.
 * - `smaller`: the fragment is halved, and so are those after it.
 * - `restart`: a new session from byte 0.
 * - `not-freed`: the cancelled job warns that the server did not confirm.
 * - a code: the job fails with it, and `resume()` finishes it.
 */
export type Cost =
  | 'nothing'
  | 'again'
  | 'resync'
  | 'smaller'
  | 'restart'
  | 'not-freed'
  | Extract<BitsErrorCode, string>;

export interface FaultRow {
  readonly name: string;
  readonly do: FaultAction;
  /** The client has to wait for its time-out. */
  readonly waits?: true;
  /** The server did what the packet asks for, though the client cannot know. */
  readonly takesEffect?: true;
  /** Absent: the fault does not apply to the packet. */
  readonly costs: Readonly<
    Partial<Record<Exclude<Struck, 'fragment'>, Cost>> & {
      fragment?: Cost | readonly [first: Cost, middle: Cost, last: Cost];
      /** For the last fragment of an upload-reply job, where it differs. */
      lastWithReply?: Cost;
    }
  >;
}

type Row = FaultRow['costs'];

function costs(
  create: Cost,
  ping: Cost,
  fragment: Row['fragment'],
  close: Cost,
  cancel: Cost,
  reply?: Cost,
): Row {
  return {
    'create-session': create,
    ping,
    ...(fragment !== undefined && { fragment }),
    'close-session': close,
    'cancel-session': cancel,
    ...(reply !== undefined && { reply }),
  };
}

const SERVER = 'BITS_ERR_SERVER';
const PROTOCOL = 'BITS_ERR_PROTOCOL';
const NOT_BITS = 'BITS_ERR_NOT_BITS';
const AUTH = 'BITS_ERR_AUTH';
const TRANSPORT = 'BITS_ERR_TRANSPORT';
const REPLY = 'BITS_ERR_REPLY';

const HARMLESS = costs('nothing', 'nothing', 'nothing', 'nothing', 'nothing', 'nothing');
const LOST = costs('again', 'again', 'resync', 'again', 'again', 'again');
const FAILS_FOR_NOW = LOST;
/** The answer is true, but the connection cannot be used again. */
const ANSWERED = costs('nothing', 'nothing', 'nothing', 'nothing', 'nothing');
/**
 * Close and Cancel are tried again after any 5xx, and never after a lower status. Any answer to a Ping
 * shows that the server can be reached.
 */
const FATAL_5XX = costs(SERVER, 'nothing', SERVER, 'again', 'again', SERVER);
const BUSY_4XX = costs('again', 'nothing', 'resync', SERVER, 'not-freed', 'again');
const FATAL_4XX = costs(SERVER, 'nothing', SERVER, SERVER, 'not-freed', SERVER);
/** A success without Ack, once one packet has been acknowledged. */
const NO_ACK = costs(NOT_BITS, 'again', 'resync', 'again', 'not-freed');

const WRONG_OFFSET = { takesEffect: true, costs: { fragment: 'resync' } } as const;

/** What each fault costs, by packet, according to the specification. */
export const FAULT_TABLE: readonly FaultRow[] = [
  { name: 'reset-before', do: 'reset-before', costs: LOST },
  { name: 'reset-mid', do: 'reset-mid', takesEffect: true, costs: LOST },
  { name: 'reset-after-commit', do: 'reset-after-commit', takesEffect: true, costs: LOST },
  { name: 'hang', do: 'hang', waits: true, costs: LOST },
  {
    name: 'hang-after-commit',
    do: 'hang-after-commit',
    waits: true,
    takesEffect: true,
    costs: LOST,
  },
  {
    name: 'session-gone',
    do: 'session-gone',
    // Create-Session and Ping name no session, and for a GET it is a 404.
    costs: costs('again', 'nothing', 'restart', 'restart', 'nothing', REPLY),
  },
  // A reply may be any page.
  { name: 'garbage-page', do: 'garbage-page', costs: NO_ACK },
  { name: '204 without Ack', do: { status: 204 }, costs: { ...NO_ACK, reply: 'again' } },

  {
    name: '302',
    do: { status: 302, headers: { Location: '/login' } },
    costs: { ...FATAL_4XX, reply: REPLY },
  },
  {
    name: '307 to nowhere',
    do: { redirect: 'ftp://elsewhere/' },
    costs: { ...FATAL_4XX, reply: REPLY },
  },
  { name: '400', do: { status: 400 }, costs: FATAL_4XX },
  { name: '400 E_INVALIDARG', do: { status: 400, hresult: 0x80070057 }, costs: FATAL_4XX },
  { name: '401', do: { status: 401 }, costs: costs(AUTH, AUTH, AUTH, AUTH, 'not-freed', AUTH) },
  { name: '407', do: { status: 407 }, costs: costs(AUTH, AUTH, AUTH, AUTH, 'not-freed', AUTH) },
  { name: '403 E_ACCESSDENIED', do: { status: 403, hresult: 0x80070005 }, costs: FATAL_4XX },
  {
    name: '404',
    do: { status: 404 },
    // It may mean a limit of IIS 7 only for a fragment larger than those before.
    costs: costs(SERVER, 'nothing', ['smaller', SERVER, SERVER], SERVER, 'not-freed', REPLY),
  },
  { name: '405', do: { status: 405 }, costs: FATAL_4XX },
  { name: '408', do: { status: 408 }, costs: BUSY_4XX },
  { name: '409', do: { status: 409 }, costs: FATAL_4XX },
  {
    name: '413',
    do: { status: 413 },
    costs: costs(SERVER, 'nothing', 'smaller', SERVER, 'not-freed', SERVER),
  },
  {
    name: '416 without offset',
    do: { status: 416 },
    costs: costs(SERVER, 'nothing', ['smaller', 'restart', 'restart'], SERVER, 'not-freed', REPLY),
  },
  { name: '429', do: { status: 429 }, costs: BUSY_4XX },
  { name: '500', do: { status: 500 }, costs: FAILS_FOR_NOW },
  { name: '500 disk full', do: { status: 500, hresult: 0x80070112 }, costs: FAILS_FOR_NOW },
  {
    name: '500 BG_E_TOO_LARGE',
    do: { status: 500, hresult: 0x80200020 },
    costs: { ...FATAL_5XX, reply: 'again' },
  },
  { name: '501', do: { status: 501 }, costs: FATAL_5XX },
  { name: '501 E_ACCESSDENIED', do: { status: 501, hresult: 0x80070005 }, costs: FATAL_5XX },
  { name: '502', do: { status: 502 }, costs: FAILS_FOR_NOW },
  { name: '503', do: { status: 503 }, costs: FAILS_FOR_NOW },
  {
    name: '503 with Retry-After',
    do: { status: 503, headers: { 'Retry-After': '3600' } },
    costs: FAILS_FOR_NOW,
  },
  {
    name: '503 that took effect',
    do: { status: 503, afterCommit: true },
    takesEffect: true,
    costs: LOST,
  },
  { name: '503 that never ends', do: { status: 503, neverEnds: true }, costs: LOST },
  { name: '403 that never ends', do: { status: 403, neverEnds: true }, costs: FATAL_4XX },
  { name: '504', do: { status: 504 }, costs: FAILS_FOR_NOW },
  { name: '505', do: { status: 505 }, costs: FATAL_5XX },
  ...application(408, 'again', { hresult: 0x80070112 }),
  ...application(409, 'again'),
  ...application(403, SERVER),
  ...application(404, SERVER),
  ...application(500, 'again'),
  ...application(501, SERVER),

  { name: 'no offset', do: { offset: null }, ...WRONG_OFFSET },
  { name: 'illegible offset', do: { offset: 'many' }, ...WRONG_OFFSET },
  { name: 'offset 0', do: { offset: 0 }, ...WRONG_OFFSET },
  { name: 'offset in mid-fragment', do: { offset: 3000 }, ...WRONG_OFFSET },
  { name: 'offset above the total', do: { offset: 2 ** 40 }, ...WRONG_OFFSET },

  {
    name: 'no Ack',
    do: { headers: { 'BITS-Packet-Type': null } },
    takesEffect: true,
    costs: NO_ACK,
  },
  {
    name: 'no session id',
    do: { headers: { 'BITS-Session-Id': null } },
    costs: { ...HARMLESS, 'create-session': 'again' },
  },
  {
    name: "another session's id",
    do: { headers: { 'BITS-Session-Id': '{00000000-0000-0000-0000-000000000000}' } },
    takesEffect: true,
    costs: { ping: 'nothing', fragment: 'resync', 'cancel-session': 'again' },
  },
  {
    name: 'another protocol',
    do: { headers: { 'BITS-Protocol': '{00000000-0000-0000-0000-000000000000}' } },
    costs: { ...HARMLESS, 'create-session': PROTOCOL },
  },
  {
    name: 'host-id that is no host',
    do: { headers: { 'BITS-Host-Id': 'no host' } },
    costs: { ...HARMLESS, 'create-session': PROTOCOL },
  },
  {
    name: 'error headers on an ack',
    do: { headers: { 'BITS-Error-Code': '0x8020001F', 'BITS-Error-Context': '0x5' } },
    costs: HARMLESS,
  },
  { name: 'Connection: close', do: { headers: { Connection: 'close' } }, costs: HARMLESS },
  {
    name: 'no reply URL',
    do: { headers: { 'BITS-Reply-URL': null } },
    costs: { fragment: 'nothing', lastWithReply: REPLY },
  },
  { name: 'an answer twice', do: 'answer-twice', costs: ANSWERED },
  { name: 'a connection that closes', do: { closeAfterMs: 0 }, costs: ANSWERED },
  { name: 'interim answers', do: { interimAnswers: 5 }, costs: HARMLESS },
  {
    name: 'endless interim answers',
    do: { interimAnswers: Infinity },
    takesEffect: true,
    costs: costs(TRANSPORT, TRANSPORT, TRANSPORT, TRANSPORT, 'not-freed', TRANSPORT),
  },
  ...(['0', '0x1', 'ZERO'] as const).map(
    (code): FaultRow => ({
      name: `400 and error code ${code} for a session that is gone`,
      do: { status: 400, headers: { 'BITS-Error-Code': code }, forgetsSession: true },
      costs: { fragment: 'restart' },
    }),
  ),
  { name: 'session id in lower case', do: { sessionIdAs: 'lower-case' }, costs: HARMLESS },
  { name: 'session id without braces', do: { sessionIdAs: 'without-braces' }, costs: HARMLESS },
  { name: 'one byte kept', do: { keepBytes: 1 }, costs: { fragment: 'resync' } },
  { name: 'bytes lost again', do: { loseBytes: 3000 }, costs: { fragment: 'resync' } },
  { name: 'late', do: { delayMs: 20 }, costs: HARMLESS },
  { name: 'slow', do: { bytesPerSecond: 500_000 }, costs: HARMLESS },
];

/** An error of the server's application (context 0x7). */
function application(status: number, means: 'again' | typeof SERVER, more = {}): FaultRow[] {
  const fragment = means === 'again' ? 'resync' : means;
  return [
    {
      name: `${status} of the application`,
      do: { status, hresult: 0x80190000 + status, context: 0x7, ...more },
      costs: { 'create-session': means, ping: 'nothing', fragment },
    },
  ];
}
