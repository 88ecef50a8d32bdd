// Uploads a file that exists nowhere: 10 MB of numbered lines, computed when they are needed.
//   node examples/own-source.mjs https://server.example/drop/
import { UploadJob } from 'bits-upload';

const LINE_BYTES = 10;
const LINES = 1_000_000;

/** @type {import('bits-upload').ByteSource} */
const numbers = {
  name: 'numbers.txt',
  async open() {
    return {
      byteLength: LINE_BYTES * LINES,
      async *read(start, end) {
        const encoder = new TextEncoder();
        for (let at = start; at < end; ) {
          const first = Math.floor(at / LINE_BYTES);
          const last = Math.min(first + 10_000, Math.ceil(end / LINE_BYTES));
          let text = '';
          for (let line = first; line < last; line += 1)
            text += `${String(line).padStart(9, '0')}\n`;
          const offset = first * LINE_BYTES;
          const piece = encoder.encode(text).subarray(at - offset, end - offset);
          yield piece;
          at += piece.byteLength;
        }
      },
      async verify() {},
      async close() {},
    };
  },
};

const { bytes } = await new UploadJob({ url: process.argv[2] ?? '', source: numbers }).start();
console.log(`${bytes} bytes, none of them on this disk`);
