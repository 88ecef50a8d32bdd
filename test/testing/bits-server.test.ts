import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import { type BitsServerOptions, createBitsServer, type Upload } from '../../src/testing/index.js';
import { createSink } from '../../src/testing/sinks.js';
import { useTempDir } from '../support/files.js';
import { NEEDS, skip, skipOnWindows, skipWithoutLinks } from '../support/skip.js';
import {
  cancel,
  client,
  close,
  codes,
  DATA,
  endAfterEach,
  id,
  offsetIn,
  open,
  send,
  server,
  start,
  stored,
  upload,
} from './harness.js';
import { packet, RawClient } from './raw-client.js';

describe('the reference server', () => {
  endAfterEach();
  const folder = useTempDir();

  describe('in a complete upload', () => {
    it('puts the file into place at Close and not before, without a violation', async () => {
      await start();
      const created = await open('/a/b/f.bin');
      expect(created.status).to.equal(200);
      expect(created.headers).to.include({
        'bits-packet-type': 'Ack',
        'bits-protocol': '{7df0354d-249b-430f-820d-3d2a9bef4931}',
        'content-length': '0',
      });
      expect(id).to.match(/^\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}$/);

      const first = await send(0, 10);
      expect(offsetIn(first)).to.equal('10');
      expect(first.headers).not.to.have.property('bits-session-id');
      const last = await send(10);
      expect(offsetIn(last)).to.equal('16');

      const file = path.join(server.root, 'a/b/f.bin');
      expect(existsSync(file)).to.equal(false);
      expect((await close()).status).to.equal(200);
      expect(await readFile(file)).to.deep.equal(DATA);
      expect(server.uploads.map(({ bytes }) => bytes)).to.deep.equal([16]);
      expect(server.connections).to.equal(1);
      server.assertNoViolations();
    });

    it('writes an empty file for Create and Close', async () => {
      await start();
      await open('/empty');
      await close();
      expect(await readFile(path.join(server.root, 'empty'))).to.have.length(0);
      server.assertNoViolations();
    });

    it('logs each request with its answer', async () => {
      await start({ now: () => 42 });
      await open();
      await send();
      const entry = await server.waitForRequest('fragment');
      expect(entry).to.include({
        number: 2,
        packet: 'fragment',
        method: 'BITS_POST',
        target: '/f',
        connection: 1,
        sessionId: id,
        bodyBytes: 16,
        status: 200,
        outcome: 'answered',
        arrivedAtMs: 42,
      });
      expect(entry.range).to.deep.equal({ start: 0, end: 16, total: 16 });
      expect(entry.answerHeaders).to.include({ 'BITS-Received-Content-Range': '16' });
    });

    it('can name the session on every ack', async () => {
      await start({ omitSessionIdOnAck: false });
      await open();
      const ack = await send();
      expect(ack.headers['bits-session-id']).to.equal(id);
    });

    it('accepts POST with X-HTTP-Method-Override', async () => {
      await start();
      const ping = packet('/f', 'Ping', { 'X-HTTP-Method-Override': 'BITS_POST' });
      const answer = await client.send(ping.replace('BITS_POST', 'POST'));
      expect(answer.headers['bits-packet-type']).to.equal('Ack');
      server.assertNoViolations();
    });

    it('can hash the bytes instead of storing them', async () => {
      await start({ sink: 'sha256' });
      await open();
      await send(0, 5);
      await send(5);
      await close();
      const digest = createHash('sha256').update(DATA).digest('hex');
      expect(server.uploads[0]?.sha256).to.equal(digest);
      expect(() => server.uploads[0]?.open()).to.throw(/disk/);
      expect(existsSync(path.join(server.root, 'f'))).to.equal(false);
    });

    it('calls the application with each upload, which it can read', async () => {
      const seen: [Upload, Buffer][] = [];
      await start({
        onUpload: async (upload) => {
          seen.push([upload, Buffer.concat(await upload.open().toArray())]);
        },
      });
      await upload('/x/f');
      expect(seen[0]?.[0]).to.include({ url: 'http://localhost/x/f', bytes: 16, attempt: 1 });
      expect(seen[0]?.[1]).to.deep.equal(DATA);
    });
  });

  describe('according to §3.2.5', () => {
    interface Refusal {
      readonly options?: BitsServerOptions;
      readonly status: number;
      readonly hresult?: string;
      readonly violation?: string;
      readonly send: () => Promise<{ status: number; headers: Record<string, string> }>;
    }
    const INVALID = { status: 400, hresult: '0x80070057' };
    const NOT_FOUND = { status: 404, hresult: '0x80190194' };
    const refusals: Readonly<Record<string, Refusal>> = {
      'no common protocol': {
        ...INVALID,
        violation: 'protocol-id',
        send: () => client.createSession('/f', { 'BITS-Supported-Protocols': '{0}' }),
      },
      'a URL that is a directory': { ...INVALID, send: () => client.createSession('/d/') },
      'an unknown session': {
        status: 500,
        hresult: '0x8020001F',
        send: () => client.closeSession('/f', '{NONE}'),
      },
      'an unknown packet type': {
        ...INVALID,
        violation: 'packet-type',
        send: () => client.send(packet('/f', 'Frob')),
      },
      'a header over 4 KiB': {
        ...INVALID,
        violation: 'header-too-long',
        send: () => client.ping('/f', { 'X-Long': 'x'.repeat(4097) }),
      },
      'a body on a control packet': {
        ...INVALID,
        violation: 'body-on-control-packet',
        send: () => client.send(`${packet('/f', 'Ping', { 'Content-Length': '3' })}abc`),
      },
      'uploads that are not enabled': {
        options: { uploadsEnabled: false },
        status: 501,
        hresult: '0x80070005',
        send: () => client.createSession('/f'),
      },
      'a missing directory when none are made': {
        options: { createDirectories: false },
        ...NOT_FOUND,
        send: () => client.createSession('/none/f'),
      },
      'a file in the place of a directory': {
        ...NOT_FOUND,
        send: async () => {
          await writeFile(path.join(server.root, 'file'), '');
          return client.createSession('/file/f');
        },
      },
      'a root that is gone': {
        ...NOT_FOUND,
        send: async () => {
          await rm(server.root, { recursive: true });
          return client.createSession('/f');
        },
      },
      'a file over the maximum': {
        options: { maxUploadBytes: 15 },
        status: 500,
        hresult: '0x80200020',
        send: async () => {
          await open();
          return send(0, 4);
        },
      },
      'a fragment over the maximum': {
        options: { maxFragmentBytes: 15 },
        status: 413,
        send: async () => {
          await open();
          return send();
        },
      },
      'a changed total': {
        ...INVALID,
        violation: 'total-changed',
        send: async () => {
          await open();
          await send(0, 4);
          return client.fragment('/f', id, 4, DATA.subarray(4), 17);
        },
      },
      'a changed URL': {
        ...INVALID,
        violation: 'url-changed',
        send: async () => {
          await open();
          return client.fragment('/g', id, 0, DATA, 16);
        },
      },
    };
    for (const [what, { options, status, hresult, violation, send }] of Object.entries(refusals)) {
      it(`answers ${what} with ${status} ${hresult ?? ''}`, async () => {
        await start(options);
        const answer = await send();
        expect(answer.status).to.equal(status);
        expect(answer.headers['content-length']).to.equal('0');
        if (hresult !== undefined) {
          expect(answer.headers['bits-error-code']).to.equal(hresult);
          expect(answer.headers['bits-error-context']).to.equal('0x5');
        }
        expect(codes()).to.deep.equal(violation === undefined ? [] : [violation]);
        expect((await client.ping('/f')).status).to.equal(
          options?.uploadsEnabled === false ? 501 : 200,
        );
      });
    }

    it('overwrites files only with allowOverwrite', async () => {
      const root = folder.path;
      await writeFile(path.join(root, 'f'), 'old');
      await start({ root });
      const refused = await open();
      expect(refused.status).to.equal(403);
      expect(refused.headers['bits-error-code']).to.equal('0x80070005');
      // The name is taken while the upload runs.
      await open('/g');
      await send();
      await writeFile(path.join(root, 'g'), 'old');
      expect((await close()).status).to.equal(403);
      expect(await readFile(path.join(root, 'g'), 'utf8')).to.equal('old');

      await start({ root, allowOverwrite: true });
      await upload();
      expect(await stored()).to.deep.equal(DATA);
      await server.close();
      expect(await readdir(root)).to.have.members(['f', 'g']);
    });

    it('answers a wrong start with 416 and the offset it wants', async () => {
      await start();
      await open();
      await send(0, 10);
      const low = await send(8);
      expect([low.status, offsetIn(low)]).to.deep.equal([416, '10']);
      const high = await send(12);
      expect([high.status, offsetIn(high)]).to.deep.equal([416, '10']);
    });

    it('keeps the new part of a fragment with overlap accept', async () => {
      await start({ overlap: 'accept' });
      await open();
      await send(0, 10);
      const known = await send(2, 6);
      expect(offsetIn(known)).to.equal('10');
      const ack = await send(4);
      expect([ack.status, offsetIn(ack)]).to.deep.equal([200, '16']);
      await close();
      expect(await stored()).to.deep.equal(DATA);
    });

    it('appends every fragment with overlap append, and acknowledges its own end', async () => {
      await start({ overlap: 'append' });
      await open();
      const offsets: (string | undefined)[] = [];
      for (const [from, to] of [
        [0, 10],
        [2, 4],
        [10, 16],
      ] as const) {
        offsets.push(offsetIn(await send(from, to)));
      }
      expect(offsets).to.deep.equal(['10', '4', '16']);
      await close();
      const file = await readFile(path.join(server.root, 'f'), 'utf8');
      expect(file).to.equal('012345678923abcdef');
    });

    it('deletes an upload that is closed too early or cancelled', async () => {
      await start();
      for (const end of [close, cancel]) {
        await open();
        await send(0, 10);
        expect((await end()).status).to.equal(200);
        const gone = await send(10);
        expect(gone.headers['bits-error-code']).to.equal('0x8020001F');
      }
      expect(existsSync(path.join(server.root, 'f'))).to.equal(false);
      expect(codes()).to.deep.equal(['close-before-end', 'session-ended', 'session-ended']);
    });

    it('forgets sessions that time out, by its clock', async () => {
      let nowMs = 0;
      await start({ sessionTimeoutMs: 1000, now: () => nowMs });
      await open();
      nowMs = 1000;
      expect((await send(0, 4)).status).to.equal(200);
      nowMs = 2001;
      const late = await send(4);
      expect(late.headers['bits-error-code']).to.equal('0x8020001F');
      server.assertNoViolations();
    });

    it('keeps the bytes that arrived of a broken fragment', async () => {
      await start();
      await open();
      const broken = await RawClient.connect(server);
      const head = packet('/f', 'Fragment', {
        'BITS-Session-Id': id,
        'Content-Name': 'f',
        'Content-Range': 'bytes 0-15/16',
        'Content-Length': '16',
      });
      broken.socket.end(`${head}0123456`);
      await server.waitForRequest('fragment');
      await broken.end();
      const answer = await send();
      expect(offsetIn(answer)).to.equal('7');
      await send(7);
      await close();
      expect(await stored()).to.deep.equal(DATA);
      server.assertNoViolations();
    });

    it('sends a Host-Id and checks that it is pinged and used', async () => {
      await start({ hostId: 'web3:81', hostIdFallbackTimeoutMs: 60_000 });
      const created = await open();
      expect(created.headers).to.include({
        'bits-host-id': 'web3:81',
        'bits-host-id-fallback-timeout': '60',
      });
      await client.ping('/f', { Host: 'web3:81' });
      await client.send(packet('/f', 'Close-Session', { Host: 'WEB3:81', 'BITS-Session-Id': id }));
      server.assertNoViolations();
      await open('/g');
      await close();
      expect(codes()).to.deep.equal(['host-id-ignored']);
    });
  });

  describe('with a path', () => {
    const evil = [
      '/../f',
      '/a/../../f',
      '/%2e%2e/f',
      '/..%2ff',
      '/..%5cf',
      '/..\\f',
      '/a%00b',
      '/.bits-sessions/x',
      '/%2Ebits-sessions/x',
      '/.BITS-Sessions/x',
      '/.bits-sessions./x',
      '/con',
      '/NUL.txt',
      '/com1.log',
      '/f:stream',
      '/C:/f',
      '//f',
      '/f.',
      '/f%20',
      '/%',
      '/%ff',
      '/%c0%ae%c0%ae/f',
      '/link/f',
      '/link/deep/er/f',
      '/hidden/f',
      `/${'x'.repeat(256)}`,
      'f',
      '*',
    ];
    for (const target of evil) {
      it(`refuses ${target.slice(0, 40)}`, async function () {
        if (/link|hidden/.test(target)) skipWithoutLinks(this);
        await writeFile(path.join(folder.path, 'f'), 'secret');
        await start({ serveUploads: true });
        await symlink(folder.path, path.join(server.root, 'link'));
        await mkdir(path.join(server.root, '.bits-sessions'), { recursive: true });
        await symlink(path.join(server.root, '.bits-sessions'), path.join(server.root, 'hidden'));
        const created = await client.createSession(target);
        expect(created.status).to.equal(400);
        expect((await client.get(target)).status).to.equal(404);
        expect(await readdir(folder.path)).to.deep.equal(['f']);
      });
    }

    it('does not serve a link to a file outside, and replaces it without following it', async function () {
      skipWithoutLinks(this);
      const secret = path.join(folder.path, 'f');
      await writeFile(secret, 'secret');
      await start({ allowOverwrite: true, serveUploads: true });
      await symlink(secret, path.join(server.root, 'f'));
      expect((await client.get('/f')).status).to.equal(404);
      await upload();
      expect(await readFile(secret, 'utf8')).to.equal('secret');
      expect((await client.get('/f')).body).to.deep.equal(DATA);
    });

    it('does not follow links that were put in place of its own files', async function () {
      skipWithoutLinks(this);
      await writeFile(path.join(folder.path, 'f'), 'secret');
      await start({ serveUploads: true, allowOverwrite: true });
      await upload('/f');
      await upload('/dir/f');
      await rm(path.join(server.root, 'f'));
      await symlink(path.join(folder.path, 'f'), path.join(server.root, 'f'));
      await rm(path.join(server.root, 'dir'), { recursive: true });
      await symlink(folder.path, path.join(server.root, 'dir'));
      expect((await client.get('/f')).status).to.equal(404);
      expect((await client.get('/dir/f')).status).to.equal(404);

      await open('/new/f');
      await send();
      await symlink(folder.path, path.join(server.root, 'new'));
      expect((await close()).status).to.equal(400);
      expect(await readdir(folder.path)).to.deep.equal(['f']);
      expect(await readFile(path.join(folder.path, 'f'), 'utf8')).to.equal('secret');
    });

    it('publishes nothing through a link that came in the last moment', async function () {
      skipWithoutLinks(this);
      await start();
      const sink = await createSink('disk', server.root);
      await symlink(folder.path, path.join(server.root, 'link'));
      const error = await sink.publish(path.join(server.root, 'link', 'f'), true).catch((e) => e);
      expect(error.code).to.equal('EACCES');
      expect(await readdir(folder.path)).to.deep.equal([]);
    });

    it('creates nothing at the target of a dangling link', async function () {
      skipWithoutLinks(this);
      await start();
      await symlink(path.join(folder.path, 'missing'), path.join(server.root, 'link'));
      expect((await client.createSession('/link/f')).status).to.equal(400);
      expect((await client.createSession('/link/deep/f')).status).to.equal(400);
      expect((await client.createSession('/link')).status).to.equal(403);
      expect(await readdir(folder.path)).to.deep.equal([]);
    });

    it('keeps no unfinished uploads in a folder that is a link', async function () {
      skipWithoutLinks(this);
      await start();
      await symlink(folder.path, path.join(server.root, '.bits-sessions'));
      expect((await client.createSession('/f')).status).to.equal(403);
      expect(await readdir(folder.path)).to.deep.equal([]);
      await rm(path.join(server.root, '.bits-sessions'));
    });

    it('refuses a path that is too long for the file system', async function () {
      skipOnWindows(this, 'shortPaths');
      await start({ serveUploads: true });
      const long = `/${`${'x'.repeat(250)}/`.repeat(40)}f`;
      expect((await client.createSession(long)).status).to.equal(400);
      expect((await client.get(long)).status).to.equal(404);
    });

    it('takes names in UTF-8, escaped or not, and an absolute form', async () => {
      await start();
      for (const target of ['/%C3%A4 b'.replace(' ', '%20'), 'http://localhost/c']) {
        await open(target);
        await close();
      }
      expect(await readdir(server.root)).to.include.members(['ä b', 'c']);
    });
  });

  describe('for a GET', () => {
    it('serves no upload unless told to', async () => {
      await start();
      await upload('/f');
      expect((await client.get('/f')).status).to.equal(404);
    });

    it('serves no file that it has not received', async () => {
      await start({ serveUploads: true });
      await mkdir(path.join(server.root, '.git'));
      for (const name of ['.env', '.git/config', 'f']) {
        await writeFile(path.join(server.root, name), 'secret');
        expect((await client.get(`/${name}`)).status).to.equal(404);
      }
    });

    it('serves files, ranges, suffixes and heads exactly', async () => {
      await start({ serveUploads: true });
      await upload('/f');
      const whole = await client.get('/f');
      expect([whole.status, whole.body.toString()]).to.deep.equal([200, '0123456789abcdef']);
      const etag = whole.headers.etag ?? '';
      const cases: [Record<string, string>, number, string, string | undefined][] = [
        [{ Range: 'bytes=2-4' }, 206, '234', 'bytes 2-4/16'],
        [{ Range: 'bytes=14-99' }, 206, 'ef', 'bytes 14-15/16'],
        [{ Range: 'bytes=10-' }, 206, 'abcdef', 'bytes 10-15/16'],
        [{ Range: 'bytes=-3' }, 206, 'def', 'bytes 13-15/16'],
        [{ Range: 'bytes=16-' }, 416, '', 'bytes */16'],
        [{ Range: 'bytes=5-2' }, 200, '0123456789abcdef', undefined],
        [{ Range: 'bytes=1-2,4-5' }, 200, '0123456789abcdef', undefined],
        [{ Range: 'bytes=2-4', 'If-Range': etag }, 206, '234', 'bytes 2-4/16'],
        [
          { Range: 'bytes=2-4', 'If-Range': whole.headers['last-modified'] ?? '' },
          206,
          '234',
          'bytes 2-4/16',
        ],
        [{ Range: 'bytes=2-4', 'If-Range': '"x"' }, 200, '0123456789abcdef', undefined],
      ];
      for (const [headers, status, body, range] of cases) {
        const answer = await client.get('/f', headers);
        expect([
          answer.status,
          answer.body.toString(),
          answer.headers['content-range'],
        ]).to.deep.equal([status, body, range]);
      }
      client.write('HEAD /f HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const head = await client.read({ head: true });
      expect(head.headers['content-length']).to.equal('16');
      expect((await client.get('/none')).status).to.equal(404);
      expect(
        (await client.send('PUT /f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n'))
          .status,
      ).to.equal(405);
    });
  });

  describe('for a host', () => {
    const isRefused = async (host: string, target?: string) => {
      client.write(`HEAD ${target ?? '/f'} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      return (await client.read({ head: true })).status === 421;
    };

    it('answers by its own names with any port, and refuses all others', async () => {
      await start({ host: 'localhost' });
      for (const host of [
        'localhost',
        'LOCALHOST:1',
        'localhost.',
        '127.0.0.1:80',
        '[::1]:9',
        '127.1',
      ]) {
        expect(await isRefused(host), host).to.equal(false);
      }
      for (const host of [
        'evil.example',
        'evil.example:80',
        '192.0.2.1',
        '[2001:db8::1]',
        'localhost.evil.example',
        '127.0.0.1.evil.example',
        'evil@localhost',
        'localhost/',
        'localhost#',
        'localhost%25x',
        'localhost%',
        '',
      ]) {
        expect(await isRefused(host), host).to.equal(true);
      }
      expect(await isRefused('localhost', 'http://evil.example/f')).to.equal(true);
      expect(await isRefused('evil.example', 'http://localhost/f')).to.equal(true);
    });

    it('refuses a packet before it takes effect', async () => {
      await start({ faults: [{ on: 'create-session', do: 'hang' }] });
      const refused = await client.createSession('/f', { Host: 'evil.example' });
      expect(refused.status).to.equal(421);
      expect(refused.headers).not.to.have.property('bits-session-id');
      expect(refused.body.toString()).to.match(/host/);
      expect(server.unconsumedFaults()).to.have.length(1);
      server.assertNoViolations();
    });

    it('answers by the names that it was given', async () => {
      await start({ allowedHosts: ['bits.example', '192.0.2.1'] });
      expect(await isRefused('BITS.example:8080')).to.equal(false);
      expect(await isRefused('192.0.2.1')).to.equal(false);
      expect(await isRefused('evil.example')).to.equal(true);
    });

    it('answers by any name behind a proxy', async () => {
      await start({ allowedHosts: 'any' });
      expect(await isRefused('evil.example')).to.equal(false);
    });

    it('answers by a host-id once it was sent', async () => {
      await start({ hostId: 'web3:81' });
      expect(await isRefused('web3:81')).to.equal(true);
      await client.open('/f');
      expect(await isRefused('web3:81')).to.equal(false);
    });
  });

  describe('with limits', () => {
    it('keeps no file open between the fragments of a session', async function () {
      if (!existsSync('/proc/self/fd')) skip(this, NEEDS.proc);
      const openFiles = async () => (await readdir('/proc/self/fd')).length;
      await start();
      const before = await openFiles();
      for (let i = 0; i < 100; i++) {
        await open(`/${i}`);
        await send(0, 8);
      }
      expect((await openFiles()) - before).to.be.below(10);
    });

    it('refuses more sessions than it may have', async () => {
      await start({ maxSessions: 3 });
      for (let i = 0; i < 3; i++) await client.open(`/${i}`);
      const refused = await client.createSession('/f');
      expect([refused.status, refused.headers['bits-error-code']]).to.deep.equal([
        503,
        '0x801901F7',
      ]);
    });

    it('closes more connections than it may have', async () => {
      await start({ maxConnections: 2 });
      const second = await RawClient.connect(server);
      const third = await RawClient.connect(server);
      await third.closed;
      expect((await second.ping('/f')).status).to.equal(200);
      await second.end();
    });
  });

  describe('as a whole', () => {
    it('closes while requests hang, and deletes its temporary root', async () => {
      await start({ faults: [{ on: 'ping', do: 'hang' }] });
      client.write(packet('/f', 'Ping'));
      await server.waitForRequest('ping');
      const unseen = server.waitForRequest('fragment');
      await Promise.all([server.close(), server.close()]);
      expect(existsSync(server.root)).to.equal(false);
      const error = await unseen.catch((reason: unknown) => reason);
      expect(isBitsError(error) && error.code).to.equal('BITS_ERR_STATE');
    });

    it('rejects invalid options, and names them', async () => {
      for (const [name, value] of [
        ['maxUploadBytes', -1],
        ['sink', 'null'],
        ['overlap', 'maybe'],
        ['alowOverwrite', true],
        ['allowOverwrite', 'no'],
        ['root', 5],
        ['port', '80'],
        ['allowedHosts', 'bits.example'],
        ['tls', null],
        ['hostId', 5],
        ['reply', 'yes'],
        ['faults', 5],
      ] as const) {
        const error = await createBitsServer({ [name]: value } as object).catch((e: unknown) => e);
        expect(isBitsError(error) && error.code, name).to.equal('BITS_ERR_ARGUMENT');
        expect((error as Error).message).to.contain(name);
      }
      const error = await createBitsServer(null as never).catch((e: unknown) => e);
      expect(error).to.have.property('message', 'createBitsServer takes an object of options.');
    });

    it('rejects when the port is in use', async () => {
      await start();
      const error = await createBitsServer({ port: server.port }).catch((e: unknown) => e);
      expect((error as NodeJS.ErrnoException).code).to.equal('EADDRINUSE');
    });
  });
});
