import { once } from 'node:events';
import net from 'node:net';
import { expect } from 'chai';
import { onAbort } from '../../src/common/abort.js';
import { type DialParts, dial } from '../../src/transport/dial.js';
import { bitsError, gate, rejection } from './support.js';

describe('dialling', () => {
  const closing: { close(): void }[] = [];
  afterEach(() => {
    for (const one of closing.splice(0)) one.close();
  });

  async function listen(): Promise<number> {
    const server = net.createServer((socket) => {
      socket.on('error', () => {}).resume();
      closing.push({ close: () => socket.destroy() });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(server);
    return (server.address() as net.AddressInfo).port;
  }

  /** A port of this machine on which nobody listens. */
  async function closedPort(): Promise<number> {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }

  /**
   * A name with addresses of which each is a port, is silent, or becomes a port when the test says so.
   */
  async function place(...lookups: readonly (readonly string[])[]) {
    const open = await listen();
    const closed = await closedPort();
    const attempts: string[] = [];
    const sockets: net.Socket[] = [];
    const waits: { readonly ms: number; readonly elapse: () => void }[] = [];
    let waiting = gate();
    let asked = 0;
    const parts: DialParts = {
      lookUp: async () => {
        const found = lookups[Math.min(asked++, lookups.length - 1)] ?? [];
        if (found.length === 0) throw Object.assign(new Error('x'), { code: 'EAI_AGAIN' });
        return found;
      },
      connect: (address) => {
        attempts.push(address);
        // 10.0.0.1 is open, 10.0.0.2 refuses, and the others say nothing.
        const port = { '10.0.0.1': open, 'fd00::1': open, '10.0.0.2': closed }[address];
        const socket = port === undefined ? new net.Socket() : net.connect(port, '127.0.0.1');
        sockets.push(socket);
        return socket;
      },
      wait: (ms, signal) =>
        new Promise((resolve, reject) => {
          waits.push({ ms, elapse: () => resolve() });
          waiting.open();
          onAbort(signal, () => reject(new Error('over')));
        }),
    };
    /** Lets the time pass that is being waited for; gives what was waited for. */
    async function elapse(): Promise<number | undefined> {
      while (waits.length === 0) {
        await waiting.promise;
        waiting = gate();
      }
      const latest = waits.splice(0).at(-1);
      latest?.elapse();
      await new Promise((resolve) => setImmediate(resolve));
      return latest?.ms;
    }
    return { parts, attempts, sockets, elapse };
  }

  const { signal } = new AbortController();

  it('goes on to the next address when one fails', async () => {
    const { parts, attempts } = await place(['10.0.0.2', '10.0.0.1']);
    const socket = await dial('host', 1, signal, parts);
    expect(socket.remotePort).to.be.a('number');
    expect(attempts).to.deep.equal(['10.0.0.2', '10.0.0.1']);
    socket.destroy();
  });

  it('tries the next address after 250 ms, and does not give the first one up', async () => {
    const { parts, attempts, sockets, elapse } = await place(['10.0.0.8', '10.0.0.9']);
    const dialled = dial('host', 1, signal, parts);
    expect(await elapse()).to.equal(250);
    expect(attempts).to.deep.equal(['10.0.0.8', '10.0.0.9']);
    const [slow, silent] = sockets as [net.Socket, net.Socket];
    expect(slow.destroyed).to.equal(false);
    slow.emit('connect');
    expect(await dialled).to.equal(slow);
    expect([slow.destroyed, silent.destroyed]).to.deep.equal([false, true]);
  });

  it('takes the families in turn, beginning with the one that the system prefers', async () => {
    const { parts, attempts, elapse } = await place(['fd00::8', 'fd00::9', '10.0.0.8', '10.0.0.9']);
    const aborting = new AbortController();
    const dialled = dial('host', 1, aborting.signal, parts);
    for (let i = 0; i < 4; i++) await elapse();
    expect(attempts).to.deep.equal(['fd00::8', '10.0.0.8', 'fd00::9', '10.0.0.9']);
    aborting.abort();
    await bitsError(dialled);
  });

  it('looks the name up again when nothing has answered for 5 s, and tries all once more', async () => {
    const { parts, attempts, sockets, elapse } = await place(['10.0.0.8'], [], ['10.0.0.9']);
    const dialled = dial('host', 1, signal, parts);
    expect(await elapse()).to.equal(250);
    expect(await elapse()).to.equal(5000);
    await elapse();
    expect(await elapse()).to.equal(5000);
    expect(attempts).to.deep.equal(['10.0.0.8', '10.0.0.8', '10.0.0.9']);
    const [first, second, third] = sockets as [net.Socket, net.Socket, net.Socket];
    second.emit('connect');
    expect(await dialled).to.equal(second);
    expect([first.destroyed, second.destroyed, third.destroyed]).to.deep.equal([true, false, true]);
  });

  it('fails with the error that tells most, once every address has failed', async () => {
    const { parts, sockets, elapse } = await place(['fd00::8', '10.0.0.2']);
    const dialled = dial('host', 1, signal, parts);
    await elapse();
    const noRoute = Object.assign(new Error('x'), { code: 'ENETUNREACH' });
    sockets[0]?.destroy(noRoute);
    expect(await rejection(dialled)).to.include({ code: 'ECONNREFUSED', syscall: 'connect' });
  });

  it('fails at once when the name cannot be looked up', async () => {
    const { parts } = await place([]);
    expect(await rejection(dial('host', 1, signal, parts))).to.include({ code: 'EAI_AGAIN' });
  });

  it('does not look an address up, with or without brackets', async () => {
    for (const address of ['10.0.0.1', '[fd00::1]']) {
      const { parts, attempts } = await place([]);
      (await dial(address, 1, signal, parts)).destroy();
      expect(attempts).to.deep.equal([address.replace(/[[\]]/g, '')]);
    }
  });

  it('tries 16 addresses of a name, and no more', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `10.0.1.${i}`);
    const { parts, attempts, elapse } = await place(many);
    const aborting = new AbortController();
    const dialled = dial('host', 1, aborting.signal, parts);
    while ((await elapse()) === 250);
    expect(new Set(attempts).size).to.equal(16);
    aborting.abort();
    await bitsError(dialled);
  });

  it('ends every attempt when the signal aborts', async () => {
    const { parts, sockets, elapse } = await place(['10.0.0.8', '10.0.0.9']);
    const aborting = new AbortController();
    const dialled = dial('host', 1, aborting.signal, parts);
    await elapse();
    aborting.abort();
    expect(await bitsError(dialled)).to.include({ code: 'BITS_ERR_ABORTED' });
    expect(sockets.map(({ destroyed }) => destroyed)).to.deep.equal([true, true]);
  });
});
