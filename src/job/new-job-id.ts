import { randomFillSync } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';

const ID_BYTES = 16;

/** Asking for the bytes of one id at a time takes longer than all the rest of it. */
const pool = Buffer.alloc(256 * ID_BYTES);
let used = pool.length;

let latestMs = 0;
let sequence = 0;

/** A UUID of version 7, so that ids sort by time, and those of one process in their order. */
export function newJobId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + ID_BYTES);
  used += ID_BYTES;
  const nowMs = Date.now();
  if (nowMs > latestMs) {
    latestMs = nowMs;
    // One bit less than there is room for: what is added within a millisecond has to fit.
    sequence = random.readUInt32BE(6) >>> 1;
  } else {
    sequence++;
  }
  return uuidV7({ random, msecs: latestMs, seq: sequence });
}
