import type { JobRecord } from '../../src/store/record.js';
import { jobRecord } from './records.js';

/** A record of several pages that says its number at both ends. */
export function numberedRecord(id: string, number: number): JobRecord {
  const session = {
    ...jobRecord().session,
    replyUrl: `${String(number).padStart(9, '0')} `.repeat(1000),
  };
  return jobRecord({ id, session, createdAtMs: number, updatedAtMs: number });
}
