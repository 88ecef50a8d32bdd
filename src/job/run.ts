import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AbortSwitch } from '../common/abort-switch.js';
import {
  BitsAbortError,
  BitsArgumentError,
  BitsError,
  BitsStateError,
  isBitsError,
} from '../errors.js';
import type { FragmentPacket, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import { appendFileName } from '../protocol/remote-url.js';
import { replyCandidates } from '../reply/candidates.js';
import { ReplyDownload, ReplyGoneError, type ReplyResumePoint } from '../reply/download.js';
import { discardReplyPart } from '../reply/file-target.js';
import type { ReplyFetch } from '../reply/get.js';
import type { ResolvedReply } from '../reply/reply-option.js';
import { checkReplyTarget, discardReply } from '../reply/reply-target.js';
import type { StoredReply } from '../reply/sink.js';
import { step } from '../session/machine.js';
import {
  type Command,
  createSession,
  isFinal,
  restoreSession,
  type Session,
  type SessionEvent,
  type SessionPlan,
  type SizerOptions,
} from '../session/session.js';
import type { ByteSource, OpenSource, SourceIdentity } from '../source/source.js';
import type { JobRecord } from '../store/record.js';
import type { JobStore } from '../store/store.js';
import { systemClock } from './clock.js';
import { type Doing, Driver, type Rest } from './driver.js';
import { type ExchangeParts, exchange, refusalOf } from './exchange.js';
import { closeSource, openSource, sourceError } from './guarded-source.js';
import type { RunHooks } from './hooks.js';
import { leftoverOf } from './job-records.js';
import { isSameFile, Journal } from './journal.js';
import type { Leftover } from './leftover.js';
import type { ResolvedOptions } from './options.js';
import { PacketSender } from './packet-sender.js';
import { planOf } from './plan.js';
import { ProgressReport } from './progress.js';
import { Redirects } from './redirects.js';
import { later } from './schedule.js';
import { serverLimits } from './server-limits.js';
import { openWire, type Wire } from './wire.js';

/** What a job brings to each of its runs. */
export interface RunRequest {
  readonly id: string;
  readonly options: ResolvedOptions;
  readonly hooks: RunHooks;
  readonly leftover: Leftover | undefined;
  /** Set when nothing is to be done but to free the server's session. */
  readonly leaving?: true;
}

interface Opened {
  readonly source: OpenSource;
  readonly wire: Wire;
  readonly remoteUrl: URL;
  readonly session: Session;
  readonly journal: Journal | undefined;
  readonly leftover: Leftover | undefined;
  readonly interruption: AbortSwitch;
}

/** Everything that a job holds open between its start and its end: source, sockets, reply. */
export class Run {
  readonly remoteUrl: URL;
  bytesSent = 0;
  readonly #request: RunRequest;
  readonly #source: OpenSource;
  readonly #wire: Wire;
  readonly #sender: PacketSender;
  readonly #redirects: Redirects;
  readonly #journal: Journal | undefined;
  readonly #goingOn: Leftover | undefined;
  readonly #driver: Driver;
  readonly #report: ProgressReport;
  readonly #exchangeParts: ExchangeParts;
  /** What is left to send of the fragment that the server's application waits for. */
  #lastBytesLeft = Number.POSITIVE_INFINITY;
  readonly #startedMs = performance.now();
  readonly #interruption: AbortSwitch;
  #download: { readonly replyUrl: string; readonly reply: ReplyDownload } | undefined;
  #storedReply: StoredReply | undefined;
  /** Bytes that come a second time are no progress. */
  #mostReplyBytes = 0;
  /** Where an earlier run's download of the same session's reply stood. */
  #replyPoint: ReplyResumePoint | undefined;
  /** Whether the caller cut short what is driven. */
  #cut = false;
  #over = false;

  /**
   * Opens the source and makes ready to send; nothing has gone out when this fails.
   * @param interruption ends the opening; what is sent later is cut by {@link interrupt}
   * @throws BITS_ERR_ARGUMENT when the source, the URL and the options do not fit together
   */
  static async open(
    request: RunRequest,
    source: ByteSource,
    interruption = new AbortSwitch(),
  ): Promise<Run> {
    const { options, leftover } = request;
    const opened = await openSource(source, interruption);
    let journal: Journal | undefined;
    let wire: Wire | undefined;
    try {
      const name = options.name ?? options.source.name;
      const remoteUrl = fileUrl(options.remoteUrl, name);
      const identity = opened.identity ?? leftover?.identity;
      if (options.reply !== undefined) await assertReplyElsewhere(options.reply, identity);
      if (options.store !== undefined && identity !== undefined) {
        journal = await openJournal(request, options.store, remoteUrl, identity);
      }
      if (options.reply !== undefined && !request.leaving && !leftover?.storedReply) {
        // By the id of the job that is gone on with, whose reply may be in place already.
        await checkReplyTarget(options.reply, journal?.id ?? request.id);
      }
      wire = openWire(options, remoteUrl);
      const plan = planOf(options, opened.byteLength, name ?? lastSegment(remoteUrl));
      const sizer = {
        fixedBytes: options.fragmentBytes,
        capBytes: Math.min(
          wire.transport.maxBodyBytes ?? Number.POSITIVE_INFINITY,
          serverLimits.of(remoteUrl.origin) ?? Number.POSITIVE_INFINITY,
        ),
      };
      const goingOn = newest(leftover, journal?.found, plan, sizer);
      if (goingOn?.record !== undefined) await discardReplyElsewhere(options, goingOn.record);
      const session = goingOn?.session ?? createSession(plan, sizer);
      const run = new Run(request, {
        source: opened,
        wire,
        remoteUrl,
        session,
        journal,
        leftover: goingOn,
        interruption,
      });
      if (journal !== undefined) await run.#clearAway(journal);
      if (goingOn !== undefined) await run.#assertSameSource(goingOn.identity, opened.identity);
      return run;
    } catch (error) {
      await closeSource(opened);
      await journal?.close({ remove: false });
      await wire?.close();
      throw error;
    }
  }

  private constructor(request: RunRequest, opened: Opened) {
    const { options, hooks } = request;
    this.#request = request;
    this.#source = opened.source;
    this.#wire = opened.wire;
    this.#journal = opened.journal;
    this.#goingOn = opened.leftover;
    this.#interruption = opened.interruption;
    this.remoteUrl = opened.remoteUrl;
    this.#sender = new PacketSender(opened.wire.transport, options, () => this.id);
    this.#redirects = new Redirects(opened.remoteUrl, options);
    this.#storedReply = opened.leftover?.storedReply;
    this.#replyPoint = opened.leftover?.replyPoint;
    const { now } = systemClock;
    this.#report = new ProgressReport(opened.source.byteLength, now, hooks.onProgress);
    this.#driver = new Driver(opened.session, {
      perform: (command, session, abortSwitch) => this.#perform(command, session, abortSwitch),
      policy: options,
      clock: systemClock,
      random: Math.random,
      onStep: (session, command, before) => this.#stepped(session, command, before),
      onRetry: hooks.onRetry,
      interruption: opened.interruption,
    });
    this.#exchangeParts = {
      sender: this.#sender,
      redirects: this.#redirects,
      source: this.#source,
      remoteUrl: this.remoteUrl,
      options,
      now,
      wallNow: Date.now,
      onBodyBegins: (session, packet) => this.#bodyBegins(session, packet),
      onBodySent: (bytes) => this.#bodySent(bytes),
    };
    this.#journal?.lost.addEventListener('abort', hooks.onLockLost, { once: true });
    for (const limitation of opened.wire.transport.limitations) hooks.onWarning(limitation);
  }

  /** The job's id: an earlier one, when it goes on from a record. */
  get id(): string {
    return this.#journal?.id ?? this.#request.id;
  }

  get resumed(): boolean {
    return this.#goingOn?.session.sessionId !== undefined;
  }

  get session(): Session {
    return this.#driver.session;
  }

  /** Whether there is nothing left to go on with, nor to give up once more. */
  get over(): boolean {
    return this.#over;
  }

  get bytes(): number {
    return this.#source.byteLength;
  }

  get durationMs(): number {
    return Math.round(performance.now() - this.#startedMs);
  }

  get storedReply(): StoredReply | undefined {
    return this.#storedReply;
  }

  /** What the store holds of the job; undefined: nothing. */
  get record(): JobRecord | undefined {
    return this.#journal?.record;
  }

  get leftover(): Leftover {
    return {
      session: this.session,
      identity: this.#source.identity ?? this.#goingOn?.identity,
      storedReply: this.#storedReply,
      replyPoint: this.#download?.reply.resumePoint ?? this.#replyPoint,
      record: this.record,
    };
  }

  async drive(event: SessionEvent): Promise<Rest> {
    this.#report.continuesAt(this.session.offset);
    try {
      return await this.#driver.drive(event);
    } finally {
      this.#cut = false;
      this.#report.rests();
    }
  }

  interrupt(wish: 'suspendRequested' | 'cancelRequested'): void {
    this.#cut = wish === 'suspendRequested';
    this.#driver.interrupt(wish);
  }

  /** Frees all that is held; what the server has stays. */
  async close(): Promise<void> {
    this.#journal?.lost.removeEventListener('abort', this.#request.hooks.onLockLost);
    if (this.#journal !== undefined) await this.#journal.close({ remove: this.#over });
    const { reply } = this.#request.options;
    // Without a record, only a job that was suspended comes back for its part of the reply.
    const canResume = this.record !== undefined || this.session.state === 'suspended';
    const keepPartial = canResume && !this.#over;
    if (reply !== undefined) await this.#closeReply(reply, { keepPartial });
    const closing = closeSource(this.#source, (error) =>
      this.#request.hooks.onWarning({
        code: 'source-not-closed',
        message: sourceError('closing', error).message,
      }),
    );
    if (closing !== undefined) await closing;
    await this.#wire.close();
  }

  #perform(command: Doing, session: Session, abortSwitch: AbortSwitch): Promise<SessionEvent> {
    const send = (it: Extract<Doing, { type: 'send' }>) =>
      exchange(session, it, this.#exchangeParts, abortSwitch);
    const isPlain = this.#journal === undefined && this.#request.options.reply === undefined;
    if (isPlain && command.type === 'send') return send(command);
    return this.#prepare(command, session).then(() =>
      command.type === 'send'
        ? send(command)
        : this.#getReply(command.replyUrl, session, abortSwitch.signal),
    );
  }

  /** What has to be done before a command, so that nothing is lost by it. */
  async #prepare(command: Doing, session: Session): Promise<void> {
    // A process that does not know the URL would have to send the last fragment again to learn it.
    if (command.type === 'download') return this.#journal?.flush();
    const { packet } = command;
    if (this.#journal !== undefined) await this.#keepRecord(packet, session, this.#journal);
    const { reply } = this.#request.options;
    if (packet.type === 'create-session' && reply !== undefined) await this.#forgetReply(reply);
  }

  /** The packet's body is sent from its first byte, for the first time or once more. */
  #bodyBegins(session: Session, { range }: FragmentPacket): void {
    const { start, end, total } = range;
    this.#report.fragmentBegins(start);
    const isLast = session.plan.reply !== 'none' && end === total;
    this.#lastBytesLeft = isLast ? end - start : Number.POSITIVE_INFINITY;
  }

  #bodySent(bytes: number): void {
    this.bytesSent += bytes;
    this.#report.sent(bytes);
    this.#lastBytesLeft -= bytes;
    if (this.#lastBytesLeft === 0) this.#request.hooks.onState('await-reply');
  }

  /** Makes sure of the record where a process that dies now would lose bytes, or send them twice. */
  async #keepRecord(packet: RequestPacket, session: Session, journal: Journal): Promise<void> {
    if (packet.type === 'fragment' && !journal.saved) await journal.flush();
    // What is recorded of a lost session, a Close under way above all, is true no more.
    if (packet.type === 'create-session' && journal.saved) await journal.flush();
    if (packet.type !== 'close-session') return;
    journal.note({ ...this.leftover, session: { ...session, closeUncertain: true } });
    await journal.flush();
  }

  /** Frees the server's sessions of uploads that cannot go on, and then drops their records. */
  async #clearAway(journal: Journal): Promise<void> {
    for (const { record, reason } of journal.abandoned) {
      const freed = await this.#freeSession(restoreSession(this.session.plan, record.session));
      if (freed) await journal.drop(record);
      else await journal.doubtClose(record);
      await discardPartOf(record);
      const left = freed
        ? ''
        : '; its session could not be freed on the server yet, so its record stays';
      this.#request.hooks.onWarning({
        code: 'earlier-upload-dropped',
        message: `an earlier upload of ${record.source.path} to this URL was given up, because ${reason}${left}`,
      });
    }
  }

  /**
   * One try, because the upload does not depend on it: the server times the session out in the end.
   * @returns false when another try may be worth while
   */
  async #freeSession(session: Session): Promise<boolean> {
    const [leaving, command] = step(session, { type: 'cancelRequested' });
    if (command.type !== 'send') return true;
    const limit = new AbortSwitch();
    const giveUp = () => limit.abort(new BitsAbortError('freeing the session was given up'));
    const dismiss = later(giveUp, FREE_SESSION_TIMEOUT_MS);
    if (this.#interruption.aborted) giveUp();
    else this.#interruption.listen(giveUp);
    try {
      const event = await exchange(leaving, command, this.#exchangeParts, limit);
      return event.type !== 'failed' || SESSION_IS_GONE.has(event.refusal.meaning);
    } catch {
      return false;
    } finally {
      this.#interruption.unlisten(giveUp);
      dismiss();
    }
  }

  async #assertSameSource(
    before: SourceIdentity | undefined,
    now: SourceIdentity | undefined,
  ): Promise<void> {
    if (before === undefined || now === undefined) return;
    if (isSameFile(before, now)) return;
    const freed = await this.#freeSession(this.session);
    if (!freed && this.record !== undefined) await this.#journal?.doubtClose(this.record);
    await this.#journal?.close({ remove: freed });
    await discardPartOf(this.#goingOn?.record);
    // A caller who cut that short can have it done once more.
    if (freed || !this.#interruption.aborted) this.#request.hooks.onSessionGivenUp();
    else this.#request.hooks.onCancelCutShort();
    throw new BitsError(
      'BITS_ERR_SOURCE_CHANGED',
      `${before.path} is not the file that this upload began with (0x8020001D): start a new job`,
    );
  }

  async #getReply(replyUrl: string, session: Session, signal: AbortSignal): Promise<SessionEvent> {
    try {
      if (this.#download?.replyUrl !== replyUrl) {
        await this.#download?.reply.close({ keepPartial: false });
        this.#download = { replyUrl, reply: this.#createDownload(replyUrl, session) };
      }
      this.#storedReply = await this.#download.reply.attempt(signal);
      return { type: 'replyStored' };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ReplyGoneError) return { type: 'replyGone', error };
      if (isBitsError(error)) return { type: 'failed', refusal: refusalOf(error) };
      throw error;
    }
  }

  /** Also of a reply that an earlier run began, or finished, to download. */
  async #closeReply({ to }: ResolvedReply, fate: { readonly keepPartial: boolean }): Promise<void> {
    const { replyUrl } = this.session;
    let download = this.#download?.reply;
    if (replyUrl !== undefined && typeof to === 'object' && 'path' in to) {
      try {
        download ??= this.#createDownload(replyUrl, this.session);
      } catch {
        // Of a URL that is refused nothing was downloaded.
      }
    }
    await download?.close(fate);
  }

  /** The reply to an upload that begins again is another one. */
  async #forgetReply(reply: ResolvedReply): Promise<void> {
    const download = this.#download;
    const stored = this.#storedReply !== undefined;
    this.#download = undefined;
    this.#storedReply = undefined;
    this.#mostReplyBytes = 0;
    this.#replyPoint = undefined;
    if (download !== undefined || this.#goingOn !== undefined) {
      await discardReply(reply, { id: this.id, stored });
    }
    await download?.reply.close({ keepPartial: false });
  }

  #createDownload(replyUrl: string, session: Session): ReplyDownload {
    const { options } = this.#request;
    const { reply } = options;
    if (reply === undefined) throw new BitsStateError('the job did not ask for a reply');
    return new ReplyDownload({
      id: this.id,
      reply,
      slowLimitMs: options.replyTimeoutMs,
      saved: this.#replyPoint,
      candidates: replyCandidates(replyUrl, this.remoteUrl, {
        hostId: session.hostId,
        trustedHosts: options.trustedHosts,
        hasCredentials: options.hasCredentials,
      }),
      fetch: this.#fetchReply,
      onProgress: (received, total) => {
        if (received > this.#mostReplyBytes) this.#driver.progressed();
        this.#mostReplyBytes = Math.max(this.#mostReplyBytes, received);
        this.#journal?.note(this.leftover);
        this.#report.replyReceived(received, total);
      },
    });
  }

  readonly #fetchReply: ReplyFetch = (request, signal) => {
    const { options } = this.#request;
    const own = Object.entries(options.headers).filter(
      ([name]) => request.withCredentials || name.toLowerCase() === 'user-agent',
    );
    return this.#sender.send(
      'get-reply',
      {
        method: 'GET',
        url: request.url,
        headers: { ...Object.fromEntries(own), ...request.headers },
      },
      {
        signal,
        stallTimeoutMs: options.stallTimeoutMs,
        answerTimeoutMs: options.answerTimeoutMs,
        answerBody: 'stream',
      },
    );
  };

  #stepped(session: Session, command: Command, before: Session): void {
    const { hooks } = this.#request;
    hooks.onState(session.state);
    this.#over = isFinal(session.state) && !(this.#cut && isUnfreed(command));
    // A Cancel-Session that was cut short is still in the record, so that it can be repeated.
    if (this.#over || !isFinal(session.state)) this.#journal?.note({ ...this.leftover, session });
    if (session.offset !== before.offset) this.#report.acknowledged(session.offset);
    const { serverCapBytes } = session.sizer;
    if (serverCapBytes !== undefined && serverCapBytes !== before.sizer.serverCapBytes) {
      serverLimits.learn(this.remoteUrl.origin, serverCapBytes);
    }
    if (session.restarts > before.restarts) {
      hooks.onWarning({
        code: 'session-restarted',
        message: 'the server lost the session; the upload begins again from byte 0',
      });
    }
    if (session.plan.reply === 'none' && session.replyUrl !== undefined && !before.replyUrl) {
      hooks.onWarning({
        code: 'reply-not-asked-for',
        message: 'the server offers a reply that this job did not ask for; it is not downloaded',
      });
    }
    if (command.type !== 'finish') return;
    const { outcome } = command;
    if (outcome.kind === 'completed' && outcome.closed === 'presumed') {
      hooks.onWarning({
        code: 'close-presumed',
        message:
          'the answer to Close-Session was lost and the server no longer knows the session, so ' +
          'the file is presumed to be in place',
      });
    }
    if (isUnfreed(command)) {
      hooks.onWarning({
        code: 'session-not-freed',
        message:
          'the server did not confirm Cancel-Session; it keeps the session until its time-out and ' +
          'may refuse the URL until then',
      });
    }
  }
}

