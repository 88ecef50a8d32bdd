import net from 'node:net';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { Dispatcher } from 'undici';
import { Exchange } from '../../src/transport/exchange.js';
import { QuickBody } from '../../src/transport/quick-body.js';
import { requestHead } from '../../src/transport/request-head.js';
import type { SendOptions, Transport } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { shimConnector } from '../../src/transport/wire-shim.js';
import { answer, type RawServer, startRawServer } from '../support/raw-server.js';
import { bitsError, fragment, gate, LONG, pattern, ping, rejection, withBody } from './support.js';

const URL_HERE = new URL('http://bits.example/a.bin');

/** A socket as undici gets it, which tells when it is told to that bytes have left. */
function slowSocket(): { socket: net.Socket; tell: () => void } {
  const socket = new net.Socket();
  let tell!: () => void;
  socket.write = ((_chunk: unknown, _encoding: unknown, done: () => void) => {
    tell = done;
    return true;
  }) as net.Socket['write'];
  shimConnector((_options, callback) => callback(null, socket))({} as never, () => {});
  return { socket, tell: () => tell() };
}

/**
 * An exchange whose whole body is with the socket, of which that has not yet said that it has left,
 * when the answer comes.
 */
async function answered(status: number) {
  const asked = gate<Dispatcher.DispatchOptions>();
  const sent: number[] = [];
  const aborted: unknown[] = [];
  const ended = gate();
  const bytes = pattern(10_000);
  const request = fragment(URL_HERE, bytes);
  const exchange = new Exchange(
    requestHead(request, 'test'),
    request.body && new QuickBody(bytes.byteLength, request.body.pieces, () => bytes),
    { ...LONG, onBytesSent: (bytes) => sent.push(bytes) },
    {
      dispatch: (dispatched) => asked.open(dispatched),
      watches: true,
      onUnconnected: () => {},
      onEnd: () => ended.open(),
    },
  );
  const controller = {
    abort: (reason: Error) => void aborted.push(reason),
    pause: () => {},
    resume: () => {},
  };
  exchange.start();
  const { body } = await asked.promise;
  exchange.onRequestStart(controller);
  const { socket, tell } = slowSocket();
  socket.write(body as Uint8Array);
  exchange.onResponseStart(controller, status, { 'content-length': '0' });
  tell();
  exchange.onResponseEnd();
  const response = await exchange.answer;
  await ended.promise;
  return { response, sent, aborted };
}

