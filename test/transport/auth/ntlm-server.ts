import { createHmac, randomBytes } from 'node:crypto';

/** MD4 of 'Password' in UTF-16LE ([MS-NLMP] §4.2.2.1.2): the server side hashes nothing itself. */
const NT_HASH = Buffer.from('a4f49c406510bdcab6824ee7c30fd852', 'hex');

export const NTLM_USER = { username: 'Domain\\User', password: 'Password' } as const;

export interface ServerChallengeOptions {
  readonly challenge?: Buffer;
  /** FILETIME: asks for a MIC. */
  readonly timestamp?: Buffer;
  readonly oem?: boolean;
  /** In MsvAvFlags. */
  readonly avFlags?: number;
  readonly withoutTargetInfo?: boolean;
}

function avPair(id: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(id, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, value]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A CHALLENGE message, written from [MS-NLMP] §2.2.1.2. */
export function serverChallenge(options: ServerChallengeOptions = {}): Buffer {
  const info = Buffer.concat([
    avPair(2, Buffer.from('Domain', 'utf16le')),
    avPair(1, Buffer.from('Server', 'utf16le')),
    ...(options.timestamp ? [avPair(7, options.timestamp)] : []),
    ...(options.avFlags === undefined ? [] : [avPair(6, uint32(options.avFlags))]),
    avPair(0, Buffer.alloc(0)),
  ]);
  const name = Buffer.from('Server', options.oem ? 'latin1' : 'utf16le');
  const head = Buffer.alloc(56);
  head.write('NTLMSSP\0', 'latin1');
  head.writeUInt32LE(2, 8);
  head.writeUInt16LE(name.length, 12);
  head.writeUInt16LE(name.length, 14);
  head.writeUInt32LE(56, 16);
  const flags = options.oem ? 0xe28a8232 : 0xe28a8233;
  head.writeUInt32LE((flags & (options.withoutTargetInfo ? ~0x0080_0000 : ~0)) >>> 0, 20);
  (options.challenge ?? Buffer.from('0123456789abcdef', 'hex')).copy(head, 24);
  head.writeUInt16LE(info.length, 40);
  head.writeUInt16LE(info.length, 42);
  head.writeUInt32LE(56 + name.length, 44);
  if (options.withoutTargetInfo) return Buffer.concat([head.fill(0, 40, 48), name]);
  return Buffer.concat([head, name, info]);
}

export interface ReadAuthenticate {
  readonly user: string;
  readonly domain: string;
  readonly lmResponse: Buffer;
  readonly ntResponse: Buffer;
  readonly time: Buffer;
  readonly av: ReadonlyMap<number, Buffer>;
  readonly hasMic: boolean;
}

/** An AUTHENTICATE message, read from [MS-NLMP] §2.2.1.3. */
export function readAuthenticate(message: Buffer): ReadAuthenticate {
  const field = (at: number) => {
    const start = message.readUInt32LE(at + 4);
    return message.subarray(start, start + message.readUInt16LE(at));
  };
  const ntResponse = field(20);
  const av = new Map<number, Buffer>();
  for (let at = 44; at + 4 <= ntResponse.length; ) {
    const id = ntResponse.readUInt16LE(at);
    const length = ntResponse.readUInt16LE(at + 2);
    if (id === 0) break;
    av.set(id, ntResponse.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return {
    domain: field(28).toString('utf16le'),
    user: field(36).toString('utf16le'),
    lmResponse: field(12),
    ntResponse,
    time: ntResponse.subarray(24, 32),
    av,
    hasMic: av.get(6)?.readUInt32LE() === 2,
  };
}

const hmac = (key: Buffer, ...parts: Buffer[]) =>
  createHmac('md5', key).update(Buffer.concat(parts)).digest();

/** The server's side of NTLMv2 for one connection: knows one user. */
export class NtlmServer {
  readonly #withMic: boolean;
  #negotiate: Buffer | undefined;
  #challenge: Buffer = Buffer.alloc(0);
  isProven = false;
  /** AUTHENTICATE messages that came. */
  answers = 0;
  last: ReadAuthenticate | undefined;

  constructor(withMic = true) {
    this.#withMic = withMic;
  }

  /** What to put into the next 401; undefined when the user is in. */
  take(message: Buffer): string | undefined {
    if (message.readUInt32LE(8) === 1) {
      this.isProven = false;
      this.#negotiate = message;
      const timestamp = Buffer.from('0090d336b734c301', 'hex');
      this.#challenge = serverChallenge({
        challenge: randomBytes(8),
        ...(this.#withMic && { timestamp }),
      });
      return this.#challenge.toString('base64');
    }
    this.answers++;
    this.isProven = this.#verify(message);
    this.#negotiate = undefined;
    return this.isProven ? undefined : '';
  }

  #verify(message: Buffer): boolean {
    // A message without a challenge on this very connection proves nothing.
    if (this.#negotiate === undefined) return false;
    const read = readAuthenticate(message);
    this.last = read;
    const name = Buffer.from(read.user.toUpperCase() + read.domain, 'utf16le');
    const key = hmac(NT_HASH, name);
    const { ntResponse } = read;
    const proof = hmac(key, this.#challenge.subarray(24, 32), ntResponse.subarray(16));
    if (!proof.equals(ntResponse.subarray(0, 16)) || read.user.toLowerCase() !== 'user')
      return false;
    if (!this.#withMic) return true;
    const blank = Buffer.from(message);
    blank.fill(0, 72, 88);
    const mic = hmac(hmac(key, proof), this.#negotiate, this.#challenge, blank);
    return read.hasMic && mic.equals(message.subarray(72, 88));
  }
}