/** The server did not confirm that it dropped the session that the caller gave up. */
function isUnfreed(command: Command): boolean {
  return (
    command.type === 'finish' && command.outcome.kind === 'cancelled' && !command.outcome.freed
  );
}

const FREE_SESSION_TIMEOUT_MS = 10_000;

/** After any other answer to a Cancel-Session another one may be worth while. */
const SESSION_IS_GONE: ReadonlySet<Refusal['meaning']> = new Set(['session-not-found', 'fatal']);

function fileUrl(remoteUrl: URL, name: string | undefined): URL {
  if (!remoteUrl.pathname.endsWith('/')) return remoteUrl;
  if (name === undefined) {
    throw new BitsArgumentError(
      'the URL ends in / and the source has no name to append: give the name option, or the full ' +
        'URL of the file',
    );
  }
  return appendFileName(remoteUrl, name);
}

function lastSegment(url: URL): string {
  const segment = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The best of what this process and the store know of an earlier run. */
function newest(
  leftover: Leftover | undefined,
  found: JobRecord | undefined,
  plan: SessionPlan,
  sizer: SizerOptions,
): Leftover | undefined {
  if (found === undefined) return leftover;
  const current = leftover?.record?.updatedAtMs === found.updatedAtMs;
  return current ? leftover : leftoverOf(found, plan, sizer);
}

function openJournal(
  { id, options, hooks, leftover }: RunRequest,
  store: JobStore,
  remoteUrl: URL,
  identity: SourceIdentity,
): Promise<Journal | undefined> {
  return Journal.open({
    store,
    id,
    identity,
    remoteUrl,
    options,
    record: leftover?.record,
    warn: hooks.onWarning,
    wallNow: Date.now,
  });
}

/** @throws BITS_ERR_ARGUMENT when the reply would replace the file that is being uploaded */
async function assertReplyElsewhere(
  reply: ResolvedReply,
  identity: SourceIdentity | undefined,
): Promise<void> {
  const { to } = reply;
  if (to === 'memory' || !('path' in to) || identity === undefined) return;
  // A linked directory gives the same file two paths.
  const [replyPath, sourcePath] = await Promise.all([to.path, identity.path].map(truePath));
  if (replyPath === sourcePath) {
    throw new BitsArgumentError('the reply cannot go to the file that is uploaded');
  }
}

/** What an earlier run stored of the reply where it shall not go any more. */
async function discardReplyElsewhere({ reply }: ResolvedOptions, record: JobRecord): Promise<void> {
  const file = record.reply?.file;
  if (file === undefined) return;
  if (typeof reply?.to === 'object' && 'path' in reply.to) {
    const [now, before] = await Promise.all([reply.to.path, file].map(placeOf));
    if (now === before) return;
  }
  await discardPartOf(record);
}

async function discardPartOf(record: JobRecord | undefined): Promise<void> {
  const file = record?.reply?.file;
  if (record !== undefined && file !== undefined)
    await discardReplyPart({ id: record.id, path: file });
}

/** Whatever is there, and by whatever way the directory is named. */
async function placeOf(path: string): Promise<string> {
  return join(await truePath(dirname(resolve(path))), basename(path));
}

async function truePath(path: string): Promise<string> {
  // What is not there yet is no other file either.
  return realpath(path).catch(() => resolve(path));
}
