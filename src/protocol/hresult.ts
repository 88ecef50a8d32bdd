/** The name of an HRESULT, and what it says or asks to check. */
interface HresultEntry {
  readonly name: string;
  readonly advice: string;
}

export const E_ACCESSDENIED = 0x80070005;
export const E_INVALIDARG = 0x80070057;
export const BG_E_SESSION_NOT_FOUND = 0x8020001f;
export const BG_E_TOO_LARGE = 0x80200020;
export const BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH = 0x80200022;
export const BG_E_SERVER_EXECUTE_ENABLE = 0x80200023;
/** As [MC-BUP] prints it: the decimal Win32 error 112 read as hexadecimal digits. */
export const DISK_FULL_AS_SPECIFIED = 0x80070112;
/** As HRESULT_FROM_WIN32 makes it from ERROR_DISK_FULL. */
export const DISK_FULL = 0x80070070;

const DISK_FULL_ENTRY: HresultEntry = {
  name: 'ERROR_DISK_FULL',
  advice: 'the server disk is full: free some space there',
};

const ENTRIES: ReadonlyMap<number, HresultEntry> = new Map<number, HresultEntry>([
  [
    0x80004005,
    {
      name: 'E_FAIL',
      advice: 'the server failed without a reason: check its event log',
    },
  ],
  [
    E_ACCESSDENIED,
    {
      name: 'E_ACCESSDENIED',
      advice:
        'check the write permission of the account, and whether the file exists and overwriting is ' +
        'not allowed',
    },
  ],
  [0x8007000e, { name: 'E_OUTOFMEMORY', advice: 'the server is out of memory' }],
  [
    E_INVALIDARG,
    {
      name: 'E_INVALIDARG',
      advice:
        'the server calls the request malformed: check that the URL names a file and not a ' +
        'directory, and that no header value is longer than 4 KiB',
    },
  ],
  [DISK_FULL, DISK_FULL_ENTRY],
  [DISK_FULL_AS_SPECIFIED, DISK_FULL_ENTRY],
  [
    0x80200011,
    { name: 'BG_E_MISSING_FILE_SIZE', advice: 'the server did not say how long the file is' },
  ],
  [
    0x80200012,
    { name: 'BG_E_INSUFFICIENT_HTTP_SUPPORT', advice: 'the server does not support HTTP/1.1' },
  ],
  [
    0x80200013,
    {
      name: 'BG_E_INSUFFICIENT_RANGE_SUPPORT',
      advice: 'the server does not support the Range header',
    },
  ],
  [
    0x8020001b,
    {
      name: 'BG_E_INVALID_SERVER_RESPONSE',
      advice: 'a proxy may change the answers of the server: check the proxies',
    },
  ],
  [
    0x8020001d,
    { name: 'BG_E_LOCAL_FILE_CHANGED', advice: 'the local file changed during the upload' },
  ],
  [
    0x8020001e,
    {
      name: 'BG_E_ERROR_CONTEXT_REMOTE_APPLICATION',
      advice: 'the application that processes the upload on the server failed: check its log',
    },
  ],
  [
    BG_E_SESSION_NOT_FOUND,
    {
      name: 'BG_E_SESSION_NOT_FOUND',
      advice:
        'the server does not know the upload session: it timed out, was deleted, or another member ' +
        'of a server farm answered',
    },
  ],
  [
    BG_E_TOO_LARGE,
    {
      name: 'BG_E_TOO_LARGE',
      advice: 'the file is larger than the maximum upload size of the directory on the server',
    },
  ],
  [
    0x80200021,
    { name: 'BG_E_STRING_TOO_LONG', advice: 'the URL or the name of the file is too long' },
  ],
  [
    BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH,
    {
      name: 'BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH',
      advice: 'the server does not support the upload protocol of this client',
    },
  ],
  [
    BG_E_SERVER_EXECUTE_ENABLE,
    {
      name: 'BG_E_SERVER_EXECUTE_ENABLE',
      advice: 'remove the script and execute permissions of the IIS virtual directory',
    },
  ],
  [
    0x80200024,
    { name: 'BG_E_NO_PROGRESS', advice: 'the upload makes no progress: check the server' },
  ],
  [
    0x80200025,
    { name: 'BG_E_USERNAME_TOO_LARGE', advice: 'use a user name of at most 300 characters' },
  ],
  [
    0x80200026,
    { name: 'BG_E_PASSWORD_TOO_LARGE', advice: 'use a password of at most 300 characters' },
  ],
  [
    0x80200027,
    {
      name: 'BG_E_INVALID_AUTH_TARGET',
      advice: 'check whether the server or a proxy requires the credentials',
    },
  ],
  [
    0x80200028,
    {
      name: 'BG_E_INVALID_AUTH_SCHEME',
      advice: 'check which authentication schemes the server offers',
    },
  ],
]);

