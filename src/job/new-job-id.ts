import { randomFillSync } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';

const ID_BYTES = 16;

/** Asking for the bytes of one id at a time takes longer than all the rest of it. */
const pool = new Uint8Array(256 * ID_BYTES);
let used = pool.byteLength;

/** A UUID of version 7, so that ids sort by time. */
export function newJobId(): string {
  if (used === pool.byteLength) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + ID_BYTES);
  used += ID_BYTES;
  return uuidV7({ random });
}
