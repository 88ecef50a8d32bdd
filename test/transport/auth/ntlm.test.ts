import { expect } from 'chai';
import fc from 'fast-check';
import { parseChallenges } from '../../../src/transport/auth/challenges.js';
import { channelBindingHash } from '../../../src/transport/auth/channel-binding.js';
import { credentialsSource } from '../../../src/transport/auth/credentials.js';
import { ntlmAnswer, ntlmScheme } from '../../../src/transport/auth/ntlm.js';
import {
  fileTime,
  hmacMd5,
  ntlmV2Responses,
  ntowfV2,
} from '../../../src/transport/auth/ntlm-hashes.js';
import {
  AV_ID,
  decodeChallenge,
  encodeAuthenticate,
  encodeAvPairs,
  encodeNegotiate,
} from '../../../src/transport/auth/ntlm-messages.js';
import { bitsError } from '../support.js';
import { readAuthenticate, serverChallenge } from './ntlm-server.js';
import { request, sent } from './schemes.js';

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');
const utf16 = (text: string) => Buffer.from(text, 'utf16le');

describe('NTLMv2 by the examples of [MS-NLMP] §4.2.4', () => {
  const challengeMessage = hex(`
    4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef 0000000000000000
    2400240044000000 060070170000000f 530065007200760065007200
    02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000`);
  const key = () => ntowfV2('Password', 'User', 'Domain');

  async function responses() {
    const challenge = decodeChallenge(challengeMessage);
    if (challenge === undefined) throw new Error('unread');
    return ntlmV2Responses({
      key: key(),
      serverChallenge: challenge.serverChallenge,
      clientChallenge: Buffer.alloc(8, 0xaa),
      time: Buffer.alloc(8),
      targetInfo: encodeAvPairs(challenge.targetInfo ?? []),
    });
  }

  it('§4.2.4.1.1: NTOWFv2', async () => {
    expect(key().toString('hex')).to.equal('0c868a403bfd7a93a3001ef22ef02e3f');
  });

  it('§4.2.4.1.2: the session base key', async () => {
    expect((await responses()).sessionBaseKey.toString('hex')).to.equal(
      '8de40ccadbc14a82f15cb0ad0de95ca3',
    );
  });

  it('§4.2.4.2.1: the LMv2 response', async () => {
    expect((await responses()).lmResponse.toString('hex')).to.equal(
      '86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa',
    );
  });

  it('§4.2.4.2.2: the NTLMv2 response', async () => {
    expect((await responses()).ntResponse).to.deep.equal(
      hex(`
        68cd0ab851e51c96aabc927bebef6a1c 0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa
        00000000 02000c0044006f006d00610069006e00 01000c00530065007200760065007200
        00000000 00000000`),
    );
  });

  it('§4.2.4.3: the AUTHENTICATE message', async () => {
    const { lmResponse, ntResponse } = await responses();
    const message = encodeAuthenticate({
      flags: 0xe2888235,
      domain: utf16('Domain'),
      user: utf16('User'),
      workstation: utf16('COMPUTER'),
      lmResponse,
      ntResponse,
      // §4.2.4.2.3; HTTP needs no session key, so that this client sends none.
      sessionKey: hex('c5dad2544fc9799094ce1ce90bc9d03e'),
      version: hex('0501280a0000000f'),
      hasMic: false,
    });
    expect(message).to.deep.equal(
      hex(`
        4e544c4d5353500003000000180018006c00000054005400840000000c000c00
        480000000800080054000000100010005c00000010001000d8000000358288e2
        0501280a0000000f44006f006d00610069006e00550073006500720043004f00
        4d005000550054004500520086c35097ac9cec102554764a57cccc19aaaaaaaa
        aaaaaaaa68cd0ab851e51c96aabc927bebef6a1c010100000000000000000000
        00000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069006e00
        01000c005300650072007600650072000000000000000000c5dad2544fc97990
        94ce1ce90bc9d03e`),
    );
  });

  it('ignores the case of the user name but not that of the domain', async () => {
    expect(ntowfV2('Password', 'uSER', 'Domain')).to.deep.equal(key());
    expect(ntowfV2('Password', 'User', 'DOMAIN')).not.to.deep.equal(key());
    // Upper case never makes a Windows name longer.
    expect(ntowfV2('p', 'straße', '')).not.to.deep.equal(ntowfV2('p', 'strasse', ''));
  });
});

