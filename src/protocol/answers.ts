import {
  BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH,
  BG_E_SERVER_EXECUTE_ENABLE,
  BG_E_SESSION_NOT_FOUND,
  BG_E_TOO_LARGE,
  DISK_FULL,
  DISK_FULL_AS_SPECIFIED,
  E_ACCESSDENIED,
  E_INVALIDARG,
} from './hresult.js';
import type { PacketType } from './packets.js';
import type { RefusalMeaning } from './refusal.js';

/** `BITS-Error-Context` of an error that the server's application made (Win32: ack-for-fragment). */
export const CONTEXT_SERVER_APPLICATION = 0x7;

/** An HTTP status, or the first and the last of a range. */
export type StatusMatch = number | readonly [first: number, last: number];

/** One kind of refusal: what it is recognised by, what it means, what to check. */
export interface AnswerRow {
  /** Absent: every packet. */
  readonly packets?: readonly PacketType[];
  /** Absent: any status. */
  readonly statuses?: readonly StatusMatch[];
  /** Absent: with any HRESULT or none. */
  readonly hresults?: readonly number[];
  /** `BITS-Error-Context`. Absent: with any context or none. */
  readonly context?: number;
  readonly meaning: RefusalMeaning;
  /** What happened and what to check, as the end of a sentence. */
  readonly advice: string;
}

const ERRORS: StatusMatch = [400, 999];
const ENDINGS: readonly PacketType[] = ['close-session', 'cancel-session'];
const TRANSFERS: readonly PacketType[] = ['create-session', 'ping', 'fragment'];
const DISK_FULL_CODES = [DISK_FULL, DISK_FULL_AS_SPECIFIED];

const UNKNOWN: AnswerRow = {
  meaning: 'fatal',
  advice: 'this is no status of a BITS server: check what answers at the URL',
};

/**
 * What refusals mean, most telling row first; the first row that matches decides and the last
 * matches everything ([MC-BUP] §2.2 and §3.2.5, Win32: handling-server-application-errors,
 * ack-for-close-session).
 */
