import http from 'node:http';
import type { Loader, LoaderRequest } from './net.js';

const NET_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'net::ERR_CONNECTION_REFUSED',
  ECONNRESET: 'net::ERR_CONNECTION_RESET',
  EPIPE: 'net::ERR_CONNECTION_RESET',
  HPE_HEADER_OVERFLOW: 'net::ERR_RESPONSE_HEADERS_TOO_BIG',
};

function netError(error: NodeJS.ErrnoException): string {
  const code = error.code ?? '';
  return (
    NET_ERRORS[code] ??
    (code.startsWith('HPE_') ? 'net::ERR_INVALID_HTTP_RESPONSE' : `net::ERR_FAILED (${code})`)
  );
}

/** How often the progress of a body is told, as Chromium does it. */
const PROGRESS_MS = 20;

/** Sends a request over `node:http`, and tells of it as Chromium does. */
export function startNodeLoader(request: LoaderRequest, loader: Loader): void {
  const { method, url, headers, body } = request;
  const { hostname } = new URL(url);
  const outgoing = http.request(url, {
    method,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    headers: { ...headers, ...(body && { 'Content-Length': body.byteLength }) },
  });
  let isOver = false;
  let headBytes = 0;
  const tell = () => {
    const { bytesWritten = 0, writableLength = 0 } = outgoing.socket ?? {};
    headBytes ||= Buffer.byteLength((outgoing as unknown as { _header?: string })._header ?? '');
    const sent = bytesWritten - writableLength - headBytes;
    if (body && sent > 0) loader.emit('progress', Math.min(sent, body.byteLength));
  };
  const timer = setInterval(tell, PROGRESS_MS);
  const end = () => {
    isOver = true;
    clearInterval(timer);
  };
  loader.cancel = () => {
    end();
    outgoing.destroy();
  };
  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    if (isOver) return;
    end();
    loader.emit('error', netError(error));
  });
  outgoing.on('response', (response) => {
    clearInterval(timer);
    const { statusCode = 0, rawHeaders } = response;
    const location = response.headers.location;
    if ([301, 302, 303, 307, 308].includes(statusCode) && location !== undefined) {
      loader.emit('redirect', statusCode, new URL(location, url).href, { location: [location] });
      return;
    }
    loader.emit('response', statusCode, rawHeaders);
    response.on('data', (chunk) => {
      response.pause();
      loader.emit('data', chunk, () => response.resume());
    });
    response.on('end', () => {
      end();
      loader.emit('complete');
    });
    response.on('error', () => {
      if (isOver) return;
      end();
      loader.emit('error', 'net::ERR_CONTENT_LENGTH_MISMATCH');
    });
  });
  outgoing.end(body);
}
