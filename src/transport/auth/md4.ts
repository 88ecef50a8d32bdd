const BLOCK_BYTES = 64;
/** Of the message's length in bits, at the end of the last block. */
const LENGTH_BYTES = 8;

/** One of three rounds of 16 steps, which changes one of four words each (RFC 1320 §3.4). */
interface Round {
  readonly mix: (x: number, y: number, z: number) => number;
  readonly constant: number;
  /** Which word of the block each step adds. */
  readonly order: readonly number[];
  /** By how many bits the words are rotated, in turn. */
  readonly rotations: readonly [number, number, number, number];
}

const ROUNDS: readonly Round[] = [
  {
    mix: (x, y, z) => (x & y) | (~x & z),
    constant: 0,
    order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    rotations: [3, 7, 11, 19],
  },
  {
    mix: (x, y, z) => (x & y) | (x & z) | (y & z),
    constant: 0x5a827999,
    order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
    rotations: [3, 5, 9, 13],
  },
  {
    mix: (x, y, z) => x ^ y ^ z,
    constant: 0x6ed9eba1,
    order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
    rotations: [3, 9, 11, 15],
  },
];

/**
 * MD4 (RFC 1320), which NTLM hashes passwords with and OpenSSL 3 no longer has. Broken: for nothing
 * else.
 */
export function md4(bytes: Uint8Array): Buffer {
  const state = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const message = padded(bytes);
  for (let at = 0; at < message.length; at += BLOCK_BYTES) {
    addBlock(state, message.subarray(at, at + BLOCK_BYTES));
  }
  // Passwords do not stay in memory longer than they must.
  message.fill(0);
  const digest = Buffer.alloc(16);
  for (const [index, word] of state.entries()) digest.writeUInt32LE(word, index * 4);
  return digest;
}

/** With a bit of 1 and the length, to whole blocks (§3.1, §3.2). */
function padded(bytes: Uint8Array): Buffer {
  const blocks = Math.ceil((bytes.length + 1 + LENGTH_BYTES) / BLOCK_BYTES);
  const message = Buffer.alloc(blocks * BLOCK_BYTES);
  message.set(bytes);
  message[bytes.length] = 0x80;
  message.writeBigUInt64LE(BigInt(bytes.length) * 8n, message.length - LENGTH_BYTES);
  return message;
}

function addBlock(state: Uint32Array, block: Buffer): void {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  for (const { mix, constant, order, rotations } of ROUNDS) {
    for (const [step, word] of order.entries()) {
      const sum = (a + mix(b, c, d) + block.readUInt32LE(word * 4) + constant) | 0;
      const bits = rotations[step % 4] as number;
      [a, b, c, d] = [d, (sum << bits) | (sum >>> (32 - bits)), b, c];
    }
  }
  for (const [index, word] of [a, b, c, d].entries()) {
    state[index] = (state[index] as number) + word;
  }
}
