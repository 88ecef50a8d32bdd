import { expect } from 'chai';
import fc from 'fast-check';
import { BitsStoreError, isBitsError } from '../../src/errors.js';
import { type JobRecord, parseRecord, serializeRecord } from '../../src/store/record.js';
import { jobRecord } from './records.js';

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const printable = (maxLength: number) =>
  fc
    .array(fc.integer({ min: 0x20, max: 0x7e }), { minLength: 1, maxLength })
    .map((codes) => String.fromCharCode(...codes));
const path = fc.string({ unit: 'binary' }).map((name) => `/${name.replaceAll('\0', '')}`);
const count = fc.maxSafeNat();
const time = fc.integer({ min: 0, max: 8.64e15 });

const anyRecord: fc.Arbitrary<JobRecord> = fc.maxSafeNat().chain((totalBytes) => {
  const offset = fc.integer({ min: 0, max: totalBytes });
  const resume = fc.record({
    receivedBytes: count,
    candidate: fc.nat(1000),
    totalBytes: maybe(count),
    etag: maybe(printable(30)),
    lastModified: maybe(printable(30)),
    ifRange: maybe(printable(30)),
    place: maybe(fc.webUrl().map((url) => `${new URL(url).origin}/reply`)),
  });
  const reply = fc
    .record({
      partId: fc.uuid(),
      to: fc.constantFrom('memory' as const, 'file' as const, 'stream' as const),
      optional: fc.boolean(),
      file: path,
      overwrite: fc.boolean(),
      maxBytes: maybe(count),
      resume: maybe(resume),
    })
    .map((made) => (made.to === 'file' ? made : { ...made, file: undefined }));
  return fc.record({
    version: fc.constant(1 as const),
    key: fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 32, maxLength: 32 }),
    id: fc.uuid(),
    url: fc.webUrl().map((url) => new URL(url).href),
    queryHash: maybe(fc.constant('0f'.repeat(32))),
    totalBytes: fc.constant(totalBytes),
    contentName: path,
    source: fc.record({
      path,
      byteLength: fc.constant(totalBytes),
      mtimeNs: fc.bigInt().map((ns) => BigInt.asIntN(80, ns).toString()),
      inode: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    }),
    session: fc.record({
      sessionId: maybe(printable(100)),
      hostId: maybe(fc.constantFrom('web3', 'web3.example:8080', '[::1]', '[::1]:81')),
      hostIdFallbackTimeoutMs: maybe(count),
      offset,
      replyUrl: maybe(printable(200)),
      replyStored: fc.boolean(),
      closeUncertain: fc.boolean(),
    }),
    reply: maybe(reply),
    fragmentBytes: maybe(fc.integer({ min: 5120, max: 2 ** 31 })),
    state: fc.constantFrom('init' as const, 'fragment' as const, 'suspended' as const),
    bestOffset: offset,
    createdAtMs: time,
    updatedAtMs: time,
  });
});

/** Each place of a value, as the keys that lead to it. */
function placesOf(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    [key],
    ...placesOf(inner).map((rest) => [key, ...rest]),
  ]);
}

function withValueAt(value: unknown, place: string[], put: unknown): unknown {
  const [key, ...rest] = place;
  if (key === undefined) return put;
  const inner = (value as Record<string, unknown>)[key];
  return { ...(value as object), [key]: withValueAt(inner, rest, put) };
}

/** What parsing came to; fails on anything thrown that is not the store's own error. */
function outcome(input: unknown): JobRecord | BitsStoreError {
  try {
    return parseRecord(input);
  } catch (error) {
    if (!(error instanceof BitsStoreError) || !isBitsError(error)) throw error;
    expect(error.code).to.equal('BITS_ERR_STORE');
    return error;
  }
}

function refusal(input: unknown): BitsStoreError {
  const result = outcome(input);
  if (!(result instanceof BitsStoreError)) expect.fail('it was read as a record');
  return result;
}

const complete = jobRecord({
  queryHash: '0f'.repeat(32),
  session: {
    ...jobRecord().session,
    hostId: 'web3:8080',
    hostIdFallbackTimeoutMs: 1,
    replyUrl: 'x\\y',
  },
  reply: {
    partId: '0193b5a6-5d3f-7c11-9a52-6b1f0e6c9d27',
    to: 'file',
    optional: false,
    file: '/data/answer',
    overwrite: false,
    maxBytes: 9,
    resume: {
      receivedBytes: 1,
      candidate: 0,
      totalBytes: 2,
      etag: '"e"',
      lastModified: 'd',
      ifRange: '"e"',
      place: 'http://h/p',
    },
  },
  fragmentBytes: 5120,
});

