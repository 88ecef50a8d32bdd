import { expect } from 'chai';
import fc from 'fast-check';
import { type BitsErrorCode, BitsServerError } from '../../src/errors.js';
import { decodeAnswer } from '../../src/protocol/decode.js';
import type {
  Ack,
  AnswerHead,
  PacketType,
  RequestPacket,
  WireHeaders,
} from '../../src/protocol/packets.js';
import type { Refusal, RefusalMeaning } from '../../src/protocol/refusal.js';

const NOW_MS = Date.UTC(2007, 5, 18, 21, 1, 0);
const sessionId = '{7EA25C2C-2DF3-4C1D-A1C3-6D4A06E43C77}';
const protocolId = '{7df0354d-249b-430f-820d-3d2a9bef4931}';

const packets: { [T in PacketType]: Extract<RequestPacket, { type: T }> } = {
  'create-session': { type: 'create-session' },
  ping: { type: 'ping' },
  fragment: {
    type: 'fragment',
    sessionId,
    contentName: 'rfc2119.txt',
    range: { start: 0, end: 4723, total: 9446 },
  },
  'close-session': { type: 'close-session', sessionId },
  'cancel-session': { type: 'cancel-session', sessionId },
};
const everyPacket = Object.keys(packets) as PacketType[];

function decode(type: PacketType, status: number, headers: WireHeaders = {}) {
  return decodeAnswer(packets[type], { status, headers }, { nowMs: NOW_MS });
}

function ackOf(type: PacketType, status: number, headers: WireHeaders): Ack {
  const decoded = decode(type, status, { 'bits-packet-type': 'Ack', ...headers });
  if ('refusal' in decoded) throw decoded.refusal.error;
  return decoded.ack;
}

function refusalOf(type: PacketType, status: number, headers: WireHeaders = {}): Refusal {
  const decoded = decode(type, status, headers);
  if ('ack' in decoded) throw new Error(`accepted as ${JSON.stringify(decoded.ack)}`);
  return decoded.refusal;
}

