import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { Dispatcher } from 'undici';
import { BitsAbortError } from '../../src/errors.js';
import type { Connection } from '../../src/transport/connection.js';
import { Exchange } from '../../src/transport/exchange.js';
import { Line } from '../../src/transport/line.js';
import { requestHead } from '../../src/transport/request-head.js';
import type { SendOptions, Transport, WireBody } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { answer, type RawServer } from '../support/raw-server.js';
import { FakeClock } from './fake-clock.js';
import {
  bitsError,
  closedAfterEach,
  fragment,
  gate,
  LONG,
  pattern,
  ping,
  rejection,
  withBody,
} from './support.js';

/** An exchange over a connection that a test plays. */
async function exchangeOver(
  bytes: number,
  {
    clock,
    options,
    ...given
  }: {
    clock?: FakeClock;
    options?: Partial<SendOptions>;
    lostAddress?: () => string | undefined;
    unacknowledgedBytes?: () => Promise<number | undefined>;
  } = {},
) {
  const sent: number[] = [];
  const ended = gate();
  const request = fragment(new URL('http://bits.example/a.bin'), pattern(bytes));
  const exchange = new Exchange(
    requestHead(request, 'test'),
    request.body,
    { ...LONG, ...options, onBytesSent: (bytes) => sent.push(bytes) },
    { line: new Line(), onEnd: () => ended.open(), clock },
  );
  let dispatched!: { readonly body: AsyncIterable<Uint8Array> | null };
  let taken!: (bytes: number) => void;
  let resets = 0;
  const connection = {
    wasUsed: false,
    dispatch: async (
      given: typeof dispatched,
      _handler: unknown,
      onBytesSent: (bytes: number) => void,
    ) => {
      dispatched = given;
      taken = onBytesSent;
    },
    lostAddress: () => undefined,
    unacknowledgedBytes: async () => undefined,
    release: () => {},
    reset: () => void resets++,
    ...given,
  } as unknown as Connection;
  await exchange.begin();
  void exchange.sendOver(connection, '/a.bin');
  exchange.onRequestStart();
  for await (const _slice of dispatched.body ?? []);
  return { exchange, sent, taken, ended: ended.promise, resets: () => resets };
}

/**
 * An exchange whose whole body is with the socket, of which that has not yet said that it has left,
 * when the answer comes.
 */
async function answered(status: number) {
  const { exchange, sent, taken, ended, resets } = await exchangeOver(10_000);
  const rawHeaders = ['content-length', '0'].map((text) => Buffer.from(text));
  exchange.onResponseStart({ rawHeaders } as unknown as Dispatcher.DispatchController, status);
  taken(10_000);
  exchange.onResponseEnd();
  const response = await exchange.answer;
  await ended;
  return { response, sent, closed: resets() };
}

describe('a short body', () => {
  const { keep, serve } = closedAfterEach();
  let server: RawServer;
  let transport: Transport;
  beforeEach(async () => {
    // An answer of success would count the bytes by itself.
    server = await serve({
      onRequest: ({ connection }) => void connection.socket.write(answer(409)),
    });
    transport = keep(createUndiciTransport());
  });

  /** Sends ten bytes, and notes what is told to have been sent. */
  function send(pieces: WireBody['pieces'], options: Partial<SendOptions> = {}) {
    const sent: number[] = [];
    const answered = transport.send(withBody(server.url(), { byteLength: 10, pieces }), {
      ...LONG,
      onBytesSent: (bytes) => sent.push(bytes),
      ...options,
    });
    return { answered, sent };
  }

  const WHOLE = Buffer.from('all of it!');
  const later = <T>(value: () => T) =>
    new Promise<void>((resolve) => setImmediate(resolve)).then(value);

  const broken = new Error('disk on fire');
  const throwBroken = (): never => {
    throw broken;
  };
  const iterable = (next: () => Promise<IteratorResult<Uint8Array>>) => () => ({
    [Symbol.asyncIterator]: () => ({ next }),
  });
  for (const [what, pieces] of [
    ['throws when it is opened', throwBroken],
    ['throws', iterable(throwBroken)],
    ['rejects', iterable(() => later(throwBroken))],
  ] as const) {
    it(`that ${what} fails the request with that very error`, async () => {
      const { answered, sent } = send(pieces);
      expect(await rejection(answered)).to.equal(broken);
      expect(sent).to.deep.equal([]);
      expect(server.requests).to.deep.equal([]);
    });
  }

  it('that comes after an abort is not sent', async () => {
    const coming = gate<Uint8Array>();
    const controller = new AbortController();
    const pieces = async function* () {
      yield await coming.promise;
    };
    const { answered, sent } = send(pieces, { signal: controller.signal });
    controller.abort();
    expect(await bitsError(answered)).to.include({ code: 'BITS_ERR_ABORTED' });
    coming.open(WHOLE);
    expect((await transport.send(ping(server.url()), LONG)).status).to.equal(409);
    expect(sent).to.deep.equal([]);
    expect(server.requests).to.have.lengthOf(1);
  });

  it('may take its time: that is no stall of the network', async () => {
    const slow = async function* () {
      await new Promise((resolve) => setTimeout(resolve, 150));
      yield WHOLE;
    };
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
    const whole = async function* () {
      yield WHOLE;
    };
    const timers = () => process.getActiveResourcesInfo().filter((what) => what === 'Timeout');
    // undici starts one of its own with the first request.
    await send(whole).answered;
    const before = timers();
    const controller = new AbortController();
    const { answered } = send(whole, {
      signal: controller.signal,
      answerTimeoutMs: 100_000,
      onBytesSent: () => controller.abort(),
    });
    expect(await bitsError(answered)).to.include({ code: 'BITS_ERR_ABORTED' });
    expect(timers()).to.deep.equal(before);
  });

  it('of another realm is counted as sent, like any other', async () => {
    const foreign = runInNewContext('new Uint8Array(10).fill(7)') as Uint8Array;
    const { answered, sent } = send(async function* () {
      yield foreign;
    });
    await answered;
    expect(sent).to.deep.equal([10]);
    expect(server.requests[0]?.body).to.deep.equal(Buffer.alloc(10, 7));
  });
});