describe('NTLM messages', () => {
  it('the first message has 40 bytes, a version and no name', () => {
    const message = encodeNegotiate();
    expect(message).to.have.length(40);
    expect(message.readUInt32LE(12) & 0x0200_0000).not.to.equal(0);
    expect(message.subarray(16, 32).equals(Buffer.alloc(16))).to.equal(true);
  });

  it('FILETIME counts 100 ns from 1601', () => {
    expect(fileTime(0).readBigUInt64LE()).to.equal(116444736000000000n);
    expect(fileTime(1_700_000_000_123).readBigUInt64LE()).to.equal(133444736001230000n);
  });

  it('refuses hostile challenges without throwing', () => {
    const good = serverChallenge();
    for (let end = 0; end < good.length; end++) decodeChallenge(good.subarray(0, end));
    expect(decodeChallenge(Buffer.concat([good, Buffer.alloc(20_000)]))).to.equal(undefined);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const bad = Buffer.from(good);
        bad[at] = value;
        decodeChallenge(bad);
      }),
    );
    const beyond = Buffer.from(good);
    beyond.writeUInt32LE(0xffff_fff0, 44);
    expect(decodeChallenge(beyond)).to.equal(undefined);
  });
});

describe('the NTLM answer', () => {
  const negotiate = encodeNegotiate();
  const base = {
    credentials: { username: 'DOM\\jörg', password: 'pä§' },
    negotiate,
    servicePrincipal: 'HTTP/web',
    clientChallenge: Buffer.alloc(8, 7),
    nowMs: 0,
  };

  it('adds MIC, target name and channel bindings for a server that tells its time', async () => {
    const challenge = serverChallenge({ timestamp: fileTime(1_700_000_000_000) });
    const peerCertificate = Buffer.from('no real certificate');
    const message = ntlmAnswer({ ...base, challenge, peerCertificate });
    const read = readAuthenticate(message!);
    expect(read).to.include({ user: 'jörg', domain: 'DOM' });
    expect(read.lmResponse).to.deep.equal(Buffer.alloc(24));
    expect(read.time).to.deep.equal(fileTime(1_700_000_000_000));
    expect(read.av.get(AV_ID.flags)?.readUInt32LE()).to.equal(2);
    expect(read.av.get(AV_ID.targetName)?.toString('utf16le')).to.equal('HTTP/web');
    expect(read.av.get(AV_ID.channelBindings)).to.deep.equal(channelBindingHash(peerCertificate));
    const key = ntowfV2('pä§', 'jörg', 'DOM');
    const sessionKey = hmacMd5(key, read.ntResponse.subarray(0, 16));
    const withoutMic = Buffer.from(message!);
    withoutMic.fill(0, 72, 88);
    expect(message!.subarray(72, 88)).to.deep.equal(
      hmacMd5(sessionKey, negotiate, challenge, withoutMic),
    );
  });

  it('adds target name and channel bindings without a MIC for a server that does not', async () => {
    const peerCertificate = Buffer.from('no real certificate');
    const challenge = serverChallenge({ avFlags: 0x3 });
    const message = ntlmAnswer({ ...base, challenge, peerCertificate, nowMs: 5 });
    const read = readAuthenticate(message!);
    expect(read.lmResponse).to.deep.equal(Buffer.alloc(24));
    expect(read.time).to.deep.equal(fileTime(5));
    expect(read.av.get(AV_ID.flags)?.readUInt32LE()).to.equal(1);
    expect(read.av.get(AV_ID.targetName)?.toString('utf16le')).to.equal('HTTP/web');
    expect(read.av.get(AV_ID.channelBindings)).to.deep.equal(channelBindingHash(peerCertificate));
  });

  it('sends the LMv2 response only to a server without target information', async () => {
    const challenge = serverChallenge({ withoutTargetInfo: true });
    const message = ntlmAnswer({ ...base, challenge, nowMs: 5 });
    const read = readAuthenticate(message!);
    expect(read.lmResponse.subarray(16)).to.deep.equal(base.clientChallenge);
    expect(read.time).to.deep.equal(fileTime(5));
    expect(read.av.size).to.equal(0);
  });

  it('sends the name with a separate domain, or user@domain as one name', async () => {
    const read = (credentials: { username: string; password: string; domain?: string }) =>
      readAuthenticate(ntlmAnswer({ ...base, credentials, challenge: serverChallenge() })!);
    expect(read({ username: 'u', password: 'p', domain: 'D' })).to.include({
      user: 'u',
      domain: 'D',
    });
    expect(read({ username: 'u@d.example', password: 'p' })).to.include({
      user: 'u@d.example',
      domain: '',
    });
  });

  it('uses OEM encoding for servers without Unicode, and refuses names beyond ASCII', async () => {
    const challenge = serverChallenge({ oem: true });
    const credentials = { username: 'D\\u', password: 'pä' };
    const message = ntlmAnswer({ ...base, credentials, challenge });
    expect(message!.subarray(72, 74).toString('latin1')).to.equal('Du');
    const error = await bitsError((async () => ntlmAnswer({ ...base, challenge }))());
    expect(error.code).to.equal('BITS_ERR_AUTH');
  });
});