describe('a job record', () => {
  it('comes back from its text as it was', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        expect(parseRecord(serializeRecord(record))).to.deep.equal(record);
      }),
    );
  });

  it('is refused with one kind of error, or is a record, whatever is read', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.json(), fc.string()), (input) => {
        refusal(input);
      }),
    );
  });

  it('is read or refused, and then still legal, with anything in any place', () => {
    const values = fc.oneof(
      fc.anything(),
      fc.constantFrom(-1, 1e308, 2 ** 53, 0.5, Number.NaN, '', '\0', '9'.repeat(100_000), [], {}),
    );
    fc.assert(
      fc.property(fc.constantFrom(...placesOf(complete)), values, (place, value) => {
        const result = outcome(withValueAt(complete, place, value));
        if (!(result instanceof BitsStoreError)) {
          expect(parseRecord(serializeRecord(result))).to.deep.equal(result);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('is refused with a wrong type in any place', () => {
    for (const place of placesOf(complete)) {
      for (const wrong of [null, Number.NaN, ['x'], () => 1, '\0']) {
        expect(refusal(withValueAt(complete, place, wrong)).reason, place.join()).to.equal(
          'damaged',
        );
      }
    }
  });

  it('is refused when it is cut short anywhere', () => {
    const text = serializeRecord(complete).trimEnd();
    for (let end = 0; end < text.length; end++) refusal(text.slice(0, end));
  });

  it('keeps nothing that it does not name, and takes nothing that is inherited', () => {
    const text = serializeRecord(complete).replace(
      '{',
      '{"__proto__":{"state":"failed","polluted":1},"constructor":{"prototype":{"polluted":1}},' +
        '"authorization":"Basic c2VjcmV0",',
    );
    const record = parseRecord(text);
    expect(record).to.deep.equal(complete);
    expect(Object.getPrototypeOf(record)).to.equal(Object.prototype);
    expect(({} as { polluted?: unknown }).polluted).to.equal(undefined);
    expect(refusal(Object.create(complete)).reason).to.equal('damaged');
  });

  it('of another release is told from a damaged one', () => {
    expect(refusal({ ...complete, version: 2 }).reason).to.equal('unknown-version');
    expect(refusal({ version: 7 }).reason).to.equal('unknown-version');
    expect(refusal({ ...complete, version: '2' }).reason).to.equal('damaged');
  });

  it('is refused when it contradicts itself', () => {
    const { session, reply } = complete;
    const contradictions = [
      { totalBytes: 999 },
      { bestOffset: 1001 },
      { session: { ...session, offset: 1001 } },
      { reply: { ...reply, to: 'memory' } },
      { reply: { ...reply, file: undefined } },
      { fragmentBytes: 5119 },
    ];
    for (const contradiction of contradictions) {
      expect(refusal({ ...complete, ...contradiction }).reason).to.equal('damaged');
    }
  });

  it('holds no URL with a secret, and no host that is more than a host', () => {
    const urls = [
      'http://u:p@h/x',
      'http://h/x?sig=1',
      'http://h/x?',
      'http://h/x#y',
      'file:///etc/passwd',
      'HTTP://h/x',
      '/x',
    ];
    for (const url of urls) {
      refusal({ ...complete, url });
      const resume = { receivedBytes: 1, candidate: 0, place: url };
      refusal({ ...complete, reply: { ...complete.reply, resume } });
    }
    for (const hostId of ['web3/x', 'u@web3', 'WEB3', 'web3\r\nx: y', '']) {
      refusal({ ...complete, session: { ...complete.session, hostId } });
    }
  });

  it('is read when a clock that was wrong wrote it', () => {
    const future = { ...complete, createdAtMs: 8.64e15, updatedAtMs: 8.64e15 };
    expect(parseRecord(serializeRecord(future))).to.deep.equal(future);
    refusal({ ...complete, updatedAtMs: 8.64e15 + 1 });
  });

  it('is refused with a key that could name another file', () => {
    for (const key of ['', '../0123', 'A'.repeat(32), `${'0'.repeat(31)}/`, '0'.repeat(33)]) {
      refusal({ ...complete, key });
    }
  });

  it('repeats no value in its messages', () => {
    for (const place of placesOf(complete)) {
      const result = outcome(withValueAt(complete, place, 'SECRET\0'));
      expect(String(result)).not.to.include('SECRET');
    }
    expect(String(refusal('{"url":"SECRET'))).not.to.include('SECRET');
  });

  it('survives getters and proxies that throw', () => {
    const trap = () => {
      throw new RangeError('trap');
    };
    refusal(new Proxy({}, { getOwnPropertyDescriptor: trap, get: trap }));
    refusal({
      ...complete,
      get session() {
        return trap();
      },
    });
    refusal('['.repeat(500_000));
    refusal(' '.repeat(2 ** 20 + 1));
  });
});
