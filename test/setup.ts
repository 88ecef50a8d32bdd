/**
 * Loaded before every test: blocks the network, except for loopback.
 *
 * Sockets are blocked, below every client: nock alone would let an extension method such as
 * `BITS_POST` through to undici. nock is loaded but inactive, so that tests use the real `fetch` and
 * `node:http`; a test that needs nock calls `nock.activate()` and, at its end, `nock.restore()`. A
 * test that needs another host name gives its client a `lookup` that answers with a loopback address.
 */
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import nock from 'nock';

const loopback = new net.BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');
loopback.addSubnet('::ffff:127.0.0.0', 104, 'ipv6');

export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const family = net.isIP(bare);
  if (family === 0) return /^localhost\.?$/i.test(bare);
  return loopback.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}

/** The error of a test that tries to reach another machine. */
export class NetworkShutError extends Error {
  readonly code = 'ERR_TEST_NETWORK_SHUT';
  constructor(host: string) {
    super(`A test tried to reach ${host}: tests use loopback only (test/setup.ts)`);
  }
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

function connectOptions(args: unknown[]): net.NetConnectOpts | undefined {
  const first = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (typeof first === 'object' && first !== null) return first as net.NetConnectOpts;
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first };
  const host = typeof args[1] === 'string' ? args[1] : undefined;
  return { port: Number(first), ...(host === undefined ? {} : { host }) };
}

/** Lets a test's own lookup resolve any name, as long as the address is on this machine. */
function guardedLookup(lookup: net.LookupFunction): net.LookupFunction {
  return (host, options, done) =>
    lookup(host, options, (error, address, family) => {
      const addresses = Array.isArray(address) ? address.map((a) => a.address) : [address];
      const outside = error ? undefined : addresses.find((a) => !isLoopback(String(a)));
      if (outside !== undefined) done(new NetworkShutError(host), '', 0);
      else done(error, address, family);
    });
}

const socketPrototype = net.Socket.prototype as unknown as { connect: AnyFunction };
const connect = socketPrototype.connect;
socketPrototype.connect = function (...args) {
  const options = connectOptions(args);
  if (options && !('path' in options && options.path)) {
    const tcp = options as net.TcpNetConnectOpts;
    const host = tcp.host ?? 'localhost';
    if (tcp.lookup && net.isIP(host) === 0) tcp.lookup = guardedLookup(tcp.lookup);
    else if (!isLoopback(host)) {
      const socket = this as net.Socket;
      process.nextTick(() => socket.destroy(new NetworkShutError(host)));
      return socket;
    }
  }
  return connect.apply(this, args);
};

const lookup = dns.lookup as unknown as AnyFunction;
Object.assign(dns, {
  lookup: (...args: unknown[]) => {
    const host = String(args[0] ?? 'localhost');
    if (isLoopback(host) || net.isIP(host) !== 0) return lookup.apply(dns, args);
    const done = args.at(-1) as (error: Error) => void;
    return process.nextTick(done, new NetworkShutError(host));
  },
});
const promisedLookup = dns.promises.lookup as unknown as AnyFunction;
Object.assign(dns.promises, {
  lookup: async (...args: unknown[]) => {
    const host = String(args[0] ?? 'localhost');
    if (!isLoopback(host) && net.isIP(host) === 0) throw new NetworkShutError(host);
    return promisedLookup.apply(dns.promises, args);
  },
});
syncBuiltinESMExports();

// The tests do not use the proxy of the person who runs them.
for (const name of Object.keys(process.env)) {
  if (/^(?:https?|all|no)_proxy$/i.test(name)) delete process.env[name];
}

nock.disableNetConnect();
nock.enableNetConnect((host) => isLoopback(host.replace(/:\d+$/, '')));
nock.restore();
