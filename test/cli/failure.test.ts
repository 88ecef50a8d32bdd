import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { failureOf, withFlags } from '../../src/cli/failure.js';
import { BitsServerError } from '../../src/index.js';

/** Names of the SDK's options that a user of the command line cannot know. */
const SDK_OPTION =
  /\b(?:tls\.(?!servername of the SDK)\w+|auth\.\w+|allowInsecureAuth|trustedHosts|methodOverride|userAgent|noProxy|fragmentBytes|spoolMaxBytes|reply\.maxBytes|timeouts\.\w+|\w+TimeoutMs|retry\.limit|trustDirectory|onUncertainFragment)\b|overwrite: true|as a stream|option proxy|option for authentication/;

describe('an error on the command line', () => {
  for (const [message, expected] of [
    ['give its authority in tls.ca', 'give its authority in --cacert'],
    ['check proxies, or use methodOverride', 'check proxies, or use --method-override'],
    ['add the host to the option trustedHosts if', 'add the host to --trusted-host if'],
    ['(option trustedHosts)', '(--trusted-host)'],
    ['or the option allowInsecureAuth (--allow-insecure-auth)', 'or --allow-insecure-auth'],
    ['a FIFO: upload it as a stream', 'a FIFO: pipe it into the program and give - as PATH'],
    ['for 600 s (timeouts.noProgressMs).', 'for 600 s.'],
    ['(timeouts.replyMs)', '(--timeout)'],
    ['60 ms (timeouts.answerMs, or timeouts.replyMs for a reply)', '60 ms (--timeout)'],
    [
      '--cacert must be PEM: give the content of the file and not its path; convert DER',
      '--cacert must be PEM: convert DER',
    ],
    ['NO_PROXY or noProxy', 'NO_PROXY or --noproxy'],
    ['http://h/tls.ca and my-trustedHosts', 'http://h/tls.ca and my-trustedHosts'],
    [
      'began with (0x8020001D): start a new job.',
      'began with (0x8020001D): upload it again with put.',
    ],
    ['proxy.tls.ca', 'NODE_EXTRA_CA_CERTS of the environment'],
    ['from the option proxy', 'from the option --proxy'],
    ['x exists; give overwrite: true to replace it', 'x exists; move it away'],
    ['move it away, or give overwrite: true', 'move it away'],
    [
      'PEM: give the content of the file and not its path; convert DER with openssl',
      'PEM: convert DER with openssl',
    ],
    ['within 5 ms (timeouts.answerMs, or timeouts.replyMs for a reply)', 'within 5 ms (--timeout)'],
    ['or make the reply optional.', 'or give --reply-optional.'],
  ] as const) {
    it(`says ${JSON.stringify(expected)} for ${JSON.stringify(message)}`, () => {
      expect(withFlags(message)).to.equal(expected);
    });
  }

  it('names no option of the SDK, whichever part of the SDK made the message', async () => {
    const files = (await readdir('src', { recursive: true })).filter(
      (name) => name.endsWith('.ts') && !/^(?:cli|testing)\b/.test(name),
    );
    const messages: string[] = [];
    for (const file of files) {
      const text = await readFile(join('src', file), 'utf8');
      const code = text.replace(/^ *(?:\/\/|\/?\*).*$/gm, '');
      // A sentence has a space; names and keys have none.
      messages.push(
        ...(code.match(/'(?:[^'\\\n]|\\.)* (?:[^'\\\n]|\\.)*'|`[^`\n]* [^`\n]*`/g) ?? []),
      );
    }
    const named = messages.filter((message) => SDK_OPTION.test(message));
    expect(named).to.have.length.greaterThan(10);
    const left = named.filter((message) => SDK_OPTION.test(withFlags(message)));
    // Of options that the command line checks itself, or does not have.
    const ofSdkOnly = left.filter(
      (message) => !/ must be | must not |onRequest|needs |beside /.test(message),
    );
    expect(ofSdkOnly).to.deep.equal([]);
  });

  it('keeps the code and the details of a refusal', () => {
    const error = new BitsServerError('no', {
      status: 403,
      hresult: 5,
      hresultName: 'X',
      context: 5,
    });
    expect(failureOf(error, { id: '1' })).to.deep.equal({
      ...{ code: 'BITS_ERR_SERVER', message: 'no', retryable: false, status: 403 },
      ...{ hresult: 5, hresultName: 'X', context: 5, id: '1' },
    });
  });

  it('is reported as a bug if it is unexpected', () => {
    expect(failureOf(new TypeError('x')).message).to.match(/^unexpected error.*TypeError: x$/);
  });
});
