import { type BenchFiles, KIB, MIB } from './data.js';
import {
  hasCurl,
  hasRclone,
  runClient,
  runCurlParallel,
  runNode,
  runRclone,
  type Sink,
} from './harness.js';
import { atLeast, atMost, type Client, type Row, ratio, size, speedOver, wallMs } from './row.js';
import type { Sizes } from './rows.js';

const PUT = 'bits-upload put -r';
const SDK = 'UploadQueue in a script';
const SDK_RECORDED = 'UploadQueue with a store in a script';
const TUS = 'tus-js-client in a script';
const CURL = 'curl -Z, one PUT a file';
// Its WebDAV backend waits 10 ms between any two requests, whatever they are.
const RCLONE = 'rclone copy, WebDAV, 100 requests/s';
const SMALL_BYTES = 10 * KIB;
const LARGE_BYTES = 20 * MIB;
const RATE_BYTES = 2_000_000;
const RATE_FILES = 12;
const CONCURRENCY = 8;
const LATE_MS = 20;
const FEW_QUEUED = 2000;

/** What people with many files do; times are those of whole processes, start-up included. */
export async function createManyRows(
  sink: Sink,
  files: BenchFiles,
  { manyFiles, largeFiles, queuedFiles }: Sizes,
): Promise<Row[]> {
  const url = `${sink.plainUrl}/tree`;
  const lateUrl = `${sink.plainUrl}/late-${LATE_MS}/tree`;
  const small = await files.tree(manyFiles, SMALL_BYTES);
  const large = await files.links(largeFiles, await files.random(LARGE_BYTES));
  const paced = await files.tree(RATE_FILES, 2 * RATE_BYTES);
  const smallBytes = manyFiles * SMALL_BYTES;

  const put = (
    name: string,
    directory: string,
    target: string,
    bytes: number,
    ...flags: string[]
  ): Client => ({
    name,
    bytes,
    run: () =>
      runNode('dist/cli/main.js', 'put', '-r', '--quiet', ...flags, `${directory}/`, `${target}/`),
  });
  const script = (name: string, file: string, bytes: number, options: object): Client => ({
    name,
    bytes,
    run: () => runNode(`bench/clients/${file}.js`, JSON.stringify(options)),
  });
  const rclone = (directory: string, bytes: number, concurrency: number): Client[] =>
    hasRclone
      ? [{ name: RCLONE, bytes, run: () => runRclone({ url, directory, concurrency }) }]
      : [];

  const transfers = ['--transfers', `${CONCURRENCY}`];
  const many: Row = {
    id: 'put',
    title: `A directory of ${manyFiles} files of ${size(SMALL_BYTES)}, ${CONCURRENCY} at a time`,
    shows: 'time',
    rounds: 5,
    clients: [
      put(PUT, small, url, smallBytes, ...transfers),
      script(SDK, 'ours-queue', smallBytes, { url, directory: small, concurrency: CONCURRENCY }),
      script(TUS, 'tus-many', smallBytes, { url, directory: small, concurrency: CONCURRENCY }),
      ...(hasCurl
        ? [
            {
              name: CURL,
              bytes: smallBytes,
              run: () => runCurlParallel({ url, directory: small, concurrency: CONCURRENCY }),
            },
          ]
        : []),
      ...rclone(small, smallBytes, CONCURRENCY),
    ],
    goals: [
      atMost(1.5, 'time of `put` over a script with UploadQueue', (medians) =>
        ratio(wallMs(medians, PUT), wallMs(medians, SDK)),
      ),
      atLeast(0.9, 'speed over tus-js-client, which sends two requests a file', (medians) =>
        speedOver(medians, PUT, TUS),
      ),
    ],
  };

  const fixed = `${PUT} --transfers ${CONCURRENCY}`;
  const auto = `${PUT} --transfers auto`;
  const late: Row = {
    id: 'put-late',
    title: `A directory of ${manyFiles} files of ${size(SMALL_BYTES)}, answers ${LATE_MS} ms late`,
    shows: 'time',
    rounds: 3,
    clients: [
      put(fixed, small, lateUrl, smallBytes, ...transfers),
      put(auto, small, lateUrl, smallBytes, '--transfers', 'auto'),
    ],
    goals: [
      atLeast(2.5, `speed of --transfers auto over ${CONCURRENCY}`, (medians) =>
        speedOver(medians, auto, fixed),
      ),
    ],
  };

  const largeTotal = largeFiles * LARGE_BYTES;
  const whole: Row = {
    id: 'put-large',
    title: `A directory of ${largeFiles} files of ${size(LARGE_BYTES)}, 4 at a time`,
    shows: 'speed',
    rounds: 3,
    clients: [
      put(PUT, large, url, largeTotal, '--transfers', '4'),
      script(SDK_RECORDED, 'ours-queue', largeTotal, {
        url,
        directory: large,
        concurrency: 4,
        isRecorded: true,
      }),
      script(SDK, 'ours-queue', largeTotal, { url, directory: large, concurrency: 4 }),
      ...rclone(large, largeTotal, 4),
    ],
    goals: [
      // `put` keeps records, so that a killed one can be resumed.
      atLeast(0.95, 'speed over a script with UploadQueue and a store', (medians) =>
        speedOver(medians, PUT, SDK_RECORDED),
      ),
      atLeast(0.95, 'speed over a script with UploadQueue without a store', (medians) =>
        speedOver(medians, PUT, SDK),
      ),
    ],
  };

  const limited = `${PUT} --limit-rate 2MB/s --transfers 4`;
  const rate: Row = {
    id: 'rate',
    title: `${RATE_FILES} files of 4 MB at 2 MB/s, counted by the server`,
    shows: 'rate',
    rounds: 2,
    clients: [
      put(
        limited,
        paced,
        url,
        RATE_FILES * 2 * RATE_BYTES,
        '--limit-rate',
        '2MB/s',
        '--transfers',
        '4',
      ),
    ],
    goals: [
      atLeast(0.95, 'the slowest 10 s over the limit', (medians) =>
        ratio(medians.get(limited)?.slowest10sBytes, 10 * RATE_BYTES),
      ),
      atMost(1.05, 'the fastest 10 s over the limit', (medians) =>
        ratio(medians.get(limited)?.fastest10sBytes, 10 * RATE_BYTES),
      ),
    ],
  };

  const few = `${FEW_QUEUED} files`;
  const queued = `${queuedFiles} files`;
  const queue = (name: string, count: number): Client => ({
    name,
    bytes: count,
    run: () => runClient('queued', { url, files: count }),
  });
  const memory: Row = {
    id: 'queue',
    title: 'Files of one byte through addAll of an UploadQueue',
    shows: 'memory',
    rounds: 1,
    clients: [queue(few, FEW_QUEUED), queue(queued, queuedFiles)],
    goals: [
      atMost(50, `peak memory of ${queued} less that of ${few}, MB`, (medians) => {
        const peak = (name: string) => medians.get(name)?.peakBytes ?? Number.NaN;
        return (peak(queued) - peak(few)) / 1e6;
      }),
    ],
  };

  return [many, late, whole, rate, memory];
}
