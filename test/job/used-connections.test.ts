import { expect } from 'chai';
import { BitsAbortError, BitsTimeoutError, BitsTransportError } from '../../src/errors.js';
import { overUsedConnections } from '../../src/job/used-connections.js';
import type { WireRequest, WireResponse } from '../../src/transport/transport.js';
import { fragment, get, LONG, ping, rejection } from '../transport/support.js';

const HERE = new URL('http://bits.example/a.bin');
const ELSEWHERE = new URL('http://other.example/a.bin');
const OK = { status: 200 } as WireResponse;
const broken = () => new BitsTransportError('the connection broke');
const refused = () =>
  new BitsTransportError('refused', {
    cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED', syscall: 'connect' }),
  });

/** A transport of which the first requests fail, in this way. */
function failing(...failures: readonly (Error | undefined)[]) {
  const sent: WireRequest[] = [];
  const transport = overUsedConnections({
    limitations: [],
    close: async () => {},
    send: async (request) => {
      sent.push(request);
      const failure = failures[sent.length - 1];
      if (failure !== undefined) throw failure;
      return OK;
    },
  });
  return { transport, sent };
}

const packet = (type: string, url = HERE): WireRequest => ping(url, { 'BITS-Packet-Type': type });

describe('over connections that an earlier job left', () => {
  for (const request of [packet('Create-Session'), packet('Ping'), get(HERE)]) {
    const what = request.headers['BITS-Packet-Type'] ?? request.method;
    it(`the first request is sent once more when its connection breaks: ${what}`, async () => {
      const { transport, sent } = failing(broken());
      expect(await transport.send(request, LONG)).to.equal(OK);
      expect(sent).to.deep.equal([request, request]);
    });
  }

  it('it is sent twice and no more', async () => {
    const failures = [broken(), broken()];
    const { transport, sent } = failing(...failures);
    expect(await rejection(transport.send(ping(HERE), LONG))).to.equal(failures[1]);
    expect(sent).to.have.lengthOf(2);
  });

  it('later ones are left to the retries of the job, but for the first to another host', async () => {
    const { transport, sent } = failing(undefined, broken(), broken());
    await transport.send(ping(HERE), LONG);
    await rejection(transport.send(ping(HERE), LONG));
    expect(sent).to.have.lengthOf(2);
    expect(await transport.send(ping(ELSEWHERE), LONG)).to.equal(OK);
    expect(sent).to.have.lengthOf(4);
  });

  for (const request of [
    packet('Close-Session'),
    packet('Cancel-Session'),
    fragment(HERE, Buffer.from('x')),
  ]) {
    it(`what the server must not see twice is not sent again: ${request.headers['BITS-Packet-Type']}`, async () => {
      const { transport, sent } = failing(broken());
      await rejection(transport.send(request, LONG));
      expect(sent).to.have.lengthOf(1);
    });
  }

  for (const [what, error] of [
    ['there was no connection', refused()],
    ['the server took too long', new BitsTimeoutError('no answer')],
    ['the job was aborted', new BitsAbortError('aborted')],
    ['it is no use', new BitsTransportError('not HTTP', { retryable: false })],
    ['the transport is at fault', new RangeError('a bug')],
  ] as const) {
    it(`nothing is sent again when ${what}`, async () => {
      const { transport, sent } = failing(error);
      expect(await rejection(transport.send(ping(HERE), LONG))).to.equal(error);
      expect(sent).to.have.lengthOf(1);
    });
  }
});
