import { createReadStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import type { UploadResult } from '../../src/job/events.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import type { SourceInput } from '../../src/source/to-source.js';
import { createFileStore } from '../../src/store/file.js';
import { createMemoryStore } from '../../src/store/memory.js';
import type { JobStore } from '../../src/store/store.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { hadStaleConnection } from '../../src/transport/failure.js';
import type { Transport } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { patterned, writePatterned } from '../support/files.js';
import type { JumpingClock } from '../support/jumping-clock.js';
import type { Incident, Scenario } from './scenario.js';

const KIB = 1024;
const SESSION_NOT_FOUND = 0x8020001f;
const HOUR_MS = 3_600_000;
const EIGHT_HOURS_MS = 8 * HOUR_MS;

/** Plays a scenario: servers that stop and start, and the records that client processes leave. */
export class HostileWorld {
  /** Runs of jobs so far. */
  runs = 0;
  requests = 0;
  readonly #scenario: Scenario;
  readonly #folder: string;
  readonly #incidents: Incident[];
  readonly #clock: JumpingClock;
  readonly #servers: BitsServer[] = [];
  readonly #replies: readonly Buffer[];
  #processes = 1;
  #port = 0;
  #server!: BitsServer;
  #stranger: BitsServer | undefined;
  readonly #transports: Transport[] = [];
  #onIncident: (incident: Incident) => void = () => {};
  #restarting: Promise<void> = Promise.resolve();
  #strangers = 2;
  #content: Buffer = Buffer.of();
  #store: JobStore | undefined;
  #job: UploadJob | undefined;

  constructor(scenario: Scenario, folder: string, clock: JumpingClock) {
    this.#scenario = scenario;
    this.#clock = clock;
    this.#folder = folder;
    this.#incidents = [...scenario.incidents];
    const { reply, seed } = scenario;
    this.#replies = Array.from({ length: 1 + (reply?.changes ?? 0) }, (_, version) =>
      patterned(reply?.bytes ?? 0, seed + 1 + version),
    );
  }

  /** Runs the upload until it is done, however often it has to be resumed. */
  async play(): Promise<void> {
    const { bytes, seed, store, hostId } = this.#scenario;
    await mkdir(this.#folder, { recursive: true });
    const content = await writePatterned(this.#file, bytes, seed);
    this.#content = content;
    this.#store =
      store === 'none'
        ? undefined
        : store === 'memory'
          ? createMemoryStore()
          : createFileStore({ directory: join(this.#folder, 'jobs') });
    if (hostId === 'stranger') this.#stranger = await createBitsServer();
    await this.#serve(true);
    try {
      let result: UploadResult | undefined;
      while (result === undefined) {
        this.runs++;
        expect(this.runs, 'runs').to.be.at.most(this.#mostRuns);
        result = await this.#run();
      }
      await this.#restarting;
      const arrived = await readFile(join(this.#server.root, 'file.bin')).catch(() => undefined);
      // When the answer to Close and the session are lost, the file may be there or not.
      const maybe = result.closed === 'presumed' && (this.#losesSessions || this.#refusesClose);
      if (arrived !== undefined || !maybe) {
        expect(arrived?.equals(content), 'the file is exact').to.equal(true);
      }
      await this.#judgeReply(result);
      expect(this.requests, 'requests').to.be.at.most(this.#mostRequests);
      if (this.#store) expect((await this.#store.list()).records, 'records').to.deep.equal([]);
    } finally {
      // The end of the server is not an incident.
      this.#incidents.length = 0;
      await this.#restarting;
      await this.#server.close();
      await this.#stranger?.close();
      for (const transport of this.#transports) await transport.close();
    }
    for (const server of this.#servers) server.assertNoViolations();
  }

  get #file(): string {
    return join(this.#folder, 'source.bin');
  }

  /** A stream can be read once: each job gets a new one. */
  #newSource(): SourceInput {
    const content = this.#content;
    switch (this.#scenario.source) {
      case 'file':
        return this.#file;
      case 'bytes':
        return content;
      case 'blob':
        return new Blob([content]);
      case 'stream':
        return createReadStream(this.#file, { highWaterMark: 10_000 });
      case 'web-stream':
        return new Blob([content]).stream();
      case 'iterable':
        return (async function* () {
          // An iterator without any piece is refused: it may have been read before.
          for (let at = 0; at === 0 || at < content.length; at += 7001) {
            yield content.subarray(at, at + 7001);
          }
        })();
    }
  }

  get #replyFile(): string {
    return join(this.#folder, 'reply.bin');
  }

  get #losesSessions(): boolean {
    const { faults, incidents } = this.#scenario;
    return (
      incidents.some(({ what }) => what === 'restart-server') ||
      faults.some(
        ({ do: action }) =>
          action === 'session-gone' ||
          (typeof action === 'object' &&
            ('forgetsSession' in action ||
              ('status' in action && action.hresult === SESSION_NOT_FOUND))),
      )
    );
  }

  get #hidesReplies(): boolean {
    return this.#scenario.faults.some(
      ({ do: action }) =>
        typeof action === 'object' && 'headers' in action && 'BITS-Reply-URL' in action.headers,
    );
  }

  /** With a lost answer before it, a refusal looks like that of a server which closed the session. */
  get #refusesClose(): boolean {
    return this.#scenario.faults.some(
      ({ on, do: action }) =>
        on === 'close-session' &&
        typeof action === 'object' &&
        'status' in action &&
        [400, 404, 410, 416, 500].includes(action.status ?? 0),
    );
  }

  /** Each fault and each incident may end one run. */
  get #mostRuns(): number {
    const { faults, incidents } = this.#scenario;
    const strikes = faults.reduce((sum, { times = 1 }) => sum + times, 0);
    return strikes + incidents.length + 2 + (this.#stranger ? 2 : 0);
  }

  /** Each of them may cost a whole upload in smallest fragments. */
  get #mostRequests(): number {
    return this.#mostRuns * (Math.ceil(this.#scenario.bytes / (5 * KIB)) + 12);
  }

  async #judgeReply({ reply }: UploadResult): Promise<void> {
    if (this.#scenario.reply === undefined) {
      expect(reply).to.equal(undefined);
      return;
    }
    // An empty file has no last fragment and therefore no reply.
    if (this.#scenario.bytes === 0) return;
    const { to, optional } = this.#scenario.reply;
    if (optional && reply === undefined && this.#hidesReplies) return;
    const got = to === 'file' ? await readFile(this.#replyFile) : Buffer.from(reply?.data ?? []);
    expect(reply?.bytes, 'size of the reply').to.equal(got.byteLength);
    const whole = this.#replies.some((version) => version.equals(got));
    expect(whole, 'the reply is exact').to.equal(true);
  }

  async #serve(first: boolean): Promise<void> {
    const { scenario, replies } = { scenario: this.#scenario, replies: this.#replies };
    const { reply, hostId } = scenario;
    const [body = Buffer.alloc(0), ...changesTo] = replies;
    const unconsumed = first ? scenario.faults : this.#server.unconsumedFaults();
    this.#server = await createBitsServer({
      port: this.#port,
      root: join(this.#folder, 'root'),
      allowOverwrite: true,
      overlap: scenario.overlap,
      omitSessionIdOnAck: scenario.omitSessionIdOnAck,
      faults: unconsumed,
      onRequest: () => this.#count(),
      ...(scenario.maxFragmentBytes !== undefined && {
        maxFragmentBytes: scenario.maxFragmentBytes,
      }),
      ...(hostId !== 'none' && { hostId: () => this.#nextHostId() }),
      ...(reply !== undefined && {
        replyAgain: reply.again,
        reply: async () => {
          await new Promise((resolve) => setTimeout(resolve, reply.takesMs));
          const { url, bytesPerSecond } = reply;
          return { body, changesTo, url, ...(bytesPerSecond !== undefined && { bytesPerSecond }) };
        },
      }),
    });
    this.#port = this.#server.port;
    this.#servers.push(this.#server);
  }

  #nextHostId(): string | undefined {
    if (this.#scenario.hostId === 'self') return `localhost:${this.#port}`;
    return this.#strangers-- > 0 ? `127.0.0.1:${this.#stranger?.port}` : undefined;
  }

  #count(): void {
    this.requests++;
    while (this.#incidents[0] !== undefined && this.#incidents[0].atRequest <= this.requests) {
      const incident = this.#incidents.shift() as Incident;
      if (incident.what === 'restart-server') this.#restarting = this.#restart(this.#restarting);
      else if (incident.what === 'sleep') this.#clock.sleep(EIGHT_HOURS_MS);
      else if (incident.what === 'clock-set-back') this.#clock.set(-HOUR_MS);
      else this.#onIncident(incident);
    }
  }

  async #restart(before: Promise<void>): Promise<void> {
    await before;
    await this.#server.close();
    await this.#serve(false);
  }

  /** One run of one job; undefined when it has not finished the upload. */
  async #run(): Promise<UploadResult | undefined> {
    const controller = new AbortController();
    const { outcome, job } = await this.#begin(controller.signal);
    // Only a file has a record that another job can resume.
    const hasRecord = this.#store !== undefined && this.#scenario.source === 'file';
    this.#job = hasRecord ? undefined : job;
    let afterDeath: JobStore | undefined;
    const tasks: Promise<unknown>[] = [];
    let over = false;
    const die = async (store: JobStore | undefined): Promise<void> => {
      over = true;
      if (store !== undefined) {
        this.#processes++;
        afterDeath ??= await copyOf(store);
      }
      controller.abort();
    };
    this.#onIncident = ({ what }) => {
      if (what === 'suspend') tasks.push(this.#pause(job, () => over));
      else if (what === 'cancel') tasks.push(job.cancel());
      else tasks.push(die(what === 'kill' ? this.#store : undefined));
    };
    try {
      const result = await outcome;
      // The job finished before its process died.
      afterDeath = undefined;
      return result;
    } catch (error) {
      if (!isBitsError(error)) throw error;
      return undefined;
    } finally {
      this.#onIncident = () => {};
      for (const task of tasks) await task;
      if (afterDeath !== undefined) this.#store = afterDeath;
    }
  }

  async #pause(job: UploadJob, over: () => boolean): Promise<void> {
    try {
      await job.suspend();
      if (job.state === 'suspended' && !over()) await job.resume();
    } catch (error) {
      // The job may have ended by then; its run tells how.
      if (!isBitsError(error)) throw error;
    }
  }

  async #begin(signal: AbortSignal): Promise<{ job: UploadJob; outcome: Promise<UploadResult> }> {
    const earlier = this.#job;
    if (earlier !== undefined && (earlier.state === 'suspended' || earlier.state === 'error')) {
      return { job: earlier, outcome: earlier.resume({ signal }) };
    }
    const options = this.#options(signal);
    if (this.#store !== undefined && this.#scenario.restoreById) {
      const [record] = (await this.#store.list()).records;
      if (record !== undefined) {
        const job = await UploadJob.restore(this.#store, record.id, options);
        return { job, outcome: job.resume() };
      }
    }
    const job = new UploadJob(options);
    return { job, outcome: job.start() };
  }

  #options(signal: AbortSignal): UploadOptions {
    const { fragmentBytes, reply, bytes, source, onUncertainFragment, mayResend } = this.#scenario;
    const transport = mayResend ? resending() : undefined;
    if (transport !== undefined) this.#transports.push(transport);
    return {
      url: new URL('file.bin', this.#server.url),
      source: this.#newSource(),
      fragmentBytes,
      onUncertainFragment,
      transport,
      store: this.#store,
      signal,
      // Connections end with their process: answers on them are not read.
      userAgent: `process ${this.#processes}`,
      retry: { minDelayMs: 1, maxDelayMs: 10, maxRetryAfterMs: 10 },
      timeouts: { answerMs: 120, replyMs: 120, stallMs: 1000, noProgressMs: 5000 },
      ...(reply !== undefined && {
        reply: {
          to: reply.to === 'file' ? this.#replyFile : 'memory',
          optional: bytes === 0 || reply.optional,
          // Nothing remembers an earlier run, whose reply may be there.
          ...(reply.to === 'file' && { overwrite: source !== 'file' }),
        },
      }),
    };
  }
}

/** As Chromium does: over another connection, when one that was used before breaks. */
function resending(): Transport {
  const once = createUndiciTransport();
  return {
    mayResend: true,
    limitations: [],
    send: (request, options) =>
      once.send(request, options).catch((error) => {
        if (!hadStaleConnection(error)) throw error;
        once.dropConnections?.();
        return once.send(request, options);
      }),
    dropConnections: () => once.dropConnections?.(),
    close: () => once.close(),
  };
}

/** What another process would find if this one died now. */
async function copyOf(store: JobStore): Promise<JobStore> {
  const copy = createMemoryStore();
  for (const record of (await store.list()).records) await copy.save(record);
  return copy;
}
