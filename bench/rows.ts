import { tlsCertificate } from '../test/support/raw-server.js';
import { type BenchFiles, GIB, KIB, MIB } from './data.js';
import { fleetRow } from './fleet-row.js';
import { hasCurl, runClient, runCurl, runNode, type Sink } from './harness.js';
import { createManyRows } from './many-rows.js';
import { atLeast, atMost, type Client, type Row, ratio, size, speedOver, wallMs } from './row.js';

export interface Sizes {
  readonly fileBytes: number;
  readonly hugeBytes: number;
  readonly manyFiles: number;
  readonly manyFragments: number;
  readonly largeFiles: number;
  readonly queuedFiles: number;
  readonly fleetUploads: number;
}

export const FULL: Sizes = {
  fileBytes: GIB,
  hugeBytes: 10 * GIB,
  manyFiles: 2000,
  manyFragments: 10_000,
  largeFiles: 200,
  queuedFiles: 100_000,
  fleetUploads: 120,
};

export const QUICK: Sizes = {
  fileBytes: 256 * MIB,
  hugeBytes: GIB,
  manyFiles: 400,
  manyFragments: 2000,
  largeFiles: 40,
  queuedFiles: 10_000,
  fleetUploads: 60,
};

const OURS = 'bits-upload';
const HTTP_MEMORY = 'undici, from memory';
const HTTP_FILE = 'undici, file read ahead';
const TUS_ENDLESS = 'tus-js-client, one chunk';
const TUS_4M = 'tus-js-client, 4 MiB chunks';
const TUS_MANY = 'tus-js-client';
const CURL = 'curl -T';
const REQUEST_BYTES = 4 * MIB;
const LATE_MS = 50;
const SMALL_BYTES = 10 * KIB;
const CONCURRENCY = 8;
const FIXED_SIZES = [4, 8, 16, 28].map((mib) => mib * MIB);
const SMALL_FRAGMENT_BYTES = 64 * KIB;
const FEW_FRAGMENTS = 100;

