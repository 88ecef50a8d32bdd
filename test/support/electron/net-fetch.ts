import { once } from 'node:events';
import { Readable } from 'node:stream';
import type { ElectronNet, ElectronResponse } from '../../../src/electron.js';
import type { FetchFunction } from '../../../src/transport/fetch.js';

/** Electron's `net.fetch`: what is left of a WHATWG request goes to `net.request`, chunk by chunk. */
export function standInFetch(net: ElectronNet): FetchFunction {
  return async (target, init) => {
    const { method, url, headers, credentials, redirect, body, signal } = new Request(target, init);
    const request = net.request({
      method,
      url,
      headers: Object.fromEntries(headers),
      credentials,
      redirect,
    });
    signal.addEventListener('abort', () => request.abort());
    const answered = once(request as unknown as NodeJS.EventEmitter, 'response');
    // Electron fails once more after a redirect, and the fetch is settled by then.
    request.on('error', () => {});
    for await (const chunk of body ?? []) request.write(Buffer.from(chunk));
    request.end();
    const [response] = (await answered) as [ElectronResponse & Readable];
    const isEmpty = [204, 205, 304].includes(response.statusCode);
    const stream = Readable.toWeb(response) as ConstructorParameters<typeof Response>[0];
    return new Response(isEmpty ? null : stream, {
      status: response.statusCode,
      headers: Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
    });
  };
}