describe('a short body', () => {
  let server: RawServer;
  let transport: Transport;
  beforeEach(async () => {
    // An answer of success would count the bytes by itself.
    server = await startRawServer({
      onRequest: ({ connection }) => connection.socket.write(answer(409)),
    });
    transport = createUndiciTransport();
  });
  afterEach(async () => {
    await transport.close();
    await server.close();
  });

  /** Sends ten bytes that `whole` gives, and notes what is told to have been sent. */
  function send(
    whole: ConstructorParameters<typeof QuickBody>[2] | undefined,
    options: Partial<SendOptions> = {},
  ) {
    const sent: number[] = [];
    const pieces = async function* () {
      yield Buffer.from('in pieces!');
    };
    const body = whole ? new QuickBody(10, pieces, whole) : { byteLength: 10, pieces };
    const answered = transport.send(withBody(server.url(), body), {
      ...LONG,
      onBytesSent: (bytes) => sent.push(bytes),
      ...options,
    });
    return { answered, sent };
  }

  const WHOLE = Buffer.from('all of it!');
  const later = <T>(value: () => T) =>
    new Promise<void>((resolve) => setImmediate(resolve)).then(value);

  for (const [what, whole, arrives] of [
    ['at hand', () => WHOLE, WHOLE],
    ['that comes later', () => later(() => WHOLE), WHOLE],
    ['that has to be asked for piece by piece', () => undefined, Buffer.from('in pieces!')],
  ] as const) {
    it(`${what} goes out`, async () => {
      const { answered, sent } = send(whole);
      expect((await answered).status).to.equal(409);
      expect(sent).to.deep.equal([10]);
      expect(server.requests.map(({ body }) => body)).to.deep.equal([arrives]);
    });
  }

  const broken = new Error('disk on fire');
  const throwBroken = (): never => {
    throw broken;
  };
  for (const [what, whole] of [
    ['throws', throwBroken],
    ['rejects', () => later(throwBroken)],
  ] as const) {
    it(`that ${what} fails the request with that very error`, async () => {
      const { answered, sent } = send(whole);
      expect(await rejection(answered)).to.equal(broken);
      expect(sent).to.deep.equal([]);
      expect(server.requests).to.deep.equal([]);
    });
  }

  for (const [what, bytes] of [
    ['shorter', Buffer.alloc(9)],
    ['longer', Buffer.alloc(11)],
  ] as const) {
    for (const whole of [() => bytes, () => later(() => bytes)]) {
      it(`that is ${what} than it was said to be is not sent (${whole})`, async () => {
        expect(await bitsError(send(whole).answered)).to.include({ code: 'BITS_ERR_SOURCE' });
        expect(server.requests).to.deep.equal([]);
      });
    }
  }

  it('that comes after an abort is not sent', async () => {
    const coming = gate<Uint8Array>();
    const controller = new AbortController();
    const { answered, sent } = send(() => coming.promise, { signal: controller.signal });
    controller.abort();
    expect(await bitsError(answered)).to.include({ code: 'BITS_ERR_ABORTED' });
    coming.open(WHOLE);
    expect((await transport.send(ping(server.url()), LONG)).status).to.equal(409);
    expect(sent).to.deep.equal([]);
    expect(server.requests).to.have.lengthOf(1);
  });

  it('may take its time: that is no stall of the network', async () => {
    const slow = () => new Promise<Uint8Array>((resolve) => setTimeout(resolve, 150, WHOLE));
    const { answered } = send(slow, { stallTimeoutMs: 50 });
    expect((await answered).status).to.equal(409);
  });

  it('whose first piece takes its time holds no connection meanwhile, which may end', async () => {
    await transport.send(ping(server.url()), LONG);
    const asked = gate();
    const coming = gate();
    const pieces = async function* () {
      asked.open();
      await coming.promise;
      yield WHOLE;
    };
    const answered = transport.send(withBody(server.url(), { byteLength: 10, pieces }), LONG);
    await asked.promise;
    const [first] = server.connections;
    first?.socket.end();
    await first?.closed;
    coming.open();
    expect((await answered).status).to.equal(409);
    expect(server.connections.map(({ requests }) => requests.length)).to.deep.equal([1, 1]);
  });

  it('whose first piece fails costs no connection', async () => {
    const pieces = () => ({ [Symbol.asyncIterator]: () => ({ next: () => later(throwBroken) }) });
    for (let i = 0; i < 3; i++) {
      await transport.send(ping(server.url()), LONG);
      const failing = transport.send(withBody(server.url(), { byteLength: 10, pieces }), LONG);
      expect(await rejection(failing)).to.equal(broken);
    }
    expect(server.connections).to.have.lengthOf(1);
  });

  it('of which the asking makes somebody abort costs no connection, and its source is let go', async () => {
    await transport.send(ping(server.url()), LONG);
    const controller = new AbortController();
    const left = gate();
    const pieces = () => {
      controller.abort();
      return {
        [Symbol.asyncIterator]: () => ({
          next: async () => ({ done: false, value: WHOLE }) as const,
          return: async () => {
            left.open();
            return { done: true, value: undefined } as const;
          },
        }),
      };
    };
    const aborted = transport.send(withBody(server.url(), { byteLength: 10, pieces }), {
      ...LONG,
      signal: controller.signal,
    });
    expect(await bitsError(aborted)).to.include({ code: 'BITS_ERR_ABORTED' });
    await left.promise;
    await transport.send(ping(server.url()), LONG);
    expect(server.connections).to.have.lengthOf(1);
    expect(server.requests).to.have.lengthOf(2);
  });

  it('whose sending makes somebody abort leaves no timer behind', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((what) => what === 'Timeout');
    // undici starts one of its own with the first request.
    await send(() => WHOLE).answered;
    const before = timers();
    const controller = new AbortController();
    const { answered } = send(() => WHOLE, {
      signal: controller.signal,
      answerTimeoutMs: 100_000,
      onBytesSent: () => controller.abort(),
    });
    expect(await bitsError(answered)).to.include({ code: 'BITS_ERR_ABORTED' });
    expect(timers()).to.deep.equal(before);
  });

  it('of another realm is counted as sent, like any other', async () => {
    const foreign = runInNewContext('new Uint8Array(10).fill(7)') as Uint8Array;
    for (const whole of [() => foreign, undefined]) {
      const { answered, sent } = send(whole);
      await answered;
      expect(sent).to.deep.equal([10]);
    }
    expect(server.requests[0]?.body).to.deep.equal(Buffer.alloc(10, 7));
  });
});

describe('an answer that is there before the socket has told that the body has left', () => {
  it('of success keeps the connection, and counts the bytes', async () => {
    const { response, sent, aborted } = await answered(200);
    expect(response.status).to.equal(200);
    expect(aborted).to.deep.equal([]);
    expect(sent).to.deep.equal([10_000]);
  });

  it('of failure costs the connection, for the server may not read on', async () => {
    const { response, aborted } = await answered(413);
    expect(response.status).to.equal(413);
    expect(aborted).to.have.lengthOf(1);
  });
});