export async function createRows(sink: Sink, files: BenchFiles, sizes: Sizes): Promise<Row[]> {
  const { fileBytes, hugeBytes, manyFiles, manyFragments } = sizes;
  const file = await files.random(fileBytes);
  const huge = await files.sparse(hugeBytes);
  const sparse = await files.sparse(fileBytes);
  const small = await files.random(SMALL_BYTES);
  const manyBytes = manyFragments * SMALL_FRAGMENT_BYTES;
  const fewBytes = FEW_FRAGMENTS * SMALL_FRAGMENT_BYTES;
  const manyFile = await files.sparse(manyBytes);
  const fewFile = await files.sparse(fewBytes);
  const ca = tlsCertificate();
  const url = `${sink.plainUrl}/file`;
  const lateUrl = `${sink.plainUrl}/late-${LATE_MS}/file`;
  const secureUrl = `${sink.secureUrl}/file`;
  const whole = { url, file, bytes: fileBytes, requestBytes: REQUEST_BYTES };

  const client = (
    name: string,
    script: string,
    options: object,
    bytes: number = fileBytes,
  ): Client => ({ name, bytes, run: () => runClient(script, options) });

  const plain: Row = {
    id: 'file',
    title: `${size(fileBytes)} file, defaults`,
    shows: 'speed',
    clients: [
      client(OURS, 'ours', { url, file }),
      client(HTTP_MEMORY, 'undici-memory', whole),
      client(HTTP_FILE, 'undici-file', whole),
      client(TUS_ENDLESS, 'tus', whole),
      client(TUS_4M, 'tus', { ...whole, chunkBytes: REQUEST_BYTES }),
      ...(hasCurl ? [{ name: CURL, bytes: fileBytes, run: () => runCurl({ url, file }) }] : []),
    ],
    goals: [
      atLeast(2.5, "speed over tus-js-client's best", (medians) =>
        ratio(
          Math.min(wallMs(medians, TUS_ENDLESS), wallMs(medians, TUS_4M)),
          wallMs(medians, OURS),
        ),
      ),
      atLeast(1, 'speed over curl -T', (medians) => speedOver(medians, OURS, CURL)),
      atLeast(1, 'speed over the undici loop', (medians) => speedOver(medians, OURS, HTTP_FILE)),
      atMost(1, "CPU over the undici loop's", (medians) =>
        ratio(medians.get(OURS)?.cpuMs, medians.get(HTTP_FILE)?.cpuMs),
      ),
    ],
  };

  const memory: Row = {
    id: 'memory',
    title: 'Peak memory',
    shows: 'memory',
    clients: [
      client(`${size(fileBytes)}, defaults`, 'ours', { url, file: sparse }),
      client(`${size(hugeBytes)}, defaults`, 'ours', { url, file: huge }, hugeBytes),
      ...[64 * KIB, 4 * MIB, 28 * MIB, 256 * MIB].map((fragmentBytes) =>
        client(`${size(fileBytes)}, ${size(fragmentBytes)} fragments`, 'ours', {
          url,
          file: sparse,
          fragmentBytes,
        }),
      ),
    ],
    goals: [
      atMost(1.1, `${size(hugeBytes)} over ${size(fileBytes)}`, (medians) =>
        ratio(
          medians.get(`${size(hugeBytes)}, defaults`)?.peakBytes,
          medians.get(`${size(fileBytes)}, defaults`)?.peakBytes,
        ),
      ),
      atMost(130, 'the most of all, MiB', (medians) => {
        const peaks = [...medians.values()].map(({ peakBytes }) => peakBytes ?? 0);
        return Math.max(...peaks) / MIB;
      }),
    ],
  };

  const fixedName = (bytes: number) => `${OURS}, ${size(bytes)} fragments`;
  const late: Row = {
    id: 'late',
    title: `${size(fileBytes)} file, acknowledgements ${LATE_MS} ms late`,
    shows: 'speed',
    clients: [
      client(OURS, 'ours', { url: lateUrl, file }),
      ...FIXED_SIZES.map((fragmentBytes) =>
        client(fixedName(fragmentBytes), 'ours', { url: lateUrl, file, fragmentBytes }),
      ),
      client(HTTP_FILE, 'undici-file', { ...whole, url: lateUrl }),
      client(TUS_4M, 'tus', { ...whole, url: lateUrl, chunkBytes: REQUEST_BYTES }),
    ],
    goals: [
      atLeast(3, 'speed over tus-js-client in 4 MiB chunks', (medians) =>
        speedOver(medians, OURS, TUS_4M),
      ),
      atLeast(0.9, 'speed over the best fixed fragment size', (medians) => {
        const best = Math.min(...FIXED_SIZES.map((bytes) => wallMs(medians, fixedName(bytes))));
        return ratio(best, wallMs(medians, OURS));
      }),
    ],
  };

  const manyOptions = { url, file: small, files: manyFiles, concurrency: CONCURRENCY };
  const many: Row = {
    id: 'many',
    title: `${manyFiles} files of ${size(SMALL_BYTES)}, ${CONCURRENCY} at a time`,
    shows: 'time',
    clients: [
      client(OURS, 'ours-many', manyOptions, manyFiles * SMALL_BYTES),
      client(
        'undici, the same three requests',
        'undici-many',
        manyOptions,
        manyFiles * SMALL_BYTES,
      ),
      client(TUS_MANY, 'tus-many', manyOptions, manyFiles * SMALL_BYTES),
    ],
    goals: [
      atLeast(1, 'speed over tus-js-client, which sends two requests a file', (medians) =>
        speedOver(medians, OURS, TUS_MANY),
      ),
    ],
  };

  const secure: Row = {
    id: 'tls',
    title: `${size(fileBytes)} file over TLS`,
    shows: 'speed',
    clients: [
      client(OURS, 'ours', { url: secureUrl, file, ca }),
      client(HTTP_FILE, 'undici-file', { ...whole, url: secureUrl, ca }),
      client(HTTP_MEMORY, 'undici-memory', { ...whole, url: secureUrl, ca }),
    ],
    goals: [
      atLeast(1.3, 'speed over the undici loop', (medians) => speedOver(medians, OURS, HTTP_FILE)),
    ],
  };

  const fragmentBytes = SMALL_FRAGMENT_BYTES;
  const fewName = `${FEW_FRAGMENTS} fragments`;
  const manyName = `${manyFragments} fragments`;
  const fragments: Row = {
    id: 'fragments',
    title: `Fragments of ${size(fragmentBytes)}`,
    shows: 'time',
    clients: [
      client(fewName, 'ours', { url, file: fewFile, fragmentBytes }, fewBytes),
      client(manyName, 'ours', { url, file: manyFile, fragmentBytes }, manyBytes),
    ],
    goals: [
      atMost(1.1, `time a fragment, of ${manyFragments} over ${FEW_FRAGMENTS}`, (medians) =>
        ratio(wallMs(medians, manyName) / manyFragments, wallMs(medians, fewName) / FEW_FRAGMENTS),
      ),
    ],
  };

  const node = (name: string, ...args: string[]): Client => ({
    name,
    run: () => runNode(...args),
  });
  const importing = (module: string): string[] => [
    '--input-type=module',
    '-e',
    `import '${module}'`,
  ];
  const cli = 'dist/cli/main.js';
  const start: Row = {
    id: 'start',
    title: 'Start-up',
    shows: 'time',
    clients: [
      node('node -e 0', '-e', '0'),
      node('bits-upload --version', cli, '--version'),
      {
        ...node('bits-upload put', cli, 'put', '--no-resume', '--quiet', small, `${url}/put.bin`),
        bytes: SMALL_BYTES,
      },
      node("import 'undici'", ...importing('undici')),
      node("import 'bits-upload'", ...importing('bits-upload')),
    ],
    goals: [
      atMost(1.25, "import 'bits-upload' over import 'undici'", (medians) =>
        ratio(medians.get("import 'bits-upload'")?.wallMs, medians.get("import 'undici'")?.wallMs),
      ),
      atMost(1.5, '--version over node -e 0', (medians) =>
        ratio(medians.get('bits-upload --version')?.wallMs, medians.get('node -e 0')?.wallMs),
      ),
      atMost(3, '`put` of a small file over node -e 0', (medians) =>
        ratio(medians.get('bits-upload put')?.wallMs, medians.get('node -e 0')?.wallMs),
      ),
    ],
  };

  const manyRows = await createManyRows(sink, files, sizes);
  const fleetRows = fleetRow(
    { url: lateUrl, file: small, fileBytes: SMALL_BYTES, uploads: sizes.fleetUploads },
    LATE_MS,
  );
  return [plain, memory, late, many, secure, fragments, start, ...manyRows, ...fleetRows];
}
