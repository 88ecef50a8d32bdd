/** NEGOTIATE flags that this client knows ([MS-NLMP] §2.2.2.5). */
export const NTLM_FLAGS = {
  unicode: 0x0000_0001,
  oem: 0x0000_0002,
  requestTarget: 0x0000_0004,
  ntlm: 0x0000_0200,
  alwaysSign: 0x0000_8000,
  extendedSessionSecurity: 0x0008_0000,
  targetInfo: 0x0080_0000,
  version: 0x0200_0000,
  strength128: 0x2000_0000,
  strength56: 0x8000_0000,
} as const;

/** Ids of the AV pairs in target information ([MS-NLMP] §2.2.2.1). */
export const AV_ID = {
  end: 0x0000,
  flags: 0x0006,
  timestamp: 0x0007,
  targetName: 0x0009,
  channelBindings: 0x000a,
} as const;

/** In the AV pair of flags: the AUTHENTICATE message carries a MIC. */
export const AV_FLAG_MIC = 0x0000_0002;

export interface AvPair {
  readonly id: number;
  readonly value: Uint8Array;
}

const SIGNATURE = Buffer.from('NTLMSSP\0', 'latin1');

/** The version of Windows 10, with revision 15 of NTLM ([MS-NLMP] §2.2.2.10). */
const VERSION = Buffer.from([10, 0, 0x63, 0x45, 0, 0, 0, 15]);

const FIRST_FLAGS =
  (NTLM_FLAGS.unicode |
    NTLM_FLAGS.oem |
    NTLM_FLAGS.requestTarget |
    NTLM_FLAGS.ntlm |
    NTLM_FLAGS.alwaysSign |
    NTLM_FLAGS.extendedSessionSecurity |
    NTLM_FLAGS.targetInfo |
    NTLM_FLAGS.version |
    NTLM_FLAGS.strength128 |
    NTLM_FLAGS.strength56) >>>
  0;

/**
 * The NEGOTIATE message ([MS-NLMP] §2.2.1.1): 40 bytes, because some servers refuse the 32 of one
 * without a version. It names neither user nor machine.
 */
export function encodeNegotiate(): Buffer {
  const message = Buffer.alloc(40);
  SIGNATURE.copy(message);
  message.writeUInt32LE(1, 8);
  message.writeUInt32LE(FIRST_FLAGS, 12);
  VERSION.copy(message, 32);
  return message;
}

export interface NtlmChallenge {
  readonly flags: number;
  /** 8 bytes. */
  readonly serverChallenge: Uint8Array;
  /** Without the end mark; undefined when there is none. */
  readonly targetInfo: readonly AvPair[] | undefined;
}

/** No server sends more ([MS-NLMP] has no limit of its own). */
const MAX_MESSAGE_BYTES = 16 * 1024;

/** Reads a CHALLENGE message ([MS-NLMP] §2.2.1.2); undefined for anything else. */
export function decodeChallenge(message: Buffer): NtlmChallenge | undefined {
  if (message.length < 32 || message.length > MAX_MESSAGE_BYTES) return undefined;
  if (!message.subarray(0, 8).equals(SIGNATURE) || message.readUInt32LE(8) !== 2) return undefined;
  const flags = message.readUInt32LE(20);
  const serverChallenge = Uint8Array.prototype.slice.call(message, 24, 32);
  const hasTargetInfo = (flags & NTLM_FLAGS.targetInfo) !== 0 && message.length >= 48;
  if (!hasTargetInfo) return { flags, serverChallenge, targetInfo: undefined };
  const start = message.readUInt32LE(44);
  const end = start + message.readUInt16LE(40);
  if (end > message.length) return undefined;
  const targetInfo = decodeAvPairs(message.subarray(start, end));
  return targetInfo && { flags, serverChallenge, targetInfo };
}

function decodeAvPairs(bytes: Buffer): AvPair[] | undefined {
  const pairs: AvPair[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const id = bytes.readUInt16LE(at);
    const end = at + 4 + bytes.readUInt16LE(at + 2);
    if (id === AV_ID.end) return pairs;
    if (end > bytes.length) return undefined;
    pairs.push({ id, value: Uint8Array.prototype.slice.call(bytes, at + 4, end) });
    at = end;
  }
  return bytes.length === 0 ? pairs : undefined;
}

/** Target information with its end mark. */
export function encodeAvPairs(pairs: readonly AvPair[]): Buffer {
  return Buffer.concat(
    [...pairs, { id: AV_ID.end, value: new Uint8Array(0) }].flatMap(({ id, value }) => {
      const head = Buffer.alloc(4);
      head.writeUInt16LE(id, 0);
      head.writeUInt16LE(value.byteLength, 2);
      return [head, value];
    }),
  );
}

export interface NtlmAuthenticate {
  readonly flags: number;
  /** Encoded as {@link flags} says: UTF-16LE or OEM. */
  readonly domain: Uint8Array;
  readonly user: Uint8Array;
  readonly workstation: Uint8Array;
  readonly lmResponse: Uint8Array;
  readonly ntResponse: Uint8Array;
  readonly sessionKey: Uint8Array;
  /** 8 bytes. @default that of this client */
  readonly version?: Uint8Array;
  /** Leaves room for the MIC, zero at first. */
  readonly hasMic: boolean;
}

/** Where the MIC stands in an AUTHENTICATE message that has one. */
export const MIC_OFFSET = 72;

const MIC_BYTES = 16;

/** Writes an AUTHENTICATE message ([MS-NLMP] §2.2.1.3), its payload in the order of Windows. */
export function encodeAuthenticate(parts: NtlmAuthenticate): Buffer {
  const headBytes = parts.hasMic ? MIC_OFFSET + MIC_BYTES : MIC_OFFSET;
  const head = Buffer.alloc(headBytes);
  SIGNATURE.copy(head);
  head.writeUInt32LE(3, 8);
  const fields: readonly (readonly [at: number, value: Uint8Array])[] = [
    [28, parts.domain],
    [36, parts.user],
    [44, parts.workstation],
    [12, parts.lmResponse],
    [20, parts.ntResponse],
    [52, parts.sessionKey],
  ];
  let offset = headBytes;
  for (const [at, value] of fields) {
    head.writeUInt16LE(value.byteLength, at);
    head.writeUInt16LE(value.byteLength, at + 2);
    head.writeUInt32LE(offset, at + 4);
    offset += value.byteLength;
  }
  head.writeUInt32LE(parts.flags, 60);
  Buffer.from(parts.version ?? VERSION).copy(head, 64);
  return Buffer.concat([head, ...fields.map(([, value]) => value)]);
}
