import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { BenchFiles } from './data.js';
import { type Sample, Sink } from './harness.js';
import { chartOf, type MeasuredRow, mediansOf, tableOf, thisMachine } from './report.js';
import type { Client, Row } from './row.js';
import { createRows, FULL, QUICK } from './rows.js';
import { sizerCurves } from './sizer-curves.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
  },
});
const OUT = new URL('../docs/benchmarks/', import.meta.url);

const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
const sink = await Sink.start();
const files = await BenchFiles.create();
try {
  const rows = await createRows(sink, files, values.quick ? QUICK : FULL);
  const ids = rows.map(({ id }) => id);
  const wanted = values.only?.split(',') ?? ids;
  const unknown = wanted.find((id) => !ids.includes(id));
  if (unknown !== undefined) throw new Error(`no row ${unknown}; there are ${ids.join(', ')}`);
  const measured: MeasuredRow[] = [];
  for (const row of rows.filter(({ id }) => wanted.includes(id))) {
    measured.push(await measure(row));
    process.stderr.write('\n');
  }
  await write(measured);
} finally {
  await files.remove();
  sink.stop();
}

/** In turn, round after round, so that what disturbs the machine disturbs all of them. */
async function measure(row: Row): Promise<MeasuredRow> {
  const samples = new Map<string, Sample[]>(row.clients.map(({ name }) => [name, []]));
  // The start-up row is short and jumps about; the first round only warms the caches.
  const times = Math.min(
    row.shows === 'time' ? rounds * 3 : rounds,
    row.rounds ?? Number.POSITIVE_INFINITY,
  );
  for (let round = 0; round <= times; round++) {
    process.stderr.write(`\r${row.title}: round ${round} of ${times}   `);
    for (const client of row.clients) {
      const sample = await checked(client);
      if (round > 0) samples.get(client.name)?.push(sample);
    }
  }
  return { row, samples };
}

async function checked({ name, bytes, run }: Client): Promise<Sample> {
  const sample = await run();
  const { bodyBytes, violations, tenths } = await sink.delivered();
  if (bodyBytes === (bytes ?? 0) && violations === 0) return { ...sample, ...extremes(tenths) };
  throw new Error(`${name}: ${bodyBytes} of ${bytes} bytes came, ${violations} out of order`);
}

/** Of every 10 s within the run. */
function extremes(tenths: readonly number[]): Pick<Sample, 'slowest10sBytes' | 'fastest10sBytes'> {
  const sums = tenths.slice(99).map((_, start) => {
    let bytes = 0;
    for (const tenth of tenths.slice(start, start + 100)) bytes += tenth;
    return bytes;
  });
  if (sums.length === 0) return {};
  return { slowest10sBytes: Math.min(...sums), fastest10sBytes: Math.max(...sums) };
}

async function write(measured: readonly MeasuredRow[]): Promise<void> {
  const machine = thisMachine();
  const { date, node, system, processors, memoryGib } = machine;
  const sizes = values.quick ? ', short run' : '';
  const intro = [
    '# Measurements',
    '',
    `Made by \`npm run bench\`: ${date}, Node ${node} on ${system}, ${processors}, ${memoryGib} GiB,`,
    `over loopback; medians of interleaved runs${sizes}. Ratios tell more than the figures themselves,`,
    'which change from machine to machine. CPU and peak memory are those of the whole client process.',
    '',
  ].join('\n');
  const sections = measured.map(
    (one) => `${tableOf(one)}\n![${one.row.title}](${one.row.id}.svg)\n`,
  );
  const text = [intro, ...sections].join('\n');
  process.stdout.write(text);
  if (values.only !== undefined) return;
  await mkdir(OUT, { recursive: true });
  await writeFile(new URL('README.md', OUT), text);
  const json = {
    machine,
    rounds,
    rows: measured.map((one) => ({
      id: one.row.id,
      title: one.row.title,
      medians: Object.fromEntries(mediansOf(one)),
      samples: Object.fromEntries(one.samples),
    })),
  };
  await writeFile(new URL('results.json', OUT), `${JSON.stringify(json, null, 1)}\n`);
  for (const one of measured) {
    await writeFile(new URL(`${one.row.id}.svg`, OUT), chartOf(one));
  }
  for (const [name, svg] of sizerCurves()) await writeFile(new URL(name, OUT), svg);
}