export const ANSWERS: readonly AnswerRow[] = [
  {
    packets: ['ping', 'fragment', 'close-session', 'cancel-session'],
    statuses: [ERRORS],
    hresults: [BG_E_SESSION_NOT_FOUND],
    meaning: 'session-not-found',
    advice:
      'the server no longer knows the upload session: it timed out, was cleaned up, or another ' +
      'member of a server farm answered; check the session time-out and the affinity of the farm',
  },
  {
    statuses: [401],
    meaning: 'unauthorized',
    advice:
      'the server asks for credentials that were not given or not accepted: check user name, ' +
      'password and the authentication schemes that the server offers',
  },
  {
    statuses: [407],
    meaning: 'unauthorized',
    advice:
      'the proxy asks for credentials that were not given or not accepted: check the user name ' +
      'and password for the proxy',
  },
  {
    packets: ENDINGS,
    statuses: [[500, 599]],
    meaning: 'transient',
    advice: 'the server failed for now: check its event log when this lasts',
  },
  {
    packets: ENDINGS,
    statuses: [
      [100, 306],
      [309, 499],
    ],
    meaning: 'fatal',
    advice: 'the server will not end the session: check there whether the upload has arrived',
  },
  {
    packets: TRANSFERS,
    statuses: [408],
    hresults: DISK_FULL_CODES,
    context: CONTEXT_SERVER_APPLICATION,
    meaning: 'transient',
    advice:
      'the application that processes uploads on the server did not answer in time: check its log ' +
      'when this lasts',
  },
  {
    packets: TRANSFERS,
    statuses: [408, 409, 306, [308, 399], [500, 500], [502, 504], [506, 599]],
    context: CONTEXT_SERVER_APPLICATION,
    meaning: 'transient',
    advice: 'the application that processes uploads on the server failed for now: check its log',
  },
  {
    packets: TRANSFERS,
    statuses: [[300, 599]],
    context: CONTEXT_SERVER_APPLICATION,
    meaning: 'fatal',
    advice: 'the application that processes uploads on the server refused this one: check its log',
  },
  {
    statuses: [307, 308],
    meaning: 'redirect',
    advice: 'the server points elsewhere: check the URL',
  },
  {
    packets: ['fragment'],
    statuses: [416],
    meaning: 'out-of-step',
    advice:
      'the server wants another part of the file than it was sent: check whether another client ' +
      'uploads to the same URL',
  },
  {
    statuses: [ERRORS],
    hresults: [BG_E_TOO_LARGE],
    meaning: 'fatal',
    advice:
      'the file is over the maximum upload size of the directory: check BITSMaximumUploadSize on ' +
      'the server',
  },
  {
    statuses: [ERRORS],
    hresults: [BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH],
    meaning: 'fatal',
    advice: 'the server supports no upload protocol of this client: check its BITS version',
  },
  {
    statuses: [ERRORS],
    hresults: [BG_E_SERVER_EXECUTE_ENABLE],
    meaning: 'fatal',
    advice:
      'the server takes no uploads into a directory with script or execute permissions: remove ' +
      'these from the IIS virtual directory',
  },
  {
    packets: ['fragment'],
    statuses: [413],
    meaning: 'fragment-too-large',
    advice:
      'the server or a proxy takes no request of this size: check maxAllowedContentLength (IIS), ' +
      'client_max_body_size (nginx) and the like, or send smaller fragments',
  },
  {
    packets: ['fragment'],
    statuses: [404],
    meaning: 'maybe-too-large',
    advice:
      'the path does not exist, uploads are not enabled for it, or the request was over ' +
      'maxAllowedContentLength (IIS 7 and later; 30,000,000 bytes by default): check these three',
  },
  {
    statuses: [404],
    meaning: 'fatal',
    advice:
      'the path does not exist, BITS uploads are not enabled for the directory (IIS 7 and later), ' +
      'or request filtering blocks the verb BITS_POST: check the URL and these settings',
  },
  {
    statuses: [403],
    hresults: [E_ACCESSDENIED],
    meaning: 'fatal',
    advice:
      'the account may not write there, or the file exists already while overwriting is off: check ' +
      'the permissions of the directory, and BITSAllowOverwrites',
  },
  {
    statuses: [403],
    meaning: 'fatal',
    advice: 'access is forbidden: check the permissions of the account and the rules of proxies',
  },
  {
    statuses: [501],
    hresults: [E_ACCESSDENIED],
    meaning: 'fatal',
    advice: 'BITS uploads are not enabled for the directory: check its BITS settings',
  },
  {
    statuses: [501],
    meaning: 'fatal',
    advice:
      'BITS uploads are not enabled for the directory (IIS 6), or the server or a proxy does not ' +
      'know the verb BITS_POST: check the BITS settings of the directory, or try methodOverride',
  },
  {
    statuses: [409],
    meaning: 'fatal',
    advice:
      'the file exists already, or a session that was left over holds the URL: remove the file, ' +
      'wait for the session time-out, or choose another name',
  },
  {
    statuses: [400],
    hresults: [E_INVALIDARG],
    meaning: 'fatal',
    advice:
      'the server found the request malformed: check that the URL names a file and no directory, ' +
      'that no header value is over 4 KiB, and that no proxy changes requests',
  },
  {
    statuses: [405],
    meaning: 'fatal',
    advice:
      'the verb BITS_POST is blocked: allow it in request filtering, WebDAV and proxies, or use ' +
      'methodOverride',
  },
  {
    statuses: [400],
    meaning: 'fatal',
    advice:
      'the server or a proxy in front of it took the request for malformed, perhaps for its verb ' +
      'BITS_POST: check proxies and request filtering, or use methodOverride',
  },
  {
    statuses: [500],
    hresults: DISK_FULL_CODES,
    meaning: 'transient',
    advice: "the server's disk is full: free space there",
  },
  {
    statuses: [408, 429],
    meaning: 'transient',
    advice: 'the server is too busy or the connection too slow: check both when this lasts',
  },
  {
    statuses: [505],
    meaning: 'fatal',
    advice: 'the server does not take HTTP/1.1: check which server and proxies answer there',
  },
  {
    statuses: [[500, 599]],
    meaning: 'transient',
    advice: 'the server or a proxy failed for now: check its event log when this lasts',
  },
  {
    statuses: [[300, 399]],
    meaning: 'fatal',
    advice:
      'this redirect would change the request, as login pages and captive portals do: check the ' +
      'URL and whether the network asks for a login',
  },
  {
    statuses: [[400, 499]],
    meaning: 'fatal',
    advice: 'the request was refused: check the URL and the settings of server and proxies',
  },
  UNKNOWN,
];

/** What a refusal is recognised by. */
export interface AnswerTraits {
  readonly packetType: PacketType;
  readonly status: number;
  readonly hresult: number | undefined;
  readonly context: number | undefined;
}

/** Finds the row of {@link ANSWERS} that applies. */
export function findAnswer(traits: AnswerTraits): AnswerRow {
  return ANSWERS.find((row) => applies(row, traits)) ?? UNKNOWN;
}

function applies(row: AnswerRow, { packetType, status, hresult, context }: AnswerTraits): boolean {
  return (
    (row.packets?.includes(packetType) ?? true) &&
    (row.statuses?.some((match) => matchesStatus(match, status)) ?? true) &&
    (row.hresults === undefined || (hresult !== undefined && row.hresults.includes(hresult))) &&
    (row.context === undefined || row.context === context)
  );
}

function matchesStatus(match: StatusMatch, status: number): boolean {
  if (typeof match === 'number') return match === status;
  const [first, last] = match;
  return status >= first && status <= last;
}