describe('the decoder of acks', () => {
  // As IIS 6 sent them, bare but for Create-Session ([MC-BUP] §4).
  const iis6: WireHeaders = {
    date: 'Mon, 18 Jun 2007 21:01:00 GMT',
    server: 'Microsoft-IIS/6.0',
    'x-powered-by': 'ASP.NET',
    pragma: 'no-cache',
    'bits-packet-type': 'Ack',
    'content-length': '0',
  };
  const replyUrl =
    'BITS-Sessions\\Replies\\{C85B4E0A-9EB9-4114-BFA4-8A43B4710091}\\responsefile.bin';

  const recorded: [string, PacketType, number, WireHeaders, Ack][] = [
    [
      'Create-Session',
      'create-session',
      200,
      {
        ...iis6,
        'bits-protocol': protocolId,
        'bits-session-id': sessionId,
        'accept-encoding': 'identity',
      },
      { type: 'create-session', sessionId },
    ],
    [
      'Create-Session in a farm',
      'create-session',
      201,
      {
        ...iis6,
        'bits-protocol': protocolId.toUpperCase().slice(1, -1),
        'bits-session-id': sessionId,
        'bits-host-id': 'FRANKCAO8',
        'bits-host-id-fallback-timeout': '86400',
      },
      {
        type: 'create-session',
        sessionId,
        hostId: 'frankcao8',
        hostIdFallbackTimeoutMs: 86_400_000,
      },
    ],
    ['Ping', 'ping', 200, iis6, { type: 'ping' }],
    [
      'Fragment',
      'fragment',
      200,
      { ...iis6, 'bits-received-content-range': '4723' },
      { type: 'fragment', nextOffset: 4723 },
    ],
    [
      'the last Fragment of an upload-reply',
      'fragment',
      200,
      { ...iis6, 'bits-received-content-range': '9446', 'bits-reply-url': replyUrl },
      { type: 'fragment', nextOffset: 9446, replyUrl },
    ],
    ['Close-Session', 'close-session', 200, iis6, { type: 'close-session' }],
    ['Cancel-Session', 'cancel-session', 200, iis6, { type: 'cancel-session' }],
  ];
  for (const [name, type, status, headers, ack] of recorded) {
    it(`reads the ack of IIS 6 for ${name}`, () => {
      expect(decode(type, status, headers)).to.deep.equal({ ack });
    });
  }

  const tolerated: [string, PacketType, WireHeaders, Ack][] = [
    ['a packet type in other case', 'ping', { 'bits-packet-type': ' ACK ' }, { type: 'ping' }],
    ['error headers', 'ping', { 'bits-error-code': '0x8020001F' }, { type: 'ping' }],
    ['any session id on a Ping', 'ping', { 'bits-session-id': 'x' }, { type: 'ping' }],
    [
      'an unbraced session id',
      'create-session',
      { 'bits-session-id': '7ea25c2c-2df3-4c1d-a1c3-6d4a06e43c77' },
      { type: 'create-session', sessionId: '7ea25c2c-2df3-4c1d-a1c3-6d4a06e43c77' },
    ],
    [
      'a signed decimal as session id',
      'create-session',
      { 'bits-session-id': '-1234567' },
      { type: 'create-session', sessionId: '-1234567' },
    ],
    [
      'a session id of 100 characters',
      'create-session',
      { 'bits-session-id': 'x'.repeat(100) },
      { type: 'create-session', sessionId: 'x'.repeat(100) },
    ],
    [
      'the misspelt offset header',
      'fragment',
      { 'bits-recieved-content-range': '7' },
      { type: 'fragment', nextOffset: 7 },
    ],
    [
      'the id of the session',
      'fragment',
      { 'bits-session-id': sessionId, 'bits-received-content-range': '7' },
      { type: 'fragment', nextOffset: 7 },
    ],
    [
      'empty headers',
      'fragment',
      { 'bits-session-id': '', 'bits-reply-url': ' ', 'bits-received-content-range': '7' },
      { type: 'fragment', nextOffset: 7 },
    ],
    [
      'an offset above the total, which the session rejects',
      'fragment',
      { 'bits-received-content-range': '9447' },
      { type: 'fragment', nextOffset: 9447 },
    ],
    [
      'an empty host id',
      'create-session',
      {
        'bits-session-id': sessionId,
        'bits-host-id': ' ',
        'bits-host-id-fallback-timeout': '5',
      },
      { type: 'create-session', sessionId },
    ],
  ];
  for (const [name, type, headers, ack] of tolerated) {
    it(`tolerates ${name}`, () => {
      expect(ackOf(type, 200, headers)).to.deep.equal(ack);
    });
  }

  for (const [timeout, expected] of [
    ['1', 1000],
    ['86400', 86_400_000],
    ['4294967294', 2 ** 31 - 1],
    ['4294967295', undefined],
    ['9'.repeat(30), undefined],
    ['0', undefined],
    ['-5', undefined],
    ['soon', undefined],
    ['1.5', undefined],
    [undefined, undefined],
  ] as const) {
    it(`reads a fallback time-out of ${timeout} seconds`, () => {
      const ack = ackOf('create-session', 200, {
        'bits-session-id': sessionId,
        'bits-host-id': 'web3',
        'bits-host-id-fallback-timeout': timeout,
      });
      expect('hostIdFallbackTimeoutMs' in ack ? ack.hostIdFallbackTimeoutMs : undefined).to.equal(
        expected,
      );
    });
  }

  it('accepts any success status in an ack, except 200 and 201 alone for Create-Session', () => {
    expect(ackOf('close-session', 204, {})).to.deep.equal({ type: 'close-session' });
    const refusal = refusalOf('create-session', 202, {
      'bits-packet-type': 'Ack',
      'bits-session-id': sessionId,
    });
    expect(refusal.error.code).to.equal('BITS_ERR_PROTOCOL');
    expect(refusal.error.message).to.contain('202');
  });

  for (const type of everyPacket) {
    for (const headers of [
      {},
      { 'bits-packet-type': 'Nak' },
      { 'content-type': 'text/html', server: 'portal' },
    ]) {
      it(`does not accept a 200 with ${JSON.stringify(headers)} as the ack for ${type}`, () => {
        const { meaning, error } = refusalOf(type, 200, {
          ...headers,
          'bits-session-id': sessionId,
          'bits-received-content-range': '1',
        });
        expect(meaning).to.equal('not-bits');
        expect(error.code).to.equal('BITS_ERR_NOT_BITS');
        expect(error.retryable).to.equal(false);
        expect(error.message).to.match(/URL.*captive portal.*proxy/);
      });
    }
  }

  const misfits: [string, PacketType, WireHeaders][] = [
    ['no session id', 'create-session', {}],
    ['an empty session id', 'create-session', { 'bits-session-id': ' ' }],
    ['no offset', 'fragment', {}],
    ['an illegible offset', 'fragment', { 'bits-received-content-range': 'evil' }],
    ['a range as offset', 'fragment', { 'bits-received-content-range': '0-4722' }],
    ...(['ping', 'create-session', 'close-session', 'cancel-session'] as const).map(
      (type): [string, PacketType, WireHeaders] => [
        `the offset of a Fragment (${type})`,
        type,
        { 'bits-session-id': sessionId, 'bits-received-content-range': '4723' },
      ],
    ),
    ...(['fragment', 'close-session', 'cancel-session'] as const).map(
      (type): [string, PacketType, WireHeaders] => [
        `the id of another session (${type})`,
        type,
        { 'bits-session-id': '{evil}', 'bits-received-content-range': '4723' },
      ],
    ),
    [
      'the GUID of another session (close-session)',
      'close-session',
      { 'bits-session-id': sessionId.replace('7', '8') },
    ],
    [
      'the id of a session in another case when it is no GUID (close-session)',
      'close-session',
      { 'bits-session-id': sessionId.replace('7', 'x') },
    ],
  ];
  for (const [name, type, headers] of misfits) {
    it(`suspects that an ack with ${name} belongs to another packet`, () => {
      const { meaning, error } = refusalOf(type, 200, { 'bits-packet-type': 'Ack', ...headers });
      expect(meaning).to.equal('misfit');
      expect(error).to.include({ code: 'BITS_ERR_PROTOCOL', retryable: false });
      expect(error.message).to.match(/^The ack for .*check.*mixes up answers/);
      expect(error.message).not.to.match(/evil|xxx|[\r\n]/);
    });
  }

  it('compares session ids as GUIDs where both are', () => {
    const bare = sessionId.slice(1, -1).toLowerCase();
    for (const id of [bare, `{${bare}}`, bare.toUpperCase()]) {
      expect(ackOf('close-session', 200, { 'bits-session-id': id }).type).to.equal('close-session');
    }
  });

  const violations: [string, PacketType, WireHeaders][] = [
    ['a session id of 101 characters', 'create-session', { 'bits-session-id': 'x'.repeat(101) }],
    ['a line break in the session id', 'create-session', { 'bits-session-id': 'x\r\nY: z' }],
    ['another script in the session id', 'create-session', { 'bits-session-id': 'x\u00fc' }],
    [
      'another protocol',
      'create-session',
      {
        'bits-session-id': sessionId,
        'bits-protocol': '{00000000-249b-430f-820d-3d2a9bef4931}',
      },
    ],
    [
      'a host id that smuggles a user',
      'create-session',
      { 'bits-session-id': sessionId, 'bits-host-id': 'web3@evil' },
    ],
  ];
  for (const [name, type, headers] of violations) {
    it(`ends the upload after an ack with ${name}`, () => {
      const { meaning, error } = refusalOf(type, 200, { 'bits-packet-type': 'Ack', ...headers });
      expect(meaning).to.equal('fatal');
      expect(error.code).to.equal('BITS_ERR_PROTOCOL');
      expect(error.retryable).to.equal(false);
      expect(error.message).to.match(/^The ack for .*check/);
      expect(error.message).not.to.match(/evil|xxx|[\r\n]/);
    });
  }
});

