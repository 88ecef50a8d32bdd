import { AssertionError } from 'node:assert';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import { type BitsServer, createBitsServer, type Fault } from '../../src/testing/index.js';
import { fragment, packet, type RawAnswer, RawClient } from './raw-client.js';

const DATA = Buffer.from('0123456789abcdef');

describe('a fault of the reference server', () => {
  let server: BitsServer;
  let client: RawClient;
  const start = async (...faults: Fault[]) => {
    server = await createBitsServer({ faults, reply: () => 'the reply' });
    client = await RawClient.connect(server);
  };
  const reconnect = async () => {
    await client.end();
    client = await RawClient.connect(server);
  };
  const next = async (id: string) =>
    (await client.fragment('/f', id, 15, DATA.subarray(15), 16)).headers[
      'bits-received-content-range'
    ];
  afterEach(async () => {
    await client.end();
    await server.close();
  });

  const resets: [Fault['do'], string][] = [
    ['reset-before', '0'],
    ['reset-mid', '5'],
    ['reset-after-commit', '10'],
  ];
  for (const [action, committed] of resets) {
    it(`named ${action} resets with ${committed} of 10 bytes kept, and sending again is no violation`, async () => {
      await start({ on: 'fragment', do: action });
      const id = await client.open('/f');
      const answer = client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
      await answer.then(
        () => expect.fail('an answer came'),
        () => {},
      );
      expect((await client.closed)?.code).to.equal('ECONNRESET');
      server.assertFaultsConsumed();
      expect((await server.waitForRequest('fragment')).outcome).to.equal('cut');

      await reconnect();
      const again = await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
      expect(again.status).to.equal(committed === '0' ? 200 : 416);
      const offset = Number(again.headers['bits-received-content-range']);
      expect(offset).to.equal(committed === '0' ? 10 : Number(committed));
      await client.fragment('/f', id, offset, DATA.subarray(offset), 16);
      server.assertNoViolations();
      expect(server.connections).to.equal(2);
    });
  }

  for (const [action, committed] of [
    ['hang', '0'],
    ['hang-after-commit', '10'],
  ] as const) {
    it(`named ${action} gives no answer and keeps ${committed} bytes`, async () => {
      await start({ on: 'fragment', do: action });
      const id = await client.open('/f');
      const answer = client.fragment('/f', id, 0, DATA.subarray(0, 10), 16).catch(() => 'none');
      expect((await server.waitForRequest('fragment')).outcome).to.equal('hanging');
      await reconnect();
      expect(await answer).to.equal('none');
      expect(await next(id)).to.equal(committed);
    });
  }

  it('named reset-mid cuts the head of the answer to a packet without a body', async () => {
    await start({ on: 'create-session', do: 'reset-mid' });
    await client.createSession('/f').catch(() => {});
    expect(client.received.toString()).to.match(/^(HTTP\/1.1 200 OK\r\nBITS-Packet-)?$/);
    await client.closed;
  });

  it('named session-gone ends the session, whose further use is a violation', async () => {
    await start({ on: 'fragment', do: 'session-gone' });
    const id = await client.open('/f');
    const gone = await client.fragment('/f', id, 0, DATA, 16);
    expect(gone.headers['bits-error-code']).to.equal('0x8020001F');
    server.assertNoViolations();
    await client.fragment('/f', id, 0, DATA, 16);
    expect(server.violations.map(({ code }) => code)).to.deep.equal(['session-ended']);
    expect(() => server.assertNoViolations()).to.throw(AssertionError, /§3\.1\.5\.1 in request 3/);
  });

  it('named garbage-page answers 200 with a page and no Ack', async () => {
    await start({ on: 'create-session', do: 'garbage-page' });
    const page = await client.createSession('/f');
    expect(page.status).to.equal(200);
    expect(page.headers).not.to.have.property('bits-packet-type');
    expect(page.body.toString()).to.include('<!doctype html>');
  });

  it('with a status gives any answer, without effect or with', async () => {
    await start(
      { on: 'fragment', do: { status: 503, headers: { 'Retry-After': '1' }, body: 'busy' } },
      { on: 'fragment', do: { status: 500, hresult: 0x80070112, context: 7, afterCommit: true } },
    );
    const id = await client.open('/f');
    const busy = await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
    expect([busy.status, busy.headers['retry-after'], busy.body.toString()]).to.deep.equal([
      503,
      '1',
      'busy',
    ]);
    const full = await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
    expect(full.headers).to.include({
      'bits-error-code': '0x80070112',
      'bits-error-context': '0x7',
    });
    const again = await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
    expect(again.headers['bits-received-content-range']).to.equal('10');
    server.assertNoViolations();
  });

  it('with a status that never ends has no length and leaves the connection open', async () => {
    await start({ on: 'ping', do: { status: 500, body: 'x', neverEnds: true } });
    client.write(packet('/f', 'Ping'));
    await client.until((received) => received.includes('\r\n\r\nx'));
    expect(client.received.toString().toLowerCase()).not.to.include('content-length');
    expect((await server.waitForRequest('ping')).outcome).to.equal('hanging');
  });

  it('with an offset or headers changes the ack and not the effect', async () => {
    await start(
      { on: 'create-session', do: { headers: { 'bits-protocol': null, 'X-New': 'y' } } },
      { on: 'fragment', do: { offset: 99 } },
      { on: 'fragment', do: { offset: null } },
    );
    const created = await client.createSession('/f');
    expect(created.headers).to.include({ 'x-new': 'y' });
    expect(created.headers).not.to.have.property('bits-protocol');
    const id = created.headers['bits-session-id'] ?? '';
    const wrong = await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
    expect(wrong.headers['bits-received-content-range']).to.equal('99');
    const none = await client.fragment('/f', id, 10, DATA.subarray(10), 16);
    expect(none.status).to.equal(200);
    expect(none.headers).not.to.have.property('bits-received-content-range');
    await client.closeSession('/f', id);
    expect(await readFile(path.join(server.root, 'f'))).to.deep.equal(DATA);
  });

  it('can delay an answer, read slowly and redirect', async () => {
    await start(
      { on: 'ping', do: { delayMs: 30 } },
      { on: 'fragment', do: { bytesPerSecond: 400 } },
      { on: 'ping', do: { redirect: 'http://localhost:1/x' } },
    );
    const before = Date.now();
    await client.ping('/f');
    expect(Date.now() - before).to.be.at.least(28);
    const id = await client.open('/f');
    const slow = Date.now();
    await client.fragment('/f', id, 0, DATA, 16);
    expect(Date.now() - slow).to.be.at.least(38);
    const moved = await client.ping('/f');
    expect([moved.status, moved.headers.location]).to.deep.equal([307, 'http://localhost:1/x']);
    server.assertFaultsConsumed();
  });

  const offsetIn = ({ headers }: RawAnswer) => headers['bits-received-content-range'];
  const stored = () => readFile(path.join(server.root, 'f'));

  it('named answer-twice answers a packet twice', async () => {
    await start({ on: 'fragment', do: 'answer-twice' });
    const id = await client.open('/f');
    expect(offsetIn(await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16))).to.equal('10');
    expect(offsetIn(await client.fragment('/f', id, 10, DATA.subarray(10), 16))).to.equal('10');
    expect(offsetIn(await client.read())).to.equal('16');
  });

  it('with keepBytes keeps and acknowledges so many bytes of a fragment', async () => {
    await start({ on: 'fragment', times: 2, do: { keepBytes: 1 } });
    const id = await client.open('/f');
    expect(offsetIn(await client.fragment('/f', id, 0, DATA, 16))).to.equal('1');
    expect(offsetIn(await client.fragment('/f', id, 1, DATA.subarray(1), 16))).to.equal('2');
    expect(offsetIn(await client.fragment('/f', id, 2, DATA.subarray(2), 16))).to.equal('16');
    server.assertNoViolations();
    await client.closeSession('/f', id);
    expect(await stored()).to.deep.equal(DATA);
  });

  it('with loseBytes goes back to an earlier offset', async () => {
    await start({ on: 'fragment', nth: 2, do: { loseBytes: 9 } });
    const id = await client.open('/f');
    await client.fragment('/f', id, 0, DATA.subarray(0, 10), 16);
    expect(offsetIn(await client.fragment('/f', id, 10, DATA.subarray(10, 14), 16))).to.equal('5');
    expect(offsetIn(await client.fragment('/f', id, 5, DATA.subarray(5), 16))).to.equal('16');
    server.assertNoViolations();
    await client.closeSession('/f', id);
    expect(await stored()).to.deep.equal(DATA);
  });

  it('with sessionIdAs names the session in another form', async () => {
    await start(
      { on: 'fragment', do: { sessionIdAs: 'lower-case' } },
      { on: 'close-session', do: { sessionIdAs: 'without-braces' } },
    );
    const id = await client.open('/f');
    const ack = await client.fragment('/f', id, 0, DATA, 16);
    expect(ack.headers['bits-session-id']).to.equal(id.toLowerCase());
    const closed = await client.closeSession('/f', id);
    expect(closed.headers['bits-session-id']).to.equal(id.slice(1, -1));
  });

  it('with interimAnswers sends them before the answer', async () => {
    await start({ on: 'ping', do: { interimAnswers: 2500 } });
    client.write(packet('/f', 'Ping'));
    for (let i = 0; i < 2500; i++) expect((await client.read()).status).to.equal(103);
    expect((await client.read()).status).to.equal(200);
  });

  it('with Infinity of interimAnswers never answers', async () => {
    await start({ on: 'fragment', do: { interimAnswers: Infinity } });
    const id = await client.open('/f');
    client.write(fragment('/f', id, 0, DATA.subarray(0, 10), 16));
    expect((await server.waitForRequest('fragment')).outcome).to.equal('hanging');
    await reconnect();
    expect(await next(id)).to.equal('10');
    server.assertFaultsConsumed();
  });

  for (const [action, code] of [
    ['closeAfterMs', undefined],
    ['resetAfterMs', 'ECONNRESET'],
  ] as const) {
    it(`with ${action} ends the connection after an answer that does not announce it`, async () => {
      const fault: Fault = {
        on: 'ping',
        do: action === 'closeAfterMs' ? { closeAfterMs: 20 } : { resetAfterMs: 20 },
      };
      await start(fault);
      const answer = await client.ping('/f');
      expect(answer.status).to.equal(200);
      expect(answer.headers.connection).not.to.equal('close');
      expect((await client.closed)?.code).to.equal(code);
    });
  }

  it('with closeAfterMs 0 leaves the next request unanswered', async () => {
    await start({ on: 'ping', do: { closeAfterMs: 0 } });
    await client.ping('/f');
    expect(await client.ping('/f').catch(() => 'none')).to.equal('none');
    expect(server.log).to.have.length(1);
  });

  it('with forgetsSession ends the session whatever the status says', async () => {
    const zero = { status: 400, headers: { 'BITS-Error-Code': '0' }, forgetsSession: true };
    await start({ on: 'fragment', do: zero });
    const id = await client.open('/f');
    const refused = await client.fragment('/f', id, 0, DATA, 16);
    expect([refused.status, refused.headers['bits-error-code']]).to.deep.equal([400, '0']);
    expect((await client.fragment('/f', id, 0, DATA, 16)).headers['bits-error-code']).to.equal(
      '0x8020001F',
    );
    server.assertNoViolations();
  });

  it('can refuse every Ping, and a Close that took effect', async () => {
    await start(
      { on: 'ping', times: Infinity, do: { status: 400 } },
      { on: 'close-session', do: { status: 400, afterCommit: true } },
    );
    const id = await client.open('/f');
    expect((await client.ping('/f')).status).to.equal(400);
    expect((await client.ping('/f')).status).to.equal(400);
    await client.fragment('/f', id, 0, DATA, 16);
    expect((await client.closeSession('/f', id)).status).to.equal(400);
    expect(await stored()).to.deep.equal(DATA);
    server.assertFaultsConsumed();
  });

  it('applies to the nth matching request, as often as planned', async () => {
    await start(
      { on: 'ping', nth: 2, times: 2, do: { status: 503 } },
      { on: 'any', nth: 4, do: { status: 418 } },
    );
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await client.ping('/f')).status);
    expect(statuses).to.deep.equal([200, 503, 503, 418, 200]);
    server.addFault({ on: 'ping', do: { status: 500 } });
    expect((await client.ping('/f')).status).to.equal(500);
  });

  it('is listed as long as it was not applied', async () => {
    const fault: Fault = { on: 'fragment', nth: 3, do: 'reset-after-commit' };
    await start(fault);
    expect(server.unconsumedFaults()).to.deep.equal([fault]);
    expect(() => server.assertFaultsConsumed()).to.throw(AssertionError, /"nth":3/);
  });

  it('is refused when it cannot be carried out, as a misspelt one would count as applied', async () => {
    await start();
    for (const wrong of [
      { on: 'ping', nth: 0, do: 'hang' },
      { on: 'ping', do: 'reset' },
      { on: 'ping', do: 5 },
      { on: 'pnig', do: 'hang' },
      null,
    ]) {
      try {
        server.addFault(wrong as Fault);
        expect.fail('accepted');
      } catch (error) {
        expect(isBitsError(error) && error.code).to.equal('BITS_ERR_ARGUMENT');
      }
    }
  });
});
