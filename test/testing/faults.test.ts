import { AssertionError } from 'node:assert';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import type { Fault } from '../../src/testing/index.js';
import {
  client,
  close,
  DATA,
  endAfterEach,
  id,
  offsetIn,
  open,
  reconnect,
  send,
  server,
  start,
  stored,
} from './harness.js';
import { fragment, packet } from './raw-client.js';

describe('a fault of the reference server', () => {
  endAfterEach();
  const startWith = (...faults: Fault[]) => start({ faults, reply: () => 'the reply' });
  /** The offset of a server that a fragment at 15 does not fit. */
  const next = async () => offsetIn(await send(15));

  const resets: [Fault['do'], string][] = [
    ['reset-before', '0'],
    ['reset-mid', '5'],
    ['reset-after-commit', '10'],
  ];
  for (const [action, committed] of resets) {
    it(`named ${action} resets with ${committed} of 10 bytes kept, and sending again is no violation`, async () => {
      await startWith({ on: 'fragment', do: action });
      await open();
      const answer = send(0, 10);
      await answer.then(
        () => expect.fail('an answer came'),
        () => {},
      );
      expect((await client.closed)?.code).to.equal('ECONNRESET');
      server.assertFaultsConsumed();
      expect((await server.waitForRequest('fragment')).outcome).to.equal('cut');

      await reconnect();
      const again = await send(0, 10);
      expect(again.status).to.equal(committed === '0' ? 200 : 416);
      const offset = Number(offsetIn(again));
      expect(offset).to.equal(committed === '0' ? 10 : Number(committed));
      await send(offset);
      server.assertNoViolations();
      expect(server.connections).to.equal(2);
    });
  }

  for (const [action, committed] of [
    ['hang', '0'],
    ['hang-after-commit', '10'],
  ] as const) {
    it(`named ${action} gives no answer and keeps ${committed} bytes`, async () => {
      await startWith({ on: 'fragment', do: action });
      await open();
      const answer = send(0, 10).catch(() => 'none');
      expect((await server.waitForRequest('fragment')).outcome).to.equal('hanging');
      await reconnect();
      expect(await answer).to.equal('none');
      expect(await next()).to.equal(committed);
    });
  }

  it('named reset-mid cuts the head of the answer to a packet without a body', async () => {
    await startWith({ on: 'create-session', do: 'reset-mid' });
    await client.createSession('/f').catch(() => {});
    expect(client.received.toString()).to.match(/^(HTTP\/1.1 200 OK\r\nBITS-Packet-)?$/);
    await client.closed;
  });

  it('named session-gone ends the session, whose further use is a violation', async () => {
    await startWith({ on: 'fragment', do: 'session-gone' });
    await open();
    const gone = await send();
    expect(gone.headers['bits-error-code']).to.equal('0x8020001F');
    server.assertNoViolations();
    await send();
    expect(server.violations.map(({ code }) => code)).to.deep.equal(['session-ended']);
    expect(() => server.assertNoViolations()).to.throw(AssertionError, /§3\.1\.5\.1 in request 3/);
  });

  it('named garbage-page answers 200 with a page and no Ack', async () => {
    await startWith({ on: 'create-session', do: 'garbage-page' });
    const page = await client.createSession('/f');
    expect(page.status).to.equal(200);
    expect(page.headers).not.to.have.property('bits-packet-type');
    expect(page.body.toString()).to.include('<!doctype html>');
  });

  it('with a status gives any answer, without effect or with', async () => {
    await startWith(
      { on: 'fragment', do: { status: 503, headers: { 'Retry-After': '1' }, body: 'busy' } },
      { on: 'fragment', do: { status: 500, hresult: 0x80070112, context: 7, afterCommit: true } },
    );
    await open();
    const busy = await send(0, 10);
    expect([busy.status, busy.headers['retry-after'], busy.body.toString()]).to.deep.equal([
      503,
      '1',
      'busy',
    ]);
    const full = await send(0, 10);
    expect(full.headers).to.include({
      'bits-error-code': '0x80070112',
      'bits-error-context': '0x7',
    });
    const again = await send(0, 10);
    expect(offsetIn(again)).to.equal('10');
    server.assertNoViolations();
  });

  it('with a status that never ends has no length and leaves the connection open', async () => {
    await startWith({ on: 'ping', do: { status: 500, body: 'x', neverEnds: true } });
    client.write(packet('/f', 'Ping'));
    await client.until((received) => received.includes('\r\n\r\nx'));
    expect(client.received.toString().toLowerCase()).not.to.include('content-length');
    expect((await server.waitForRequest('ping')).outcome).to.equal('hanging');
  });

  it('with an offset or headers changes the ack and not the effect', async () => {
    await startWith(
      { on: 'create-session', do: { headers: { 'bits-protocol': null, 'X-New': 'y' } } },
      { on: 'fragment', do: { offset: 99 } },
      { on: 'fragment', do: { offset: null } },
    );
    const created = await open();
    expect(created.headers).to.include({ 'x-new': 'y' });
    expect(created.headers).not.to.have.property('bits-protocol');
    const wrong = await send(0, 10);
    expect(offsetIn(wrong)).to.equal('99');
    const none = await send(10);
    expect(none.status).to.equal(200);
    expect(none.headers).not.to.have.property('bits-received-content-range');
    await close();
    expect(await stored()).to.deep.equal(DATA);
  });

  it('can delay an answer, read slowly and redirect', async () => {
    await startWith(
      { on: 'ping', do: { delayMs: 30 } },
      { on: 'fragment', do: { bytesPerSecond: 400 } },
      { on: 'ping', do: { redirect: 'http://localhost:1/x' } },
    );
    const before = Date.now();
    await client.ping('/f');
    expect(Date.now() - before).to.be.at.least(28);
    await open();
    const slow = Date.now();
    await send();
    expect(Date.now() - slow).to.be.at.least(38);
    const moved = await client.ping('/f');
    expect([moved.status, moved.headers.location]).to.deep.equal([307, 'http://localhost:1/x']);
    server.assertFaultsConsumed();
  });

  it('named answer-twice answers a packet twice', async () => {
    await startWith({ on: 'fragment', do: 'answer-twice' });
    await open();
    expect(offsetIn(await send(0, 10))).to.equal('10');
    expect(offsetIn(await send(10))).to.equal('10');
    expect(offsetIn(await client.read())).to.equal('16');
  });

  it('with keepBytes keeps and acknowledges so many bytes of a fragment', async () => {
    await startWith({ on: 'fragment', times: 2, do: { keepBytes: 1 } });
    await open();
    expect(offsetIn(await send())).to.equal('1');
    expect(offsetIn(await send(1))).to.equal('2');
    expect(offsetIn(await send(2))).to.equal('16');
    server.assertNoViolations();
    await close();
    expect(await stored()).to.deep.equal(DATA);
  });

  it('with loseBytes goes back to an earlier offset', async () => {
    await startWith({ on: 'fragment', nth: 2, do: { loseBytes: 9 } });
    await open();
    await send(0, 10);
    expect(offsetIn(await send(10, 14))).to.equal('5');
    expect(offsetIn(await send(5))).to.equal('16');
    server.assertNoViolations();
    await close();
    expect(await stored()).to.deep.equal(DATA);
  });

  it('with sessionIdAs names the session in another form', async () => {
    await startWith(
      { on: 'fragment', do: { sessionIdAs: 'lower-case' } },
      { on: 'close-session', do: { sessionIdAs: 'without-braces' } },
    );
    await open();
    const ack = await send();
    expect(ack.headers['bits-session-id']).to.equal(id.toLowerCase());
    const closed = await close();
    expect(closed.headers['bits-session-id']).to.equal(id.slice(1, -1));
  });

  it('with interimAnswers sends them before the answer', async () => {
    await startWith({ on: 'ping', do: { interimAnswers: 2500 } });
    client.write(packet('/f', 'Ping'));
    for (let i = 0; i < 2500; i++) expect((await client.read()).status).to.equal(103);
    expect((await client.read()).status).to.equal(200);
  });

  it('with Infinity of interimAnswers never answers', async () => {
    await startWith({ on: 'fragment', do: { interimAnswers: Infinity } });
    await open();
    client.write(fragment('/f', id, 0, DATA.subarray(0, 10), 16));
    expect((await server.waitForRequest('fragment')).outcome).to.equal('hanging');
    await reconnect();
    expect(await next()).to.equal('10');
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
      await startWith(fault);
      const answer = await client.ping('/f');
      expect(answer.status).to.equal(200);
      expect(answer.headers.connection).not.to.equal('close');
      expect((await client.closed)?.code).to.equal(code);
    });
  }

  it('with closeAfterMs 0 leaves the next request unanswered', async () => {
    await startWith({ on: 'ping', do: { closeAfterMs: 0 } });
    await client.ping('/f');
    expect(await client.ping('/f').catch(() => 'none')).to.equal('none');
    expect(server.log).to.have.length(1);
  });

  it('with forgetsSession ends the session whatever the status says', async () => {
    const zero = { status: 400, headers: { 'BITS-Error-Code': '0' }, forgetsSession: true };
    await startWith({ on: 'fragment', do: zero });
    await open();
    const refused = await send();
    expect([refused.status, refused.headers['bits-error-code']]).to.deep.equal([400, '0']);
    expect((await send()).headers['bits-error-code']).to.equal('0x8020001F');
    server.assertNoViolations();
  });

  it('can refuse every Ping, and a Close that took effect', async () => {
    await startWith(
      { on: 'ping', times: Infinity, do: { status: 400 } },
      { on: 'close-session', do: { status: 400, afterCommit: true } },
    );
    await open();
    expect((await client.ping('/f')).status).to.equal(400);
    expect((await client.ping('/f')).status).to.equal(400);
    await send();
    expect((await close()).status).to.equal(400);
    expect(await stored()).to.deep.equal(DATA);
    server.assertFaultsConsumed();
  });

  it('applies to the nth matching request, as often as planned', async () => {
    await startWith(
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
    await startWith(fault);
    expect(server.unconsumedFaults()).to.deep.equal([fault]);
    expect(() => server.assertFaultsConsumed()).to.throw(AssertionError, /"nth":3/);
  });

  it('is refused when it cannot be carried out, as a misspelt one would count as applied', async () => {
    await startWith();
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
