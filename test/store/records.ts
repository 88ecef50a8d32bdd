import { randomUUID } from 'node:crypto';
import { keyOfId } from '../../src/store/job-key.js';
import type { JobRecord } from '../../src/store/record.js';

export function anyKey(): string {
  return keyOfId(randomUUID());
}

/** A record of a job in the middle of its upload. */
export function jobRecord(change: Partial<JobRecord> = {}): JobRecord {
  return {
    version: 1,
    key: anyKey(),
    id: randomUUID(),
    url: 'http://bits.example/drop/dump.zip',
    queryHash: undefined,
    totalBytes: 1000,
    contentName: 'dump.zip',
    source: { path: '/data/dump.zip', byteLength: 1000, mtimeNs: '17', inode: '42' },
    session: {
      sessionId: '{9A2B6D1E}',
      hostId: undefined,
      hostIdFallbackTimeoutMs: undefined,
      offset: 500,
      replyUrl: undefined,
      replyStored: false,
      closeUncertain: false,
    },
    reply: undefined,
    fragmentBytes: undefined,
    state: 'fragment',
    bestOffset: 500,
    createdAtMs: 1,
    updatedAtMs: 2,
    ...change,
  };
}

/** The error of an attempt that must fail. */
export async function failureOf(attempt: Promise<unknown>): Promise<Error> {
  return attempt.then(
    (value) => {
      throw new Error(`succeeded with ${JSON.stringify(value)}`);
    },
    (error: Error) => error,
  );
}

/** A record of several pages that holds its number at both ends. */
export function numberedRecord(key: string, number: number): JobRecord {
  const session = {
    ...jobRecord().session,
    replyUrl: `${String(number).padStart(9, '0')} `.repeat(1000),
  };
  const id = '00000000-0000-4000-8000-000000000000';
  return jobRecord({ key, id, session, createdAtMs: number, updatedAtMs: number });
}
