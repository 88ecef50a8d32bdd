import { randomBytes } from 'node:crypto';
import { authSetupError } from './auth-error.js';
import { type Challenge, offerOf } from './challenges.js';
import { channelBindingHash } from './channel-binding.js';
import {
  type Credentials,
  type CredentialsSource,
  secretOf,
  windowsAccount,
} from './credentials.js';
import { fileTime, hmacMd5, ntlmV2Responses, ntowfV2 } from './ntlm-hashes.js';
import {
  AV_FLAG_MIC,
  AV_ID,
  type AvPair,
  decodeChallenge,
  encodeAuthenticate,
  encodeAvPairs,
  encodeNegotiate,
  MIC_OFFSET,
  NTLM_FLAGS,
  type NtlmChallenge,
} from './ntlm-messages.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  NOTHING,
  REFUSED,
  STRENGTH,
} from './scheme.js';

export interface NtlmAnswerInput {
  readonly credentials: Credentials;
  /** The NEGOTIATE and CHALLENGE messages, as sent and received: the MIC covers them. */
  readonly negotiate: Uint8Array;
  readonly challenge: Buffer;
  /** Name of the service, `HTTP/host`. */
  readonly servicePrincipal: string;
  /** Of the server, in DER, when the connection is TLS. */
  readonly peerCertificate?: Uint8Array | undefined;
  /** 8 bytes. */
  readonly clientChallenge: Uint8Array;
  readonly nowMs: number;
}

/**
 * Computes the AUTHENTICATE message of NTLMv2 ([MS-NLMP] §3.1.5.1.2).
 *
 * @returns undefined when the message is not a challenge.
 * @throws BITS_ERR_AUTH for a name that the server's character set does not have.
 */
export function ntlmAnswer(input: NtlmAnswerInput): Buffer | undefined {
  const { credentials, negotiate, clientChallenge } = input;
  const challenge = decodeChallenge(input.challenge);
  if (challenge === undefined) return undefined;
  const { user, domain } = windowsAccount(credentials);
  const key = ntowfV2(credentials.password, user, domain);
  const { targetInfo } = challenge;
  const timestamp = targetInfo?.find(({ id }) => id === AV_ID.timestamp)?.value;
  const hasMic = timestamp?.byteLength === 8;
  const { lmResponse, ntResponse, sessionBaseKey } = ntlmV2Responses({
    key,
    serverChallenge: challenge.serverChallenge,
    clientChallenge,
    time: hasMic ? timestamp : fileTime(input.nowMs),
    targetInfo: encodeAvPairs(targetInfo ? clientTargetInfo(targetInfo, hasMic, input) : []),
  });
  const text = textEncoder(challenge);
  const message = encodeAuthenticate({
    flags: answerFlags(challenge),
    domain: text(domain),
    user: text(user),
    workstation: new Uint8Array(0),
    // Only servers without target information need it: others have a better proof.
    lmResponse: targetInfo ? Buffer.alloc(24) : lmResponse,
    ntResponse,
    sessionKey: new Uint8Array(0),
    hasMic,
  });
  if (hasMic) {
    hmacMd5(sessionBaseKey, negotiate, input.challenge, message).copy(message, MIC_OFFSET);
  }
  return message;
}

/** The server's description of itself, with what the client adds; the proof covers all of it. */
function clientTargetInfo(
  fromServer: readonly AvPair[],
  hasMic: boolean,
  { servicePrincipal, peerCertificate }: NtlmAnswerInput,
): AvPair[] {
  const own: ReadonlySet<number> = new Set([AV_ID.flags, AV_ID.targetName, AV_ID.channelBindings]);
  const flags = Buffer.alloc(4);
  const flagsOfServer = fromServer.find(({ id }) => id === AV_ID.flags)?.value;
  if (flagsOfServer?.byteLength === 4) flags.set(flagsOfServer);
  const others = flags.readUInt32LE() & ~AV_FLAG_MIC;
  flags.writeUInt32LE((others | (hasMic ? AV_FLAG_MIC : 0)) >>> 0);
  return [
    ...fromServer.filter(({ id }) => !own.has(id)),
    ...(flags.readUInt32LE() === 0 ? [] : [{ id: AV_ID.flags, value: flags }]),
    {
      id: AV_ID.channelBindings,
      value: peerCertificate ? channelBindingHash(peerCertificate) : Buffer.alloc(16),
    },
    { id: AV_ID.targetName, value: Buffer.from(servicePrincipal, 'utf16le') },
  ];
}