describe('the NTLM scheme', () => {
  const credentials = credentialsSource({ username: 'u', password: 'p' });
  const challenge = serverChallenge().toString('base64');

  for (const token of ['NTLM', 'Negotiate'] as const) {
    it(`makes the handshake under the name ${token}, and treats another challenge as a refusal`, async () => {
      const state = ntlmScheme(credentials, token).begin();
      const bare = parseChallenges(token);
      const first = await state.authorize(request(), bare);
      expect(sent(first)).to.match(new RegExp(`^${token} TlRMTVNTUAAB`));
      expect(first).not.to.have.property('secret');
      const second = await state.authorize(request(), parseChallenges(`${token} ${challenge}`));
      expect(sent(second)).to.match(new RegExp(`^${token} TlRMTVNTUAAD`));
      expect(second).to.have.property('secret');
      expect((await state.authorize(request(), bare)).type).to.equal('refused');
    });
  }

  it('sends nothing on a proven connection, and starts over after another challenge', async () => {
    const state = ntlmScheme(credentials, 'NTLM').begin();
    await state.authorize(request(), undefined);
    await state.authorize(request(), parseChallenges(`NTLM ${challenge}`));
    state.accepted({});
    expect((await state.authorize(request(), undefined)).type).to.equal('nothing');
    expect(sent(await state.authorize(request(), parseChallenges('NTLM')))).to.include(
      'TlRMTVNTUAAB',
    );
  });

  it('stops before the proof when no challenge follows', async () => {
    const state = ntlmScheme(credentials, 'Negotiate').begin();
    await state.authorize(request(), parseChallenges('Negotiate'));
    expect(await state.authorize(request(), parseChallenges('Negotiate'))).to.have.property(
      'type',
      'unusable',
    );
    const other = ntlmScheme(credentials, 'Negotiate').begin();
    await other.authorize(request(), parseChallenges('Negotiate'));
    expect(
      await other.authorize(request(), parseChallenges('Negotiate oYG2MIGz')),
    ).to.have.property('type', 'unusable');
  });
});