const transfers: PacketType[] = ['create-session', 'ping', 'fragment'];
const endings: PacketType[] = ['close-session', 'cancel-session'];

/** [packets, statuses, HRESULT, context, meaning, what the message must say] */
type RefusalCase = [
  types: PacketType[],
  statuses: number[],
  hresult: string | undefined,
  context: string | undefined,
  meaning: RefusalMeaning,
  says: RegExp,
];

const refusals: RefusalCase[] = [
  [
    ['ping', 'fragment', 'close-session', 'cancel-session'],
    [400, 403, 404, 408, 416, 429, 500, 501, 503],
    '0x8020001F',
    '0x5',
    'session-not-found',
    /BG_E_SESSION_NOT_FOUND.*does not know the upload session/,
  ],
  [['fragment'], [500], 'x8020001f', undefined, 'session-not-found', /0x8020001F/],
  [['fragment'], [500], '8020001f', '7', 'session-not-found', /0x8020001F/],
  [['create-session'], [500], '0x8020001F', '0x5', 'transient', /BG_E_SESSION_NOT_FOUND/],
  [['fragment'], [416], undefined, undefined, 'out-of-step', /another part/],
  [['create-session', 'ping'], [416], undefined, undefined, 'fatal', /416/],
  [['fragment'], [413], undefined, undefined, 'fragment-too-large', /maxAllowedContentLength/],
  [['create-session', 'ping'], [413], undefined, undefined, 'fatal', /413/],
  [['fragment', 'create-session'], [413, 500], '0x80200020', '0x5', 'fatal', /maximum upload size/],
  [['fragment'], [404], undefined, undefined, 'maybe-too-large', /30,000,000/],
  [['create-session', 'ping'], [404], undefined, undefined, 'fatal', /URL/],
  [transfers, [403], '0x80070005', '0x5', 'fatal', /may not write.*exists.*overwriting/],
  [transfers, [403], undefined, undefined, 'fatal', /permissions/],
  [transfers, [501], '0x80070005', '0x5', 'fatal', /E_ACCESSDENIED.*not enabled/],
  [transfers, [501], undefined, undefined, 'fatal', /not enabled.*BITS_POST/],
  [transfers, [409], undefined, undefined, 'fatal', /exists.*session/],
  [transfers, [400], '0x80070057', '0x5', 'fatal', /E_INVALIDARG.*directory.*4 KiB/],
  [transfers, [400], undefined, undefined, 'fatal', /BITS_POST/],
  [transfers, [405], undefined, undefined, 'fatal', /BITS_POST is blocked.*methodOverride/],
  [transfers, [500], '0x80070112', '0x5', 'transient', /disk is full/],
  [transfers, [500], '0x80070070', '0x5', 'transient', /disk is full/],
  [transfers, [408], '0x80070112', '0x7', 'transient', /application.*not answer in time/],
  [transfers, [408, 429], undefined, undefined, 'transient', /busy/],
  [transfers, [500, 508, 599], undefined, undefined, 'transient', /temporary failure/],
  [transfers, [507], undefined, undefined, 'transient', /no space left/],
  [transfers, [511], undefined, undefined, 'transient', /requires a login/],
  [transfers, [411], undefined, undefined, 'fatal', /Content-Length/],
  [transfers, [414, 431], undefined, undefined, 'fatal', /too long/],
  [transfers, [502, 503, 504], undefined, undefined, 'transient', /not the server behind it/],
  [transfers, [500], '1', '0x5', 'transient', /HTTP status 500: /],
  [everyPacket, [500], 'ZERO', '0x5', 'transient', /HTTP status 500: /],
  [transfers, [400], '0x0', '0x5', 'fatal', /HTTP status 400: /],
  [transfers, [500], 'BG_E_TOO_LARGE', undefined, 'fatal', /0x80200020 BG_E_TOO_LARGE/],
  [endings, [400], 'bg_e_session_not_found', undefined, 'session-not-found', /0x8020001F/],
  [transfers, [500, 403], '0x80200022', '0x5', 'fatal', /not support the upload protocol/],
  [transfers, [500, 403], '0x80200023', '0x5', 'fatal', /execute permissions/],
  [transfers, [505], undefined, undefined, 'fatal', /HTTP\/1\.1/],
  [transfers, [402, 406, 410, 411, 417, 422, 431], undefined, undefined, 'fatal', /refused/],
  [everyPacket, [401], undefined, undefined, 'unauthorized', /server requires authentication/],
  [everyPacket, [407], undefined, undefined, 'unauthorized', /proxy requires authentication/],
  [everyPacket, [300, 301, 302, 303, 304, 305], undefined, undefined, 'fatal', /nowhere/],
  [everyPacket, [307, 308], undefined, undefined, 'fatal', /nowhere/],
  [everyPacket, [0, 100, 101, 199, 600, 999, Number.NaN], undefined, undefined, 'fatal', /./],
  // Win32: handling-server-application-errors.
  [transfers, [306, 308, 399, 408, 409, 500, 502, 503, 504], undefined, '0x7', 'transient', /appl/],
  [
    transfers,
    [300, 301, 302, 303, 304, 305, 307, 400, 403, 404, 410, 413, 416, 429, 501, 505],
    undefined,
    '0x7',
    'fatal',
    /application/,
  ],
  [transfers, [500], '0x80190194', '0x7', 'transient', /BG_E_HTTP_ERROR_404.*status 404/],
  // Win32: ack-for-close-session.
  [endings, [500, 501, 502, 503, 504, 505, 599], undefined, undefined, 'transient', /temporary/],
  [endings, [500], '0x80200020', '0x5', 'transient', /BG_E_TOO_LARGE/],
  [endings, [500], undefined, '0x7', 'transient', /temporary/],
  [
    endings,
    [300, 304, 309, 400, 403, 404, 405, 408, 409, 413, 416, 429, 499],
    undefined,
    undefined,
    'fatal',
    /does not end the session/,
  ],
  [endings, [306, 399, 408, 409], undefined, '0x7', 'fatal', /does not end the session/],
];