// Win32 "BITS return values": an HTTP status is FACILITY_HTTP (0x19) with the status as its code.
const HTTP_FACILITY = 0x80190000;

/** The HTTP status that an HRESULT stands for. */
export function httpStatusOf(hresult: number): number | undefined {
  const status = hresult - HTTP_FACILITY;
  return status >= 100 && status <= 599 ? status : undefined;
}

/** The bit of an HRESULT that says that something failed. */
const FAILURE = 0x8000_0000;

/**
 * Reads `BITS-Error-Code` or `BITS-Error`: hexadecimal with `0x`, `x` or nothing in front, in any case
 * (Win32: ack-for-create-session), or the name of an HRESULT, as some servers write; decimal too, which
 * is longer than hexadecimal or signed.
 *
 * @returns an unsigned 32-bit number; undefined when it is malformed, and when it says no failure
 * (`0`, `0x1`), because then it says nothing.
 */
export function parseHresult(value: string): number | undefined {
  const text = value.trim();
  const hresult = parseHex(text) ?? parseDecimal(text) ?? hresultNamed(text.toUpperCase());
  return hresult !== undefined && hresult >= FAILURE ? hresult : undefined;
}

/** Reads a number of up to 32 bits as `BITS-Error-Context` has it, written as in {@link parseHresult}. */
export function parseHex(value: string): number | undefined {
  const digits = /^(?:0?x)?([0-9a-f]{1,8})$/i.exec(value.trim())?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

function parseDecimal(text: string): number | undefined {
  const number = /^(?:\d{10}|-\d{9,10})$/.test(text) ? Number(text) : Number.NaN;
  return number >= -FAILURE && number <= 0xffff_ffff ? number >>> 0 : undefined;
}

function hresultNamed(name: string): number | undefined {
  const status = /^BG_E_HTTP_ERROR_([1-5][0-9]{2})$/.exec(name)?.[1];
  if (status !== undefined) return HTTP_FACILITY + Number(status);
  for (const [hresult, entry] of ENTRIES) if (entry.name === name) return hresult;
  return undefined;
}

/** Writes an HRESULT, signed or unsigned, as `0x8020001F`. */
export function formatHresult(hresult: number): string {
  return `0x${(hresult >>> 0).toString(16).toUpperCase().padStart(8, '0')}`;
}

/** The name of an HRESULT that occurs in uploads (Win32: BITS return values); undefined for others. */
export function hresultName(hresult: number): string | undefined {
  const unsigned = hresult >>> 0;
  const status = httpStatusOf(unsigned);
  return status === undefined ? ENTRIES.get(unsigned)?.name : `BG_E_HTTP_ERROR_${status}`;
}

/** What to check when a server answers with this HRESULT; undefined for unknown ones. */
export function hresultAdvice(hresult: number): string | undefined {
  const unsigned = hresult >>> 0;
  const status = httpStatusOf(unsigned);
  return status === undefined
    ? ENTRIES.get(unsigned)?.advice
    : `an HTTP request that the server depends on was answered with status ${status}`;
}
