// The server of every measurement, in a process of its own: it takes what it is sent, counts it and
// throws it away. It speaks just enough of BITS, of plain PUT, of tus and of WebDAV for rclone. Plain
// JavaScript without a loader, because it shares the machine with what is measured.
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const HEAD_END = '\r\n\r\n';
const TLS_FILES = new URL('../test/fixtures/tls/', import.meta.url);

const counts = { bodyBytes: 0, files: 0, violations: 0 };
/** Bytes by tenth of a second since the first one. */
let tenths = [];
let firstMs;
/** Next byte wanted, by session. */
const bitsOffsets = new Map();
const tusOffsets = new Map();
/** Bytes of each plain PUT, by path. */
const putBytes = new Map();
let ids = 0;

/** @returns {[status: string, headers: string, body?: string]} */
function answerTo(head, bodyBytes) {
  const packet = head.headers.get('bits-packet-type')?.toLowerCase();
  if (packet !== undefined) return answerBits(packet, head.headers, bodyBytes);
  if (head.headers.has('tus-resumable')) return answerTus(head, bodyBytes);
  if (head.method === 'MKCOL') return ['201 Created', ''];
  if (head.method === 'PROPFIND') return answerPropfind(head.path);
  counts.files += 1;
  putBytes.set(head.path, bodyBytes);
  return ['200 OK', ''];
}

/** rclone asks for the directory, which is not there yet, and for the length of each file that it sent. */
function answerPropfind(path) {
  const bytes = putBytes.get(path);
  if (bytes === undefined) return ['404 Not Found', ''];
  const body =
    `<D:multistatus xmlns:D="DAV:"><D:response><D:href>${path}</D:href><D:propstat>` +
    '<D:status>HTTP/1.1 200 OK</D:status><D:prop><D:resourcetype/>' +
    `<D:getcontentlength>${bytes}</D:getcontentlength></D:prop></D:propstat></D:response></D:multistatus>`;
  return ['207 Multi-Status', 'Content-Type: application/xml\r\n', body];
}

function answerBits(packet, headers, bodyBytes) {
  const ack = 'BITS-Packet-Type: Ack\r\n';
  const id = headers.get('bits-session-id');
  switch (packet) {
    case 'create-session': {
      const created = `{${(++ids).toString(16).padStart(8, '0')}-0000-4000-8000-000000000000}`;
      bitsOffsets.set(created, { next: 0, total: 0 });
      const protocol = 'BITS-Protocol: {7df0354d-249b-430f-820d-3d2a9bef4931}\r\n';
      return ['200 OK', `${ack}${protocol}BITS-Session-Id: ${created}\r\n`];
    }
    case 'fragment': {
      const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '');
      const session = bitsOffsets.get(id);
      const [start, last, total] = range?.slice(1).map(Number) ?? [];
      if (session?.next !== start || last - start + 1 !== bodyBytes) counts.violations += 1;
      bitsOffsets.set(id, { next: last + 1, total });
      return ['200 OK', `${ack}BITS-Received-Content-Range: ${last + 1}\r\n`];
    }
    case 'close-session': {
      const session = bitsOffsets.get(id);
      bitsOffsets.delete(id);
      if (session === undefined || session.next !== session.total) counts.violations += 1;
      else counts.files += 1;
      return ['200 OK', ack];
    }
    default:
      return ['200 OK', ack];
  }
}

function answerTus({ method, path, headers }, bodyBytes) {
  const own = 'Tus-Resumable: 1.0.0\r\n';
  if (method === 'POST') {
    const created = `/tus/${++ids}`;
    tusOffsets.set(created, { next: 0, total: Number(headers.get('upload-length')) });
    return ['201 Created', `${own}Location: ${lateOf(path)}${created}\r\n`];
  }
  const session = tusOffsets.get(path.slice(path.indexOf('/tus/')));
  if (session === undefined || session.next !== Number(headers.get('upload-offset'))) {
    counts.violations += 1;
    return ['409 Conflict', own];
  }
  session.next += bodyBytes;
  if (session.next === session.total) counts.files += 1;
  return ['204 No Content', `${own}Upload-Offset: ${session.next}\r\n`];
}

/** The leading `/late-50` of a path asks for answers that come 50 ms late. */
function lateOf(path) {
  return /^\/late-\d+/.exec(path)?.[0] ?? '';
}

function parseHead(text) {
  const [requestLine, ...lines] = text.split('\r\n');
  const [method, path] = requestLine.split(' ');
  const headers = new Map();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { method, path, headers };
}

function serve(socket) {
  let head;
  let bodyBytes = 0;
  let left = 0;
  let buffered = '';

  const answer = () => {
    const [status, headers, body = ''] = answerTo(head, bodyBytes);
    const length = status.startsWith('204') ? '' : `Content-Length: ${body.length}\r\n`;
    const text = `HTTP/1.1 ${status}\r\n${headers}${length}\r\n${body}`;
    const lateMs = Number(lateOf(head.path).slice('/late-'.length));
    head = undefined;
    if (lateMs > 0) setTimeout(() => socket.write(text), lateMs);
    else socket.write(text);
  };

  const take = (chunk) => {
    if (head === undefined) {
      buffered += chunk.latin1Slice();
      const end = buffered.indexOf(HEAD_END);
      if (end < 0) return;
      head = parseHead(buffered.slice(0, end));
      left = bodyBytes = Number(head.headers.get('content-length') ?? 0);
      if (head.headers.has('transfer-encoding'))
        throw new Error('the sink takes no chunked bodies');
      if (head.headers.has('expect')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      const rest = Buffer.from(buffered.slice(end + HEAD_END.length), 'latin1');
      buffered = '';
      if (left === 0) answer();
      if (rest.length > 0) take(rest);
      return;
    }
    const bytes = Math.min(left, chunk.length);
    counts.bodyBytes += bytes;
    firstMs ??= performance.now();
    const tenth = Math.floor((performance.now() - firstMs) / 100);
    tenths[tenth] = (tenths[tenth] ?? 0) + bytes;
    left -= bytes;
    if (left > 0) return;
    answer();
    if (bytes < chunk.length) take(chunk.subarray(bytes));
  };

  socket.on('data', take);
  socket.on('error', () => socket.destroy());
}

const plain = net.createServer({ noDelay: true }, serve);
const secure = tls.createServer(
  {
    noDelay: true,
    key: readFileSync(new URL('key.pem', TLS_FILES)),
    cert: readFileSync(new URL('cert.pem', TLS_FILES)),
  },
  serve,
);
await Promise.all(
  [plain, secure].map((server) => new Promise((done) => server.listen(0, '127.0.0.1', done))),
);
process.on('message', () => {
  process.send({ ...counts, tenths: Array.from(tenths, (bytes) => bytes ?? 0) });
  tenths = [];
  firstMs = undefined;
  putBytes.clear();
  Object.assign(counts, { bodyBytes: 0, files: 0, violations: 0 });
});
process.on('disconnect', () => process.exit());
process.send({ plainPort: plain.address().port, securePort: secure.address().port });
