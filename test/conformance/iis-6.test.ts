import { expect } from 'chai';
import { UploadJob } from '../../src/job/upload-job.js';
import { patterned } from '../support/files.js';
import { type RawRequest, type RawServer, startRawServer } from '../support/raw-server.js';

const SESSION_ID = '{1F4A8E6B-2C55-4D0B-9C0E-6F5E2B7A9D11}';
const REPLY_URL =
  'BITS-Sessions\\Replies\\{C85B4E0A-9EB9-4114-BFA4-8A43B4710091}\\responsefile.bin';
const REPLY = patterned(9977, 6);

/** Bare acks in the spelling of IIS 6, as [MC-BUP] §4 shows them. */
function ack(headers: readonly string[] = []): string {
  return [
    'HTTP/1.1 200 OK',
    'Date: Fri, 20 Nov 2026 10:00:00 GMT',
    'Server: Microsoft-IIS/6.0',
    'X-Powered-By: ASP.NET',
    'Pragma: no-cache',
    'BITS-Packet-Type: Ack',
    'Content-Length: 0',
    ...headers,
    '\r\n',
  ].join('\r\n');
}

class Iis6 {
  readonly received: Buffer[] = [];
  answer = (request: RawRequest): void => {
    const { socket } = request.connection;
    switch (request.headers['bits-packet-type']) {
      case 'Create-Session':
        socket.write(
          ack([
            'BITS-Protocol: {7df0354d-249b-430f-820d-3d2a9bef4931}',
            `BITS-Session-Id: ${SESSION_ID}`,
            'Accept-encoding: identity',
          ]),
        );
        return;
      case 'Fragment': {
        this.received.push(Buffer.from(request.body));
        const offset = this.received.reduce((sum, { length }) => sum + length, 0);
        const last = request.headers['content-range']?.endsWith(`-${offset - 1}/${offset}`);
        socket.write(
          ack([
            `BITS-Received-Content-Range: ${offset}`,
            ...(last ? [`BITS-Reply-URL: ${REPLY_URL}`] : []),
          ]),
        );
        return;
      }
      case 'Close-Session':
        socket.write(ack());
        return;
      default:
        socket.write(
          [
            'HTTP/1.1 206 Partial Content',
            `Content-Length: ${REPLY.length}`,
            'Content-Type: application/octet-stream',
            `Content-Range: bytes 0-${REPLY.length - 1}/${REPLY.length}`,
            'Last-Modified: Fri, 20 Nov 2026 10:00:00 GMT',
            'Accept-Ranges: bytes',
            'ETag: "d0ae8c4e2f5dc61:3a4"',
            'Server: Microsoft-IIS/6.0',
            '\r\n',
          ].join('\r\n'),
        );
        socket.write(REPLY);
    }
  };
}

describe('an upload to IIS 6', () => {
  let server: RawServer;
  let iis: Iis6;

  beforeEach(async () => {
    iis = new Iis6();
    server = await startRawServer({ onRequest: iis.answer });
  });
  afterEach(() => server.close());

  it('arrives, though the server offers a reply that was not requested', async () => {
    const content = patterned(40_000);
    const url = server.url('/vdir/file.bin');
    const job = new UploadJob({ url, source: content, fragmentBytes: 16_384 });
    const warnings: string[] = [];
    job.on('warning', ({ code }) => warnings.push(code));
    const result = await job.start();
    expect(result.closed).to.equal('acknowledged');
    expect(Buffer.concat(iis.received)).to.deep.equal(content);
    expect(warnings).to.deep.equal(['reply-not-asked-for']);
  });

  it('fetches a reply from its URL with back-slashes, and closes the session last', async () => {
    const url = server.url('/vdir/file.bin');
    const result = await new UploadJob({ url, source: patterned(40_000), reply: true }).start();
    expect(Buffer.from(result.reply?.data ?? [])).to.deep.equal(REPLY);
    const lines = server.requests.map(({ method, target }) => `${method} ${target}`);
    expect(lines.slice(-2)).to.deep.equal([
      'GET /vdir/BITS-Sessions/Replies/%7BC85B4E0A-9EB9-4114-BFA4-8A43B4710091%7D/responsefile.bin',
      'BITS_POST /vdir/file.bin',
    ]);
  });

  it('sends the headers of [MC-BUP] and no others, on one connection', async () => {
    const url = server.url('/vdir/file.bin');
    await new UploadJob({ url, source: patterned(500 * 1024), fragmentBytes: 5120 }).start();
    expect(server.connections).to.have.lengthOf(1);
    expect(server.requests).to.have.lengthOf(102);
    const common = ['accept', 'bits-packet-type', 'connection', 'content-length', 'host'];
    const own: Record<string, string[]> = {
      'Create-Session': ['bits-supported-protocols'],
      Fragment: ['bits-session-id', 'content-name', 'content-range'],
      'Close-Session': ['bits-session-id'],
    };
    for (const { headers, body } of server.requests) {
      const type = headers['bits-packet-type'] ?? '';
      const names = Object.keys(headers).sort();
      expect(names).to.deep.equal([...common, 'user-agent', ...(own[type] ?? [])].sort());
      expect(headers['content-length']).to.equal(String(body.length));
      expect(headers.connection?.toLowerCase()).to.equal('keep-alive');
    }
  });
});
