import { randomUUID } from 'node:crypto';
import type { JobRecord } from '../../src/store/record.js';

/** A record of a job in the middle of its upload. */
export function jobRecord(change: Partial<JobRecord> = {}): JobRecord {
  return {
    version: 1,
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
