import { createHmac } from 'node:crypto';
import { md4 } from './md4.js';

export function hmacMd5(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('md5', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

/** NTOWFv2, the key of all that follows ([MS-NLMP] §3.3.2). */
export function ntowfV2(password: string, user: string, domain: string): Buffer {
  const hash = md4(Buffer.from(password, 'utf16le'));
  return hmacMd5(hash, Buffer.from(upperCase(user) + domain, 'utf16le'));
}

/** As in Windows: character by character, so that no name gets longer. */
function upperCase(text: string): string {
  return Array.from(text, (character) => {
    const upper = character.toUpperCase();
    return upper.length === character.length ? upper : character;
  }).join('');
}

export interface NtlmV2Input {
  readonly key: Uint8Array;
  /** 8 bytes. */
  readonly serverChallenge: Uint8Array;
  /** 8 random bytes. */
  readonly clientChallenge: Uint8Array;
  /** 8 bytes: FILETIME, little-endian. */
  readonly time: Uint8Array;
  /** With its end mark. */
  readonly targetInfo: Uint8Array;
}

/** The responses of NTLMv2 ([MS-NLMP] §3.3.2). */
export function ntlmV2Responses(input: NtlmV2Input) {
  const { key, serverChallenge, clientChallenge, time, targetInfo } = input;
  const proven = Buffer.concat([
    Buffer.from([1, 1, 0, 0, 0, 0, 0, 0]),
    time,
    clientChallenge,
    Buffer.alloc(4),
    targetInfo,
    Buffer.alloc(4),
  ]);
  const proof = hmacMd5(key, serverChallenge, proven);
  return {
    ntResponse: Buffer.concat([proof, proven]),
    lmResponse: Buffer.concat([hmacMd5(key, serverChallenge, clientChallenge), clientChallenge]),
    sessionBaseKey: hmacMd5(key, proof),
  };
}

const FILETIME_OF_1970 = 116_444_736_000_000_000n;

/** Milliseconds since 1970 as a FILETIME: 100 ns since 1601, little-endian. */
export function fileTime(ms: number): Buffer {
  const time = Buffer.alloc(8);
  time.writeBigUInt64LE(BigInt(Math.trunc(ms)) * 10_000n + FILETIME_OF_1970);
  return time;
}
