import type { WireResponse } from '../transport.js';

/** The body of an answer that only asks for authentication. */
const MAX_DRAIN_BYTES = 64 * 1024;

/** Reads a streamed answer to its end, within bounds, so that the connection can go on. */
export async function drain({ body }: WireResponse): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.byteLength;
      if (bytes > MAX_DRAIN_BYTES) return;
    }
  } catch {
    // The head of the answer says all that matters.
  }
}