const errorCodes: Partial<Record<RefusalMeaning, BitsErrorCode>> = {
  'session-not-found': 'BITS_ERR_SESSION_NOT_FOUND',
  unauthorized: 'BITS_ERR_AUTH',
};
const wireNames: Record<PacketType, string> = {
  'create-session': 'Create-Session',
  ping: 'Ping',
  fragment: 'Fragment',
  'close-session': 'Close-Session',
  'cancel-session': 'Cancel-Session',
};

describe('the decoder of refusals', () => {
  it('names the host that refuses when it is not the one of the URL', () => {
    const head = { status: 404, headers: {} };
    const told = (url: string) => {
      const context = { nowMs: 0, url: new URL(url), ownHost: 'bits.example' };
      const decoded = decodeAnswer({ type: 'create-session' }, head, context);
      return 'refusal' in decoded ? decoded.refusal.error.message : '';
    };
    expect(told('http://web3.example:8080/f')).to.include(
      'was refused by web3.example:8080 with HTTP',
    );
    expect(told('http://bits.example/f')).to.include(
      'Create-Session was refused with HTTP status 404',
    );
  });

  for (const [types, statuses, hresult, context, meaning, says] of refusals) {
    for (const type of types) {
      for (const status of statuses) {
        it(`takes ${[status, hresult, context].join(' ')} to ${type} for ${meaning}`, () => {
          const refusal = refusalOf(type, status, {
            'bits-packet-type': 'Ack',
            'bits-error-code': hresult,
            'bits-error-context': context,
          });
          expect(refusal.meaning).to.equal(meaning);
          const { error } = refusal;
          expect(error).to.be.instanceOf(BitsServerError);
          expect(error.code).to.equal(errorCodes[meaning] ?? 'BITS_ERR_SERVER');
          expect(error.retryable).to.equal(meaning === 'transient');
          expect((error as BitsServerError).status).to.deep.equal(status);
          expect(error.message).to.contain(`${wireNames[type]} was refused with HTTP status`);
          expect(error.message).to.match(says);
        });
      }
    }
  }

  it('carries status, HRESULT, its name and the context as fields', () => {
    const error = refusalOf('fragment', 500, {
      'bits-error': '0x8020001f',
      'bits-error-context': '0x5',
      'retry-after': '5',
    }).error as BitsServerError;
    expect(error).to.include({
      status: 500,
      hresult: 0x8020001f,
      hresultName: 'BG_E_SESSION_NOT_FOUND',
      context: 5,
      retryAfterMs: 5000,
    });
  });

  it('prefers BITS-Error-Code to BITS-Error, and needs neither', () => {
    const both = { 'bits-error-code': '80070005', 'bits-error': '8020001f' };
    expect(refusalOf('fragment', 403, both).meaning).to.equal('fatal');
    const error = refusalOf('fragment', 503, { 'bits-error': 'evil' }).error as BitsServerError;
    expect(error.hresult).to.equal(undefined);
    expect(error.message).not.to.contain('evil');
    const second = { 'bits-error-code': '0', 'bits-error': '8020001f' };
    expect(refusalOf('fragment', 500, second).meaning).to.equal('session-not-found');
  });

  it('says whether it was a BITS server that refused', () => {
    expect(refusalOf('ping', 400).isFromBits).to.equal(undefined);
    expect(refusalOf('ping', 400, { 'bits-error-code': '0' }).isFromBits).to.equal(true);
    expect(refusalOf('ping', 400, { 'bits-error-context': '5' }).isFromBits).to.equal(true);
  });

  it('mentions a name that IIS refuses before anything else', () => {
    for (const status of [400, 404]) {
      const answer = { status, headers: {} };
      const url = new URL('http://server/v/a%26b.txt');
      const decoded = decodeAnswer(packets['create-session'], answer, { nowMs: NOW_MS, url });
      expect(decoded)
        .to.have.nested.property('refusal.error.message')
        .that.match(/\d: IIS refuses/);
    }
  });

  it('names the https URL when a redirect leads there from http', () => {
    const messageOf = (location: string, from = 'http://server/v/f.bin?sig=1') => {
      const answer = { status: 302, headers: { location } };
      const decoded = decodeAnswer(packets.ping, answer, { nowMs: NOW_MS, url: new URL(from) });
      return 'refusal' in decoded ? decoded.refusal.error.message : '';
    };
    for (const location of ['https://server/v/f.bin?sig=1', 'https://me:secret@SERVER/v/f.bin']) {
      expect(messageOf(location)).to.match(/use https:\/\/server\/v\/f\.bin$/);
    }
    for (const location of [
      'https://server/login',
      'https://evil/v/f.bin',
      'http://server/v/f.bin',
    ]) {
      expect(messageOf(location)).to.match(/login pages and captive portals/);
    }
    expect(messageOf('https://server/v/f.bin', 'https://server/v/f.bin')).to.match(/login pages/);
  });

  it('adds the advice of a known HRESULT to a general message, and says nothing twice', () => {
    const general = refusalOf('fragment', 500, { 'bits-error': '80070005' }).error.message;
    expect(general).to.match(/temporary failure.*; check the write permission/);
    const telling = refusalOf('fragment', 403, { 'bits-error': '80070005' }).error.message;
    expect(telling).not.to.contain('check the write permission');
  });

  for (const [headers, expected] of [
    [{ 'bits-received-content-range': '100' }, { nextOffset: 100 }],
    [{ 'bits-recieved-content-range': '0' }, { nextOffset: 0 }],
    [
      { 'bits-received-content-range': '9446', 'bits-reply-url': 'r.bin' },
      { nextOffset: 9446, replyUrl: 'r.bin' },
    ],
    [{ 'bits-received-content-range': '-1' }, {}],
    [{}, {}],
  ] as const) {
    it(`takes ${JSON.stringify(headers)} from a 416`, () => {
      const { meaning, error: _, ...rest } = refusalOf('fragment', 416, headers);
      expect(meaning).to.equal('out-of-step');
      expect(rest).to.deep.equal(expected);
    });
  }

  it('takes an offset and a reply URL from no refusal but a 416', () => {
    const refusal = refusalOf('fragment', 503, {
      'bits-received-content-range': '100',
      'bits-reply-url': 'r.bin',
      location: 'http://elsewhere/',
    });
    expect(refusal).to.have.all.keys('meaning', 'error');
  });

  for (const [value, expected] of [
    ['30', 30_000],
    ['Mon, 18 Jun 2007 21:02:00 GMT', 60_000],
    ['evil', undefined],
  ] as const) {
    it(`passes Retry-After: ${value} on`, () => {
      const refusal = refusalOf('fragment', 503, { 'retry-after': value });
      expect(refusal.retryAfterMs).to.equal(expected);
      expect((refusal.error as BitsServerError).retryAfterMs).to.equal(expected);
    });
  }

  for (const type of everyPacket) {
    it(`follows 307 and 308 with a location, and no other redirect, for ${type}`, () => {
      for (const status of [307, 308]) {
        const refusal = refusalOf(type, status, { location: ' https://web3/vdir/f?sig=secret ' });
        expect(refusal.meaning).to.equal('redirect');
        expect(refusal.location).to.equal('https://web3/vdir/f?sig=secret');
        expect(refusal.error.message).to.contain('host web3').and.not.contain('secret');
      }
      for (const status of [301, 302, 303]) {
        const refusal = refusalOf(type, status, { location: 'https://login.portal/?u=secret' });
        expect(refusal.meaning).to.equal('fatal');
        expect(refusal.location).to.equal(undefined);
        expect(refusal.error.message).to.contain('host login.portal').and.not.contain('secret');
      }
    });
  }

  for (const [location, says] of [
    ['/elsewhere', 'the same host'],
    ['//me:secret@web3:8080/x', 'host web3:8080'],
    ['http://[::1]:80/', 'host [::1]'],
    ['http://host with spaces/', 'no host'],
    ['javascript:secret()', 'no host'],
    ['http://evil\r\nfake log line/', 'no host'],
    ['http://wéb/', 'host xn--wb-bja'],
    [`http://${'a'.repeat(5000)}/`, 'no host'],
  ] as const) {
    it(`shows of the location ${JSON.stringify(location.slice(0, 30))} only ${says}`, () => {
      const { message } = refusalOf('fragment', 302, { location }).error;
      expect(message).to.contain(`pointing to ${says}:`);
      expect(message).not.to.match(/secret|[^\x20-\x7e]/);
    });
  }
});