/** The flags that both sides want; HTTP needs no signing and sealing. */
function answerFlags({ flags }: NtlmChallenge): number {
  const charset = (flags & NTLM_FLAGS.unicode) !== 0 ? NTLM_FLAGS.unicode : NTLM_FLAGS.oem;
  const common =
    flags &
    (NTLM_FLAGS.requestTarget |
      NTLM_FLAGS.alwaysSign |
      NTLM_FLAGS.extendedSessionSecurity |
      NTLM_FLAGS.targetInfo |
      NTLM_FLAGS.strength128 |
      NTLM_FLAGS.strength56);
  return (common | charset | NTLM_FLAGS.ntlm | NTLM_FLAGS.version) >>> 0;
}

function textEncoder({ flags }: NtlmChallenge): (text: string) => Buffer {
  if ((flags & NTLM_FLAGS.unicode) !== 0) return (text) => Buffer.from(text, 'utf16le');
  return (text) => {
    // An OEM server does not tell its code page.
    if (/[^\x20-\x7e]/.test(text)) {
      throw authSetupError(
        'The NTLM server does not support Unicode: the user name and domain must be plain ASCII',
      );
    }
    return Buffer.from(text, 'latin1');
  };
}

/**
 * NTLMv2, under its own name or as it is within `Negotiate` ([MS-NTHT]).
 *
 * @param token the name of the scheme in HTTP headers.
 */
export function ntlmScheme(
  credentials: CredentialsSource,
  token: 'NTLM' | 'Negotiate',
): AuthScheme {
  const scheme = token.toLowerCase();
  return {
    name: scheme,
    title: token === 'NTLM' ? 'NTLM' : 'Negotiate with NTLM',
    connectionBound: true,
    eager: false,
    strength: (offers) => {
      if (!offerOf(offers, scheme)) return undefined;
      return token === 'NTLM' ? STRENGTH.ntlm : STRENGTH.ntlmInNegotiate;
    },
    begin: () => new NtlmState(credentials, token),
  };
}

type Phase = 'new' | 'negotiating' | 'judged' | 'accepted';

class NtlmState implements AuthState {
  readonly #credentials: CredentialsSource;
  readonly #token: string;
  #phase: Phase = 'new';
  #negotiate = encodeNegotiate();

  constructor(credentials: CredentialsSource, token: string) {
    this.#credentials = credentials;
    this.#token = token;
  }

  async authorize(
    request: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (offers === undefined && this.#phase === 'accepted') return NOTHING;
    if (offers === undefined || this.#phase === 'new' || this.#phase === 'accepted') {
      this.#phase = 'negotiating';
      this.#negotiate = encodeNegotiate();
      return { type: 'send', value: this.#value(this.#negotiate) };
    }
    if (this.#phase === 'judged') return REFUSED;
    const token = offerOf(offers, this.#token.toLowerCase())?.token68;
    if (token === undefined) return this.#unusable(request);
    const credentials = await this.#credentials.get(request.signal);
    const message = ntlmAnswer({
      credentials,
      negotiate: this.#negotiate,
      challenge: Buffer.from(token, 'base64'),
      servicePrincipal: `HTTP/${request.peer.hostname}`,
      peerCertificate: request.peerCertificate,
      clientChallenge: randomBytes(8),
      nowMs: Date.now(),
    });
    if (message === undefined) return this.#unusable(request);
    this.#phase = 'judged';
    return { type: 'send', value: this.#value(message), secret: secretOf(credentials) };
  }

  accepted(): void {
    this.#phase = 'accepted';
  }

  #value(message: Buffer): string {
    return `${this.#token} ${message.toString('base64')}`;
  }

  #unusable({ peer }: AuthRequest): AuthStep {
    const reason = authSetupError(
      `${peer.title} offers ${this.#token} but did not continue the NTLM handshake: it may accept only Kerberos, or a proxy in between may mix up connections`,
    );
    return { type: 'unusable', reason };
  }
}
