import net from 'node:net';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { Dispatcher } from 'undici';
import { Exchange } from '../../src/transport/exchange.js';
import { requestHead } from '../../src/transport/request-head.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { shimConnector } from '../../src/transport/wire-shim.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { fragment, gate, LONG, pattern } from './support.js';

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
    request.body && { ...request.body, whole: () => bytes },
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
  it('of another realm is counted as sent, like any other', async () => {
    const server = await startRawServer({
      // One of success would count the bytes by itself.
      onRequest: ({ connection }) => connection.socket.write(answer(409)),
    });
    const transport = createUndiciTransport();
    try {
      const foreign = runInNewContext('new Uint8Array(1000).fill(7)') as Uint8Array;
      const sent: number[] = [];
      await transport.send(fragment(server.url(), foreign), {
        ...LONG,
        onBytesSent: (bytes) => sent.push(bytes),
      });
      expect(sent).to.deep.equal([1000]);
      expect(server.requests[0]?.body.equals(Buffer.alloc(1000, 7))).to.equal(true);
    } finally {
      await transport.close();
      await server.close();
    }
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