describe('the decoder of answers', () => {
  const names = [
    'bits-packet-type',
    'bits-protocol',
    'bits-session-id',
    'bits-host-id',
    'bits-host-id-fallback-timeout',
    'bits-received-content-range',
    'bits-reply-url',
    'bits-error-code',
    'bits-error',
    'bits-error-context',
    'retry-after',
    'location',
  ];
  const values = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('Ack', protocolId, sessionId, '0x8020001F', '0x7', '5', 'web3', '//web3/'),
  );
  const answers: fc.Arbitrary<AnswerHead> = fc.record({
    status: fc.oneof(
      fc.integer({ min: 100, max: 600 }),
      fc.constantFrom(200, 416, 500, Number.NaN),
    ),
    headers: fc.dictionary(fc.constantFrom(...names), values),
  });

  it('makes a value with a printable message, and never an exception, of a hostile answer', () => {
    fc.assert(
      fc.property(fc.constantFrom(...everyPacket), answers, (type, answer) => {
        const decoded = decodeAnswer(packets[type], answer, { nowMs: NOW_MS });
        if ('ack' in decoded) {
          expect(answer.status).to.be.within(200, 299);
          expect(decoded.ack.type).to.equal(type);
          return;
        }
        const { meaning, error } = decoded.refusal;
        expect(error.message).to.match(/^[\x20-\x7e]+$/);
        expect(error.message).to.match(/check|remove|free|allow/);
        expect(error.retryable).to.equal(meaning === 'transient');
      }),
      { numRuns: 2000 },
    );
  });

  it('reads headers that a front end sends twice as if they came once', () => {
    const twice = ({ headers, status }: AnswerHead): AnswerHead => {
      const fields = Object.entries(headers).map(([name, value]) => [name, `${value}, ${value}`]);
      return { status, headers: Object.fromEntries(fields) };
    };
    const plain = answers.filter(({ headers }) =>
      Object.values(headers).every((value) => value !== '' && value === value?.trim()),
    );
    fc.assert(
      fc.property(fc.constantFrom(...everyPacket), plain, (type, answer) => {
        const decode = (each: AnswerHead) => decodeAnswer(packets[type], each, { nowMs: NOW_MS });
        const once = JSON.stringify(decode(answer));
        expect(JSON.stringify(decode(twice(answer)))).to.equal(once);
      }),
      { numRuns: 2000 },
    );
  });

  it('does not choose between two different values of a header', () => {
    for (const value of ['Ack, Nak', 'Ack, xAck', 'Ack,Ack', 'AckAck']) {
      expect(refusalOf('ping', 200, { 'bits-packet-type': value }).meaning).to.equal('not-bits');
    }
    const ack = { 'bits-packet-type': 'Ack', 'bits-session-id': sessionId };
    const offsets = { ...ack, 'bits-received-content-range': '5, 6' };
    expect(refusalOf('fragment', 200, offsets).meaning).to.equal('misfit');
    const hosts = { ...ack, 'bits-host-id': 'web3, web4' };
    expect(refusalOf('create-session', 200, hosts).meaning).to.equal('fatal');
    const ids = { 'bits-packet-type': 'Ack', 'bits-session-id': `${sessionId}, ${protocolId}` };
    expect(refusalOf('close-session', 200, ids).meaning).to.equal('misfit');
  });
});