describe('an answer that is there before the socket has told that the body has left', () => {
  it('of success keeps the connection, and counts the bytes', async () => {
    const { response, sent, closed } = await answered(200);
    expect(response.status).to.equal(200);
    expect(closed).to.equal(0);
    expect(sent).to.deep.equal([10_000]);
  });

  it('of failure costs the connection, for the server may not read on', async () => {
    const { response, closed } = await answered(413);
    expect(response.status).to.equal(413);
    expect(closed).to.equal(1);
  });
});

describe('an exchange during which nothing moves', () => {
  it('is given up after 3 s when this machine has lost the address of the connection', async () => {
    const clock = new FakeClock();
    let lost: string | undefined;
    const { exchange, taken, resets } = await exchangeOver(10, { clock, lostAddress: () => lost });
    taken(10);
    clock.run(10_000);
    expect(resets()).to.equal(0);
    lost = '192.0.2.7';
    clock.run(1000);
    const error = await bitsError(exchange.answer);
    expect(error).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
    expect(error.message).to.include('192.0.2.7').and.to.include('bits.example');
    expect(resets()).to.equal(1);
  });

  it('is not looked at while something moves', async () => {
    const clock = new FakeClock();
    let looks = 0;
    const lostAddress = () => void looks++;
    const { exchange, taken } = await exchangeOver(100, { clock, lostAddress });
    for (let i = 0; i < 10; i++) {
      taken(5);
      clock.run(2900);
    }
    expect(looks).to.equal(0);
    exchange.cut(new BitsAbortError('done'));
    await bitsError(exchange.answer);
  });
});

describe('an exchange of which the system tells what the other end has not acknowledged', () => {
  const LIMITS = { stallTimeoutMs: 20_000, answerTimeoutMs: 20_000 };

  /** Its body is with the system, and leaves it as a test wants. */
  async function leaving() {
    const clock = new FakeClock();
    const system = { unacknowledgedBytes: 100 };
    const { exchange, taken } = await exchangeOver(100, {
      clock,
      options: LIMITS,
      unacknowledgedBytes: async () => system.unacknowledgedBytes,
    });
    taken(100);
    let error: Error | undefined;
    exchange.answer.catch((reason) => {
      error = reason;
    });
    const pass = async (seconds: number, bytesPerSecond: number) => {
      for (let i = 0; i < seconds; i++) {
        system.unacknowledgedBytes -= bytesPerSecond;
        clock.run(1000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    return { exchange, pass, error: () => error };
  }

  it('does not time out while bytes leave, however long that takes', async () => {
    const { exchange, pass, error } = await leaving();
    await pass(90, 1);
    expect(error()).to.equal(undefined);
    exchange.cut(new BitsAbortError('done'));
  });

  it('is given up 8 s after the last of them, when some are left', async () => {
    const { pass, error } = await leaving();
    await pass(30, 3);
    await pass(7, 0);
    expect(error()).to.equal(undefined);
    await pass(2, 0);
    expect(error()?.message).to.match(/^No byte of the request moved .* for 8000 ms/);
  });

  it('has the whole time for its answer, when all have left', async () => {
    const { pass, error } = await leaving();
    await pass(50, 2);
    await pass(19, 0);
    expect(error()).to.equal(undefined);
    await pass(2, 0);
    expect(error()?.message).to.include('did not answer within 20000 ms');
  });
});
