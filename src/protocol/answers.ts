import {
  BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH,
  BG_E_SERVER_EXECUTE_ENABLE,
  BG_E_SESSION_NOT_FOUND,
  BG_E_TOO_LARGE,
  DISK_FULL,
  DISK_FULL_AS_SPECIFIED,
  E_ACCESSDENIED,
  E_INVALIDARG,
  hresultAdvice,
  httpStatusOf,
} from './hresult.js';
import type { PacketType } from './packets.js';
import type { RefusalMeaning } from './refusal.js';
import { nameThatIisRefuses } from './windows-names.js';

/** `BITS-Error-Context` of an error that the server's application made (Win32: ack-for-fragment). */
export const CONTEXT_SERVER_APPLICATION = 0x7;

/** An HTTP status, or the first and the last of a range. */
export type StatusMatch = number | readonly [first: number, last: number];

/** One kind of refusal: how to recognise it, what it means, what to check. */
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
  advice: 'no BITS server sends this status: check which server answers at the URL',
};

/**
 * What refusals mean, the most specific row first. The first row that matches decides; the last one
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
      'the server does not know the upload session: it timed out, was deleted, or another member of ' +
      'a server farm answered; check the session time-out, and the session affinity of the farm',
  },
  {
    statuses: [401],
    meaning: 'unauthorized',
    advice:
      'the server requires authentication, and no credentials were given or they were not accepted: ' +
      'check the user name, the password and the authentication schemes of the server',
  },
  {
    statuses: [407],
    meaning: 'unauthorized',
    advice:
      'the proxy requires authentication, and no credentials were given or they were not accepted: ' +
      'check the user name and password for the proxy',
  },
  {
    packets: ENDINGS,
    statuses: [[500, 599]],
    meaning: 'transient',
    advice: 'the server has a temporary failure: check its event log if this continues',
  },
  {
    packets: ENDINGS,
    statuses: [
      [100, 306],
      [309, 499],
    ],
    meaning: 'fatal',
    advice: 'the server does not end the session: check on the server whether the file has arrived',
  },
  {
    packets: TRANSFERS,
    statuses: [408],
    hresults: DISK_FULL_CODES,
    context: CONTEXT_SERVER_APPLICATION,
    meaning: 'transient',
    advice:
      'the application that processes uploads on the server did not answer in time: check its log ' +
      'if this continues',
  },
  {
    packets: TRANSFERS,
    statuses: [408, 409, 306, [308, 399], [500, 500], [502, 504], [506, 599]],
    context: CONTEXT_SERVER_APPLICATION,
    meaning: 'transient',
    advice:
      'the application that processes uploads on the server has a temporary failure: check its log ' +
      'if this continues',
  },
  {
    packets: TRANSFERS,
    statuses: [[300, 599]],
    context: CONTEXT_SERVER_APPLICATION,
    meaning: 'fatal',
    advice:
      'the application that processes uploads on the server refused this upload: check its log',
  },
  {
    statuses: [307, 308],
    meaning: 'redirect',
    advice: 'the server redirects the upload: check the URL',
  },
  {
    packets: ['fragment'],
    statuses: [416],
    meaning: 'out-of-step',
    advice:
      'the server expects another part of the file: check whether another client uploads to the ' +
      'same URL',
  },
  {
    statuses: [ERRORS],
    hresults: [BG_E_TOO_LARGE],
    meaning: 'fatal',
    advice:
      'the file is larger than the maximum upload size of the directory: check ' +
      'BITSMaximumUploadSize on the server',
  },
  {
    statuses: [ERRORS],
    hresults: [BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH],
    meaning: 'fatal',
    advice:
      'the server does not support the upload protocol of this client: check the BITS version of ' +
      'the server',
  },
  {
    statuses: [ERRORS],
    hresults: [BG_E_SERVER_EXECUTE_ENABLE],
    meaning: 'fatal',
    advice:
      'the server accepts no uploads into a directory with script or execute permissions: remove ' +
      'these permissions from the IIS virtual directory',
  },
  {
    packets: ['fragment'],
    statuses: [413],
    meaning: 'fragment-too-large',
    advice:
      'the server or a proxy accepts no request of this size: check maxAllowedContentLength (IIS), ' +
      'client_max_body_size (nginx) or the equivalent setting, or send smaller fragments',
  },
  {
    packets: ['fragment'],
    statuses: [404],
    meaning: 'maybe-too-large',
    advice:
      'the path does not exist, BITS uploads are not enabled for it, or the request was larger than ' +
      'maxAllowedContentLength (IIS 7 and later; 30,000,000 bytes by default): check all three',
  },
  {
    statuses: [404],
    meaning: 'fatal',
    advice:
      'the path does not exist, BITS uploads are not enabled for the directory (IIS 7 and later), ' +
      'or request filtering blocks the verb BITS_POST (404.6 in the IIS log): check the URL and ' +
      'these settings',
  },
  {
    statuses: [403],
    hresults: [E_ACCESSDENIED],
    meaning: 'fatal',
    advice:
      'the account may not write there, or the file exists and overwriting is not allowed: check ' +
      'the permissions of the directory, and BITSAllowOverwrites',
  },
  {
    statuses: [403],
    meaning: 'fatal',
    advice:
      'access is forbidden: check the permissions of the account, the rules of proxies, and the SSL ' +
      'settings of IIS (403.4 requires https, 403.7 a client certificate)',
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
      'BITS uploads are not enabled for the directory (BITSUploadEnabled), or the server or a proxy ' +
      'does not know the verb BITS_POST: check the BITS settings of the directory, or try ' +
      'methodOverride',
  },
  {
    statuses: [409],
    meaning: 'fatal',
    advice:
      'the file exists already, or an unfinished session holds the URL: remove the file, wait for ' +
      'the session time-out, or choose another name',
  },
  {
    statuses: [400],
    hresults: [E_INVALIDARG],
    meaning: 'fatal',
    advice:
      'the server calls the request malformed: check that the URL names a file and not a directory, ' +
      'that no header value is longer than 4 KiB, and that no proxy changes requests',
  },
  {
    statuses: [405],
    meaning: 'fatal',
    advice:
      'the verb BITS_POST is blocked: allow it in request filtering, in the WebDAV module and in ' +
      'proxies, or use methodOverride',
  },
  {
    statuses: [400],
    meaning: 'fatal',
    advice:
      'the server or a proxy in front of it calls the request malformed, perhaps because of the verb ' +
      'BITS_POST: check proxies and request filtering, or use methodOverride',
  },
  {
    statuses: [500],
    hresults: DISK_FULL_CODES,
    meaning: 'transient',
    advice: 'the server disk is full: free some space there',
  },
  {
    statuses: [408, 429],
    meaning: 'transient',
    advice: 'the server is too busy or the connection too slow: check both if this continues',
  },
  {
    statuses: [411],
    meaning: 'fatal',
    advice:
      'the request arrived without its Content-Length, which this client sends: check proxies and ' +
      'filters in between',
  },
  {
    statuses: [414, 431],
    meaning: 'fatal',
    advice:
      'the URL or a header is too long: check the name of the file, the query and the headers',
  },
  {
    statuses: [507],
    meaning: 'transient',
    advice: 'the server has no space left, or the quota of the account is used up: free some space',
  },
  {
    statuses: [511],
    meaning: 'transient',
    advice: 'the network requires a login: check that with a browser',
  },
  {
    statuses: [505],
    meaning: 'fatal',
    advice: 'HTTP/1.1 is not supported: check which server and proxies answer at the URL',
  },
  {
    statuses: [[502, 504]],
    meaning: 'transient',
    advice:
      'a proxy or front end answers, but not the server behind it: check the application pool of the ' +
      'server, and the address that the front end sends to',
  },
  {
    statuses: [[500, 599]],
    meaning: 'transient',
    advice: 'the server or a proxy has a temporary failure: check its event log if this continues',
  },
  {
    statuses: [[300, 399]],
    meaning: 'fatal',
    advice:
      'this kind of redirect would change the request, as login pages and captive portals do: check ' +
      'the URL, and whether the network requires a login',
  },
  {
    statuses: [[400, 499]],
    meaning: 'fatal',
    advice: 'the request was refused: check the URL, and the settings of the server and of proxies',
  },
  UNKNOWN,
];

/** What of a refusal decides which row applies. */
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

/**
 * What a refusal means to the reader and what to check, as the end of a sentence.
 * @param url what was asked for, so that a name which IIS refuses is mentioned first
 */
export function adviceOn(traits: AnswerTraits, url?: URL): string {
  const { status, hresult } = traits;
  const row = findAnswer(traits);
  const advice = [row.advice];
  const mayBeName = (status === 400 || status === 404) && hresult === undefined;
  const name = mayBeName && url ? nameThatIisRefuses(url) : undefined;
  if (name !== undefined) advice.unshift(name);
  // A row for an HRESULT has said what the HRESULT means, and some servers only repeat the status.
  const isNews = hresult !== undefined && httpStatusOf(hresult) !== status;
  const known = isNews ? hresultAdvice(hresult) : undefined;
  if (known !== undefined && row.hresults === undefined) advice.push(known);
  return advice.join('; ');
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
