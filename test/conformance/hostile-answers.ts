import type { Random } from '../support/random.js';

/** An answer as a correct server gives it. */
export interface HonestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What goes over the wire in its place. */
export interface HostileAnswer {
  readonly pieces: readonly Buffer[];
  /** What becomes of the connection afterwards. */
  readonly ending: 'stay' | 'close' | 'reset';
}

type Draft = { status: string; headers: [string, string][]; body: Buffer };

const STATUSES = [
  '200 OK',
  '201 Created',
  '204 No Content',
  '206 Partial Content',
  '301 Moved',
  '302 Found',
  '303 See Other',
  '304 Not Modified',
  '307 Temporary Redirect',
  '308 Permanent Redirect',
  '400 Bad Request',
  '401 Unauthorized',
  '403 Forbidden',
  '404 Not Found',
  '405 Method Not Allowed',
  '407 Proxy Authentication Required',
  '408 Request Timeout',
  '409 Conflict',
  '411 Length Required',
  '413 Too Large',
  '416 Range Not Satisfiable',
  '417 Expectation Failed',
  '421 Misdirected Request',
  '429 Too Many Requests',
  '500 Error',
  '501 Not Implemented',
  '502 Bad Gateway',
  '503 Busy',
  '505 Version',
  '599 ',
  '100 Continue',
  '101 Switching Protocols',
  '103 Early Hints',
  '999 Strange',
  '0',
  '-1 Minus',
  '2000 OK',
  '20',
  'OK',
];

const VALUES = [
  '',
  '0',
  '1',
  '-1',
  '4096',
  '1e3',
  '0x10',
  '9007199254740993',
  '99999999999999999999',
  'NaN',
  '0x8020001F',
  '0x80070005',
  '0x1',
  'BG_E_TOO_LARGE',
  'Ack',
  'ack',
  'Ack, Ack',
  '{11111111-2222-3333-4444-555555555555}',
  'x'.repeat(5000),
  '\t \t',
  '"',
  '\\',
  '%00',
  '..\\..\\x',
  'bytes 0-0/1',
  'bytes 5-1/9',
  'bytes */*',
  'bytes 0-18446744073709551615/18446744073709551616',
  '\u00e4\u00ff',
  'a:b:c',
  '[::1',
  '256.256.256.256',
  'localhost:99999',
  '__proto__',
  'Fri, 31 Dec 9999 23:59:59 GMT',
  'Thu, 01 Jan 1970 00:00:00 GMT',
];

const LOCATIONS = [
  '/',
  '?',
  '//',
  'file.bin',
  '/elsewhere.bin',
  'http://',
  'http://localhost:1/x',
  'https://127.0.0.1:1/',
  'ftp://localhost/',
  'javascript:alert(1)',
  'http://user:secret@127.0.0.1:1/',
  `/${'x'.repeat(9000)}`,
  '\\\\host\\share',
  'http://[::1]:1/',
];

const CHALLENGES = [
  'Basic',
  'Basic realm="x"',
  `Basic realm="${'x'.repeat(3000)}`,
  'Digest',
  'Digest realm="x", nonce="y", qop="auth", algorithm=SHA-256',
  'Digest realm="x", nonce="y", algorithm=MD5-sess, qop="auth-int,auth"',
  'Digest realm="\\", nonce=, qop==',
  'NTLM',
  'NTLM AAAA',
  'NTLM TlRMTVNTUAACAAAAAAAAADgAAAABggAA////////AAAAAAAAAAAAAAAAAAAA',
  `NTLM ${'A'.repeat(4000)}`,
  'Negotiate',
  'Negotiate oRUwE6ADCgEAoQwGCisGAQQBgjcCAgo=',
  'Bearer',
  '__proto__ constructor="toString"',
  ', , Basic realm="a", , NTLM,, Digest',
];

const NAMES: readonly [string, readonly string[]][] = [
  ['BITS-Packet-Type', VALUES],
  ['BITS-Received-Content-Range', VALUES],
  ['BITS-Recieved-Content-Range', VALUES],
  ['BITS-Session-Id', VALUES],
  ['BITS-Protocol', VALUES],
  ['BITS-Error-Code', VALUES],
  ['BITS-Error', VALUES],
  ['BITS-Error-Context', VALUES],
  ['BITS-Host-Id', VALUES],
  ['BITS-Host-Id-Fallback-Timeout', VALUES],
  ['BITS-Reply-URL', [...VALUES, ...LOCATIONS]],
  ['BITS-Static-Response-URL', [...VALUES, ...LOCATIONS]],
  ['Location', [...VALUES, ...LOCATIONS]],
  ['WWW-Authenticate', CHALLENGES],
  ['Proxy-Authenticate', CHALLENGES],
  ['Retry-After', VALUES],
  ['Content-Length', VALUES],
  ['Content-Range', VALUES],
  ['Content-Encoding', ['gzip', 'br', 'identity', 'x']],
  ['Transfer-Encoding', ['chunked', 'gzip, chunked', 'identity', 'chunked, chunked', 'x']],
  ['Connection', ['close', 'keep-alive', 'upgrade', 'close, keep-alive', '']],
  ['Keep-Alive', ['timeout=0', 'timeout=-1', 'timeout=9999999999', 'max=0']],
  ['Upgrade', ['h2c', 'websocket']],
  ['ETag', VALUES],
  ['Last-Modified', VALUES],
  ['Date', VALUES],
];

