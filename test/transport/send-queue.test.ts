import net from 'node:net';
import { expect } from 'chai';
import { Drain, queuedBytes, unacknowledgedBytes } from '../../src/transport/send-queue.js';
import { skip } from '../support/skip.js';

const row = (local: string, remote: string, state: string, queue: string) =>
  `   0: ${local} ${remote} ${state} ${queue}:00000000 00:00000000 00000000     0        0 1608300 1 0`;

describe('the table of connections of Linux', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid',
    row('0100007F:94EB', '00000000:0000', '0A', '00000007'),
    row('02004D0A:9FB0', '0200580A:1F90', '01', '0001A2B3'),
    row('02004D0A:9FB1', '0200580A:1F90', '06', '00000009'),
    row('02004D0A:9FB1', '0200580A:1F90', '01', '00000005'),
    row('02004D0A:9FB2', '0200580A:01BB', '01', '00000001'),
    row('02004D0A:9FB2', '0300580A:01BB', '01', '00000002'),
    '',
  ].join('\n');

  it('tells what a connection has not got rid of', () => {
    expect(queuedBytes(table, 0x9fb0, 8080)).to.equal(0x1a2b3);
  });

  it('tells it of the connection that lives, not of an ended one between the same ports', () => {
    expect(queuedBytes(table, 0x9fb1, 8080)).to.equal(5);
  });

  it('tells nothing of a connection that it does not have, or that cannot be told from another', () => {
    expect(queuedBytes(table, 0x9fb0, 8081)).to.equal(undefined);
    expect(queuedBytes(table, 0x9fb2, 443)).to.equal(undefined);
    expect(queuedBytes('', 0x9fb0, 8080)).to.equal(undefined);
  });
});

describe('a connection to an end that does not read', () => {
  for (const host of ['127.0.0.1', '::1']) {
    it(`shows what the system still has to send, on Linux (${host})`, async function () {
      if (process.platform !== 'linux') skip(this, 'needs Linux');
      const server = net.createServer((socket) => socket.pause());
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const { port } = server.address() as net.AddressInfo;
      const socket = net.connect(port, host);
      await new Promise((resolve) => socket.once('connect', resolve));
      try {
        expect(await unacknowledgedBytes(socket)).to.equal(0);
        const chunk = Buffer.alloc(1024 * 1024);
        for (let i = 0; i < 64; i++) socket.write(chunk);
        expect(await unacknowledgedBytes(socket)).to.be.above(0);
      } finally {
        socket.destroy();
        server.close();
      }
    });
  }
});

describe('what drains from the system', () => {
  it('has moved when more is acknowledged than at the last look', () => {
    const drain = new Drain();
    expect(drain.look(100, 100, 0)).to.equal(false);
    expect(drain.look(100, 100, 1000)).to.equal(false);
    expect(drain.look(100, 60, 2000)).to.equal(true);
    // As much came as left.
    expect(drain.look(140, 60, 3000)).to.equal(true);
    expect(drain.look(180, 100, 4000)).to.equal(false);
  });

  it('needs as long for what is left as the speed so far says, a pause not counted', () => {
    const drain = new Drain();
    expect(drain.leftMs).to.equal(undefined);
    drain.look(1000, 1000, 0);
    expect(drain.leftMs).to.equal(undefined);
    drain.look(1000, 600, 4000);
    drain.look(1000, 600, 9000);
    expect(drain.leftMs).to.equal(6000);
  });
});
