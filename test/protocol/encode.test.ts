import { expect } from 'chai';
import { encodeRequest } from '../../src/protocol/encode.js';
import type { RequestPacket } from '../../src/protocol/packets.js';

const sessionId = '{7EA25C2C-2DF3-4C1D-A1C3-6D4A06E43C77}';
const contentName = 'my file.txt';

const cases: [RequestPacket, [string, string][]][] = [
  [
    { type: 'create-session' },
    [
      ['Accept', '*/*'],
      ['BITS-Packet-Type', 'Create-Session'],
      ['BITS-Supported-Protocols', '{7df0354d-249b-430f-820d-3d2a9bef4931}'],
    ],
  ],
  [
    { type: 'ping' },
    [
      ['Accept', '*/*'],
      ['BITS-Packet-Type', 'Ping'],
    ],
  ],
  [
    { type: 'fragment', sessionId, contentName, range: { start: 10, end: 30, total: 40 } },
    [
      ['Accept', '*/*'],
      ['BITS-Packet-Type', 'Fragment'],
      ['BITS-Session-Id', sessionId],
      ['Content-Name', 'my%20file.txt'],
      ['Content-Range', 'bytes 10-29/40'],
    ],
  ],
  [
    { type: 'close-session', sessionId },
    [
      ['Accept', '*/*'],
      ['BITS-Packet-Type', 'Close-Session'],
      ['BITS-Session-Id', sessionId],
    ],
  ],
  [
    { type: 'cancel-session', sessionId },
    [
      ['Accept', '*/*'],
      ['BITS-Packet-Type', 'Cancel-Session'],
      ['BITS-Session-Id', sessionId],
    ],
  ],
];

describe('the encoder', () => {
  for (const [packet, headers] of cases) {
    it(`writes ${packet.type} with the headers of Windows in the same order`, () => {
      const encoded = encodeRequest(packet);
      expect(encoded.method).to.equal('BITS_POST');
      expect(Object.entries(encoded.headers)).to.deep.equal(headers);
    });
  }

  it('refuses a Fragment without a byte, which no Content-Range can express', () => {
    const range = { start: 0, end: 0, total: 0 };
    expect(() => encodeRequest({ type: 'fragment', sessionId, contentName, range })).to.throw(
      RangeError,
    );
  });
});
