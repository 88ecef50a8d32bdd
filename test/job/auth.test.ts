import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { type BitsError, BitsTransportError } from '../../src/errors.js';
import { UploadJob } from '../../src/job/upload-job.js';
import type { Transport } from '../../src/transport/transport.js';
import { patterned } from '../support/files.js';
import { type RawRequest, type RawServer, startRawServer } from '../support/raw-server.js';

const SESSION_ID = '{0D7A3C5E-6A0B-4E0C-9B5D-0A1B2C3D4E5F}';
const md5 = (text: string) => createHash('md5').update(text).digest('hex');

describe('a job with credentials', () => {
  let server: RawServer;
  let offset: number;

  const answer = (
    { connection, headers, body }: RawRequest,
    lines: string[],
    status = '200 OK',
  ) => {
    const type = headers['bits-packet-type'];
    if (status.startsWith('200')) {
      lines.push('BITS-Packet-Type: Ack');
      if (type === 'Create-Session') lines.push(`BITS-Session-Id: ${SESSION_ID}`);
      if (type === 'Fragment') {
        offset += body.length;
        lines.push(`BITS-Received-Content-Range: ${offset}`);
      }
    }
    connection.socket.write(
      [`HTTP/1.1 ${status}`, 'Content-Length: 0', ...lines, '\r\n'].join('\r\n'),
    );
  };

  /** A server with Digest, which knows one user. */
  const digest = (request: RawRequest) => {
    const { authorization = '', 'bits-packet-type': type } = request.headers;
    const field = (name: string) => new RegExp(`${name}="?([^",]+)`).exec(authorization)?.[1] ?? '';
    const a1 = md5('Mufasa:bits:Circle of Life');
    const a2 = md5(`BITS_POST:${request.target}`);
    const middle = `${field('nonce')}:${field('nc')}:${field('cnonce')}:auth`;
    const good = field('response') === md5(`${a1}:${middle}:${a2}`);
    if (good && type) return answer(request, []);
    answer(
      request,
      ['WWW-Authenticate: Digest realm="bits", nonce="n1", qop="auth", algorithm=MD5'],
      '401 Unauthorized',
    );
  };

  beforeEach(async () => {
    offset = 0;
    server = await startRawServer({ onRequest: digest });
  });
  afterEach(() => server.close());

  const job = (password: string) =>
    new UploadJob({
      url: server.url('/in/file.bin'),
      source: patterned(50_000),
      fragmentBytes: 10_000,
      auth: { credentials: { username: 'Mufasa', password } },
    });

  it('answers a challenge once and then proves itself with every packet', async () => {
    await job('Circle of Life').start();
    const refused = server.requests.filter(({ headers }) => headers.authorization === undefined);
    expect(refused).to.have.lengthOf(1);
    expect(refused[0]?.headers['bits-packet-type']).to.equal('Create-Session');
    expect(server.connections).to.have.lengthOf(1);
    expect(offset).to.equal(50_000);
  });

  it('tries refused credentials once, and tells no secret', async () => {
    const error: BitsError = await job('hunter2hunter2')
      .start()
      .then(
        () => Promise.reject(new Error('resolved')),
        (reason) => reason,
      );
    expect(error).to.include({ code: 'BITS_ERR_AUTH', retryable: false });
    expect(inspect(error, { depth: 9 })).to.not.include('hunter2');
    const proofs = server.requests.filter(({ headers }) => headers.authorization !== undefined);
    expect(proofs).to.have.lengthOf(1);
  });

  for (const [what, means] of [
    ['credentials', { auth: { credentials: { username: 'Mufasa', password: 'wrong-twelve' } } }],
    ['an Authorization header', { headers: { Authorization: 'Basic d3JvbmctdHdlbHZl' } }],
  ] as const) {
    it(`sends ${what} once, when twelve jobs at a time have the wrong ones`, async () => {
      const codes = await Promise.all(
        Array.from({ length: 12 }, () =>
          new UploadJob({ url: server.url('/in/file.bin'), source: patterned(100), ...means })
            .start()
            .catch((error: BitsError) => error.code),
        ),
      );
      expect(codes).to.deep.equal(Array(12).fill('BITS_ERR_AUTH'));
      const proofs = server.requests.filter(({ headers }) => headers.authorization !== undefined);
      expect(proofs).to.have.lengthOf(1);
    });
  }

  it('warns of an Authorization header that everybody on the way can read', async () => {
    const codes: string[] = [];
    const transport: Transport = {
      limitations: [],
      send: () => Promise.reject(new BitsTransportError('no line', { retryable: false })),
      close: async () => {},
    };
    const headers = { Authorization: 'Basic c2VjcmV0' };
    for (const url of ['http://files.corp.example/x', 'https://files.corp.example/x']) {
      const exposed = new UploadJob({ url, source: patterned(1), headers, transport });
      exposed.on('warning', ({ code }) => codes.push(code));
      await exposed.start().catch(() => {});
    }
    expect(codes).to.deep.equal(['authorization-unencrypted']);
  });

  it('refuses options that name no means, before anything is sent', () => {
    const make = () => new UploadJob({ url: server.url(), source: 'x', auth: {} });
    expect(make).to.throw(/auth needs credentials/);
  });
});
