import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import { expect } from 'chai';
import { eventRows, eventsSchema } from '../../scripts/events-schema.js';
import type { CliEvent } from '../../src/cli-events.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { skipWithoutLinks } from '../support/skip.js';
import { runCli } from './capture.js';
import { OF_A_FLEET } from './fleet-events.js';

describe('the events of --json', () => {
  let isEvent: ValidateFunction;
  let directory: string;
  let server: BitsServer;

  before(() => {
    isEvent = new Ajv({ allowUnionTypes: true }).compile(eventsSchema({ isStrict: true }));
  });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-events-'));
    server = await createBitsServer({ reply: () => 'thanks' });
  });

  afterEach(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  async function eventsOf(args: readonly string[]): Promise<CliEvent[]> {
    const { lines } = await runCli(args, { state: join(directory, 'state') });
    return lines.map((line): CliEvent => {
      const event = JSON.parse(line);
      expect(isEvent(event), `${line}\n${JSON.stringify(isEvent.errors)}`).to.equal(true);
      return event;
    });
  }

  it('are of the documented types, with the documented fields alone, for every command', async function () {
    skipWithoutLinks(this);
    const file = join(directory, 'a.bin');
    await writeFile(file, Buffer.alloc(300_000));
    const put = ['put', '--json', '--fragment-size=64KiB', '-u', 'me:x'];
    const seen: CliEvent[] = [];

    server.addFault({ on: 'fragment', nth: 2, do: { status: 503 } });
    seen.push(...(await eventsOf([...put, `--reply-file=${file}.xml`, file, server.url])));
    expect(seen.at(-1)).to.include({ type: 'summary', succeeded: 1 });
    expect(seen.at(-2)).to.include({ type: 'result', closed: 'acknowledged', replyBytes: 6 });

    // Three unfinished uploads: one to resume, one to cancel, one to discard.
    for (const name of ['b', 'c', 'd']) {
      await writeFile(join(directory, name), Buffer.alloc(200_000));
      server.addFault({ on: 'fragment', nth: 2, do: { status: 403 } });
      const failed = await eventsOf([...put, join(directory, name), server.url]);
      expect(failed.at(-2)).to.include({ type: 'error', resumable: true, status: 403 });
      seen.push(...failed);
    }
    const jobs = await eventsOf(['jobs', '--json']);
    const [first = '', second = ''] = jobs.map((event) => (event.type === 'job' ? event.id : ''));
    const resumed = await eventsOf(['resume', first, '--json', '-u', 'me:x']);
    expect(resumed.at(-2)).to.include({ type: 'result', id: first, resumed: true });
    const cancelled = await eventsOf(['cancel', second, '--json']);
    expect(cancelled).to.deep.include({
      type: 'result',
      file: join(directory, 'c'),
      url: `${server.url}c`,
      id: second,
      freed: true,
    });
    await writeFile(join(directory, 'state', `${'0'.repeat(32)}.json`), 'damaged', { mode: 0o600 });
    await rm(join(directory, 'd'));
    const pruned = await eventsOf(['prune', '--json', '--unreadable']);
    expect(pruned.map(({ type }) => type)).to.have.members(['result', 'problem']);
    const pinged = await eventsOf(['ping', '--json', '--probe', server.url]);
    const unreachable = await eventsOf(['ping', '--json', server.url.replace('http:', 'https:')]);
    await mkdir(join(directory, 'tree'));
    await writeFile(join(directory, 'tree', 'one'), '1');
    await symlink('one', join(directory, 'tree', 'link'));
    seen.push(...(await eventsOf(['put', '--json', '-r', '--dry-run', directory, server.url])));
    seen.push(...jobs, ...resumed, ...cancelled, ...pruned, ...pinged, ...unreachable);

    // Those of a fleet need Redis: test/bullmq/cli.test.ts.
    const rows = eventRows().filter(({ text }) => !OF_A_FLEET.test(text));
    expect(new Set(seen.map(({ type }) => type))).to.have.keys(rows.map(({ type }) => type));
  });

  for (const args of [
    ['put', '--json'],
    ['put', '--json', 'no-such-file', 'http://127.0.0.1:9/'],
    ['put', '--json', '--unknown'],
    ['resume', '--json', '--transfers=0'],
    ['cancel', '--json'],
    ['prune', '--json', '--older-than=x'],
    ['jobs', '--json', '--state-dir='],
    ['ping', '--json'],
    ['nothing', '--json'],
  ]) {
    it(`have an error for ${args.join(' ')}`, async () => {
      const [error] = await eventsOf(args);
      expect(error).to.include({ type: 'error', code: 'BITS_ERR_ARGUMENT', retryable: false });
    });
  }

  it('have an error when the records cannot be read', async () => {
    await writeFile(join(directory, 'file'), '');
    for (const command of ['jobs', 'prune', 'resume']) {
      const events = await eventsOf([command, '--json', `--state-dir=${join(directory, 'file')}`]);
      expect(events[0], command).to.include({ type: 'error', code: 'BITS_ERR_STORE', file: null });
    }
  });
});