type Twist = (draft: Draft, random: Random) => void;

/** Changes of an answer that stays one in form. */
const TWISTS: readonly Twist[] = [
  (draft, random) => {
    draft.status = random.pick(STATUSES);
  },
  (draft, random) => {
    const [name, values] = random.pick(NAMES);
    const value = random.pick(values);
    const known = draft.headers.find(([key]) => key === name);
    if (known === undefined || random.chance(0.2)) draft.headers.push([name, value]);
    else known[1] = value;
  },
  (draft, random) => {
    draft.headers.splice(random.integer(0, draft.headers.length), 1);
  },
  (draft, random) => {
    draft.headers = draft.headers.map(([name, value]) => [
      random.pick([name.toLowerCase(), name.toUpperCase()]),
      value,
    ]);
  },
  (draft, random) => {
    draft.body = Buffer.concat([draft.body, random.bytes(random.pick([1, 10, 3000, 70_000]))]);
    if (random.chance(0.5)) draft.headers.push(['Content-Length', String(draft.body.length)]);
  },
  (draft, random) => {
    draft.headers.push([`X-${'a'.repeat(random.pick([1, 100, 20_000]))}`, 'b'.repeat(100)]);
  },
  (draft, random) => {
    const count = random.pick([10, 150, 3000]);
    for (let i = 0; i < count; i++) draft.headers.push([`X-${i}`, 'y']);
  },
  (draft) => {
    draft.headers = draft.headers.filter(([name]) => name.toLowerCase() !== 'content-length');
  },
  (draft, random) => {
    draft.headers = draft.headers.filter(([name]) => name !== 'Content-Length');
    draft.headers.push(['Transfer-Encoding', 'chunked']);
    draft.body = Buffer.from(
      random.pick([
        '0\r\n\r\n',
        '5\r\nhello\r\n0\r\nX: y\r\n\r\n',
        'fffffffff\r\n',
        '-1\r\n',
        'zz\r\n',
      ]),
    );
  },
];

function write({ status, headers, body }: Draft, random: Random): Buffer {
  const version = random.chance(0.9)
    ? 'HTTP/1.1'
    : random.pick(['HTTP/1.0', 'HTTP/2.0', 'ICY', '']);
  const lineEnd = random.chance(0.95) ? '\r\n' : random.pick(['\n', '\r', '\r\n ']);
  const lines = headers.map(([name, value]) => `${name}: ${value}${lineEnd}`);
  return Buffer.concat([
    Buffer.from(`${version} ${status}\r\n${lines.join('')}\r\n`, 'latin1'),
    body,
  ]);
}

/** Changes of the bytes of an answer. */
const DAMAGES: readonly ((bytes: Buffer, random: Random) => Buffer)[] = [
  (bytes) => bytes,
  (bytes) => bytes,
  (bytes) => bytes,
  (bytes, random) => {
    const flipped = Buffer.from(bytes);
    for (let i = random.integer(1, 5); i > 0; i--) {
      flipped[random.integer(0, flipped.length - 1)] = random.integer(0, 255);
    }
    return flipped;
  },
  (bytes, random) => bytes.subarray(0, random.integer(0, bytes.length)),
  (bytes) => Buffer.concat([bytes, bytes]),
  (bytes, random) => Buffer.concat([random.bytes(random.integer(1, 50)), bytes]),
  (bytes, random) => Buffer.concat([bytes, random.bytes(random.integer(1, 50))]),
  (bytes, random) => {
    const interim = random.pick([
      'HTTP/1.1 100 Continue\r\n\r\n',
      'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n',
      'HTTP/1.1 199 x\r\nX: y\r\n\r\n',
      'HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n',
    ]);
    return Buffer.concat([Buffer.from(interim.repeat(random.pick([1, 2, 50, 5000]))), bytes]);
  },
  (_, random) => random.bytes(random.pick([1, 100, 5000])),
];

/** Twists and damages an honest answer, differently for each state of `random`. */
export function hostileAnswer(honest: HonestAnswer, random: Random): HostileAnswer {
  const body = Buffer.from(honest.body);
  const headers = Object.entries({ ...honest.headers, 'Content-Length': String(body.length) });
  const draft: Draft = { status: `${honest.status} Status`, headers, body };
  for (let i = random.integer(0, 3); i > 0; i--) random.pick(TWISTS)(draft, random);
  const bytes = random.pick(DAMAGES)(write(draft, random), random);
  return {
    pieces: split(bytes, random),
    ending: random.pick(['stay', 'stay', 'stay', 'stay', 'close', 'reset']),
  };
}

function split(bytes: Buffer, random: Random): Buffer[] {
  const size = random.pick([bytes.length, bytes.length, 7, 100]);
  // A long answer in small pieces takes longer than all others together.
  const pieceBytes = Math.max(1, size, Math.ceil(bytes.length / 100));
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    pieces.push(bytes.subarray(at, at + pieceBytes));
  }
  return pieces;
}
