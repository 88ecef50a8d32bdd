import { onAbort, throwIfAborted } from '../common/abort.js';
import { BitsArgumentError, BitsError } from '../errors.js';
import type { RequestPacket } from '../protocol/packets.js';
import { appendFileName, redactUrl } from '../protocol/remote-url.js';
import { checkReplyTarget } from '../reply/reply-target.js';
import { INITIAL_BYTES } from '../session/fragment-sizer.js';
import {
  type Command,
  capFragments,
  completionWarnings,
  createSession,
  isFinal,
  type Outcome,
  restoreSession,
  type Session,
  type SessionEvent,
  type SessionPlan,
  type SizerOptions,
  snapshotOf,
} from '../session/session.js';
import {
  type ByteSource,
  type OpenSource,
  type SourceIdentity,
  sourceIdentityChange,
} from '../source/source.js';
import type { JobRecord } from '../store/record.js';
import { type Checkpoint, checkpointOf, planOf } from './checkpoint.js';
import { type CommandRunner, Driver, type WorkCommand } from './driver.js';
import { clearEarlierUpload } from './earlier-uploads.js';
import type { UploadResult, UploadState, UploadWarning } from './events.js';
import { closeSource, openSource, sourceError, unreadableSource } from './guarded-source.js';
import type { RunPurpose } from './lifecycle.js';
import type { RetryDecision } from './options.js';
import { ProgressReport, type UploadProgress } from './progress.js';
import { RecordKeeper } from './record-keeper.js';
import {
  assertReplyElsewhere,
  discardReplyElsewhere,
  ReplyDelivery,
  type ReplyProgress,
} from './reply-delivery.js';
import type { ResolvedOptions } from './resolve-options.js';
import { sendPacket } from './send-packet.js';
import { serverLimits } from './server-limits.js';
import { Wire } from './wire.js';

/** What a job gives to each of its runs. */
export interface RunRequest {
  readonly id: string;
  readonly options: ResolvedOptions;
  readonly purpose: RunPurpose;
  readonly checkpoint: Checkpoint | undefined;
  /** Interrupts the run. */
  readonly signal: AbortSignal;
  readonly listener: RunListener;
}

/** What a run tells its job while it goes. */
export interface RunListener {
  onOpened(isResumed: boolean): void;
  /** The server's session moved; `state` is undefined when it rests or has ended, which the job tells. */
  onStep(session: Session, state: UploadState | undefined): void;
  onProgress(progress: UploadProgress): void;
  onRetry(decision: RetryDecision): void;
  onWarning(warning: UploadWarning): void;
  /** Another process may have taken the job over. */
  onLockLost(): void;
}

/** How a run ended; the checkpoint is what the next one continues from, if there is anything. */
export type RunEnd = { readonly checkpoint: Checkpoint | undefined } & (
  | { readonly kind: 'completed'; readonly result: UploadResult }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** `freed`: whether the server is known to have dropped the session. */
  | { readonly kind: 'cancelled'; readonly freed: boolean; readonly error?: unknown }
  | { readonly kind: 'stopped' }
);

/** One run of a job: opens what it takes, drives the session, and closes everything. Never rejects. */
export async function performRun(request: RunRequest): Promise<RunEnd> {
  let run: Run;
  try {
    run = await Run.open(request);
  } catch (error) {
    // Nothing of this upload was sent, so all is as it was before.
    const { checkpoint, signal } = request;
    return signal.aborted ? { kind: 'stopped', checkpoint } : { kind: 'failed', error, checkpoint };
  }
  try {
    await run.drive();
    await run.close();
    return run.end();
  } catch (error) {
    await run.close();
    return { kind: 'failed', error, checkpoint: run.checkpoint };
  }
}

/** Everything that is open between the start and the end of a run. */
class Run implements CommandRunner {
  readonly #request: RunRequest;
  readonly #source: OpenSource;
  readonly #wire: Wire;
  readonly #keeper: RecordKeeper | undefined;
  readonly #reply: ReplyDelivery | undefined;
  /** What the run continues from: the job's own checkpoint, or what the store has of an earlier job. */
  readonly #before: Checkpoint | undefined;
  readonly #driver: Driver;
  readonly #progress: ProgressReport;
  readonly #startedAtMs = performance.now();
  readonly #watchingLock: Disposable | undefined;
  /** The session before it finished: another Cancel continues from it. */
  #lastLive: Session;
  /** Undefined while the run goes on, and when it was interrupted and its session rests. */
  #outcome: Outcome | undefined;
  #bytesSent = 0;

  /**
   * Opens the source and prepares to send; a failure closes what is open.
   * @throws BITS_ERR_ARGUMENT when the source, the URL and the options do not fit together
   */
  static async open(request: RunRequest): Promise<Run> {
    const { id, options, checkpoint, signal } = request;
    throwIfAborted(signal);
    const progress = new ProgressReport((now) => request.listener.onProgress(now));
    const source = await openSource(sourceOf(request), signal, (bytes) =>
      progress.spooled(bytes),
    ).finally(() => progress.rests());
    progress.opened(source.byteLength);
    let keeper: RecordKeeper | undefined;
    let wire: Wire | undefined;
    try {
      const remoteUrl = fileUrl(options);
      // Of a file that has changed since, the record must go on saying what it was.
      const identity = checkpoint?.identity ?? source.identity;
      if (options.reply !== undefined) await assertReplyElsewhere(options.reply, identity);
      keeper = await openKeeper(request, remoteUrl, identity, source.byteLength);
      const isReplyOpen = request.purpose === 'upload' && checkpoint?.storedReply === undefined;
      if (options.reply !== undefined && isReplyOpen) {
        // By the id of the job that is resumed, whose reply may be in place already.
        await checkReplyTarget(options.reply, keeper?.replyPartId ?? id);
      }
      wire = new Wire(options, remoteUrl, id);
      const run = new Run(request, source, wire, keeper, progress);
      await run.#clearAway();
      return run;
    } catch (error) {
      await closeSource(source);
      await keeper?.close({ remove: false });
      await wire?.close({ reusable: false });
      throw error;
    }
  }

  private constructor(
    request: RunRequest,
    source: OpenSource,
    wire: Wire,
    keeper: RecordKeeper | undefined,
    progress: ProgressReport,
  ) {
    const { id, options, signal, listener } = request;
    const { remoteUrl } = wire;
    this.#request = request;
    this.#source = source;
    this.#wire = wire;
    this.#keeper = keeper;
    const plan = planOf(options, source.byteLength, contentNameOf(options, remoteUrl));
    const sizer = {
      fixedBytes: options.fragmentBytes,
      capBytes: Math.min(
        wire.transport.maxBodyBytes ?? Number.POSITIVE_INFINITY,
        source.maxRangeBytes ?? Number.POSITIVE_INFINITY,
        serverLimits.of(remoteUrl.origin) ?? Number.POSITIVE_INFINITY,
      ),
    };
    this.#before = newest(request.checkpoint, keeper?.found, plan, sizer);
    this.#lastLive =
      this.#before === undefined
        ? createSession(plan, sizer)
        : capFragments(this.#before.session, sizer.capBytes);
    this.#driver = new Driver(this.#lastLive, this, {
      retry: options.retry,
      noProgressMs: options.timeouts.noProgressMs,
      replyMs: options.timeouts.replyMs,
      signal,
    });
    this.#progress = progress;
    if (options.reply !== undefined) {
      this.#reply = new ReplyDelivery(
        keeper?.replyPartId ?? id,
        options.reply,
        wire,
        signal,
        this.#before,
        (progress) => this.#replyReceived(progress),
      );
    }
    if (keeper !== undefined) {
      this.#watchingLock = onAbort(keeper.lost, () => listener.onLockLost());
    }
    for (const limitation of wire.limitations) listener.onWarning(limitation);
  }

  /** What the next run continues from, as things stand. */
  get checkpoint(): Checkpoint {
    return {
      session: this.#driver.session,
      identity: this.#before?.identity ?? this.#source.identity,
      storedReply: this.#reply?.stored,
      replyPoint: this.#reply?.resumePoint,
      record: this.#keeper?.record,
    };
  }

  /** Uploads, until there is an outcome or the run is interrupted. */
  async drive(): Promise<void> {
    this.#request.listener.onOpened(this.#before?.session.sessionId !== undefined);
    this.#progress.continuesAt(this.#driver.session.offset);
    try {
      const rest = await this.#driver.drive(this.#firstEvent());
      if (rest.type === 'finish') this.#outcome = rest.outcome;
    } finally {
      this.#progress.rests();
    }
  }

  #firstEvent(): SessionEvent {
    const source = this.#source;
    if (this.#request.purpose === 'cancel') return { type: 'cancelRequested' };
    if (this.#before === undefined) return { type: 'start' };
    const before = this.#before.identity;
    const { totalBytes } = this.#driver.session.plan;
    if (source.byteLength !== totalBytes && source.identity === undefined) {
      return sourceChanged(
        `The source has ${source.byteLength} bytes now, and ${totalBytes} when this upload began`,
      );
    }
    const change =
      before && source.identity ? sourceIdentityChange(before, source.identity) : 'same';
    if (before !== undefined && change === 'changed') {
      return sourceChanged(`${before.path} is not the file that this upload began with`);
    }
    if (before !== undefined && change === 'inode-only') {
      this.#request.listener.onWarning({
        code: 'source-replaced',
        message: `${before.path} was replaced by a file of the same size and time; the upload continues.`,
      });
    }
    return { type: this.#driver.session.state === 'init' ? 'start' : 'resumeRequested' };
  }

  /** Closes everything; what the server has stays. */
  async close(): Promise<void> {
    const isOver = this.#isOver;
    this.#watchingLock?.[Symbol.dispose]();
    await this.#keeper?.close({ remove: isOver });
    const { session } = this.#driver;
    // A failed job without a record is resumed by this process at most, which can fetch it again.
    const canResume = this.#keeper?.record !== undefined || session.state !== 'error';
    await this.#reply?.close({ keepPartial: canResume && !isOver });
    await closeSource(this.#source, (error) =>
      this.#request.listener.onWarning({
        code: 'source-not-closed',
        message: sourceError('closing', error).message,
      }),
    );
    await this.#wire.close({ reusable: this.#outcome?.kind === 'completed' });
  }

  /** How a closed run ended. */
  end(): RunEnd {
    const outcome = this.#outcome;
    const checkpoint = this.#isOver ? undefined : this.checkpoint;
    switch (outcome?.kind) {
      case undefined:
        return { kind: 'stopped', checkpoint };
      case 'failed':
        return { kind: 'failed', error: outcome.error, checkpoint };
      case 'cancelled':
        return { ...outcome, checkpoint: this.#uncancelled(outcome) };
      case 'completed':
        this.#learnLimit();
        return { kind: 'completed', checkpoint: undefined, result: this.#result(outcome) };
    }
  }

  /** Only of a whole file: a limit on the file looks like one on its fragments. */
  #learnLimit(): void {
    const { serverCapBytes } = this.#driver.session.sizer;
    if (serverCapBytes !== undefined) {
      serverLimits.learn(this.#wire.remoteUrl.origin, serverCapBytes);
    }
  }

  #result({ closed }: Extract<Outcome, { kind: 'completed' }>): UploadResult {
    return {
      id: this.#request.id,
      url: redactUrl(this.#wire.remoteUrl),
      bytes: this.#source.byteLength,
      bytesSent: this.#bytesSent,
      durationMs: Math.round(performance.now() - this.#startedAtMs),
      resumed: this.#before?.session.sessionId !== undefined,
      closed,
      reply: this.#reply?.stored,
    };
  }

  /** The server may still hold the session, so that another Cancel may free it. */
  #uncancelled({ freed }: Extract<Outcome, { kind: 'cancelled' }>): Checkpoint | undefined {
    if (freed || this.#lastLive.sessionId === undefined) return undefined;
    const { plan } = this.#lastLive;
    return { ...this.checkpoint, session: restoreSession(plan, snapshotOf(this.#lastLive)) };
  }

  /** Whether there is nothing left to resume or to cancel. */
  get #isOver(): boolean {
    const isUnfreed = this.#outcome?.kind === 'cancelled' && !this.#outcome.freed;
    return isFinal(this.#driver.session.state) && !isUnfreed;
  }

  async #clearAway(): Promise<void> {
    const { options, signal, listener } = this.#request;
    if (this.#before?.record !== undefined) {
      await discardReplyElsewhere(options.reply, this.#before.record);
    }
    const { abandoned } = this.#keeper ?? {};
    if (this.#keeper === undefined || abandoned === undefined) return;
    await clearEarlierUpload(
      this.#keeper,
      abandoned,
      this.#lastLive.plan,
      this.#wire,
      this.#source,
      signal,
      (warning) => listener.onWarning(warning),
    );
  }

  async perform(command: WorkCommand, session: Session): Promise<SessionEvent> {
    const { signal } = this.#request;
    if (command.type === 'download') {
      // A process that does not know the URL would have to send the last fragment again to learn it.
      await this.#keeper?.flush();
      throwIfAborted(signal);
      if (this.#reply === undefined) throw new Error('run: a download without a reply');
      return this.#reply.attempt(command.replyUrl, session);
    }
    const { packet } = command;
    if (this.#keeper !== undefined) await this.#keepRecord(this.#keeper, packet, session);
    if (packet.type === 'create-session') await this.#reply?.forget();
    return sendPacket(session, command, this.#wire, this.#source, {
      signal,
      onBodyBegins: (start) => this.#progress.fragmentBegins(start),
      onBodySent: (bytes) => {
        this.#bytesSent += bytes;
        this.#progress.sent(bytes);
        if (session.plan.reply !== 'none' && this.#progress.isAllSent) {
          this.#request.listener.onStep(session, 'await-reply');
        }
      },
    });
  }

  /** Makes sure of the record where a process that dies now would lose bytes, or send them twice. */
  async #keepRecord(keeper: RecordKeeper, packet: RequestPacket, session: Session): Promise<void> {
    if (packet.type === 'fragment' && keeper.record === undefined) await keeper.flush();
    // What is recorded of a session that was lost or is cancelled, a Close under way above all, is no
    // longer true.
    const isOver = packet.type === 'create-session' || packet.type === 'cancel-session';
    if (isOver && keeper.record !== undefined) await keeper.flush();
    if (packet.type !== 'close-session') return;
    // The snapshot of a session in this state says that a Close is on its way.
    keeper.note({ ...this.checkpoint, session });
    await keeper.flush();
  }

  #replyReceived({ receivedBytes, totalBytes, isNew }: ReplyProgress): void {
    if (isNew) this.#driver.progressed();
    this.#keeper?.note(this.checkpoint);
    this.#progress.replyReceived(receivedBytes, totalBytes);
  }

  retrying(decision: RetryDecision): void {
    this.#request.listener.onRetry(decision);
  }

  stepped(session: Session, command: Command, before: Session): void {
    const { listener } = this.#request;
    const isLive = session.awaiting !== 'caller' && !isFinal(session.state);
    if (isLive || session.awaiting === 'caller') this.#lastLive = session;
    listener.onStep(session, isLive ? session.state : undefined);
    // A Cancel-Session that was not answered is still in the record, so that it can be repeated; and
    // of an upload that is over, the record is removed.
    if (!isFinal(session.state)) this.#keeper?.note({ ...this.checkpoint, session });
    if (session.offset !== before.offset) this.#progress.acknowledged(session.offset);
    for (const warning of warningsOf(session, command, before)) listener.onWarning(warning);
  }
}

function sourceChanged(what: string): SessionEvent {
  const message = `${what} (0x8020001D): start a new job.`;
  return { type: 'sourceChanged', error: new BitsError('BITS_ERR_SOURCE_CHANGED', message) };
}

function warningsOf(session: Session, command: Command, before: Session): UploadWarning[] {
  const warnings: UploadWarning[] = [];
  if (session.restarts > before.restarts) {
    warnings.push({
      code: 'session-restarted',
      message: `${session.restartReason}; the upload starts over from byte 0.`,
    });
  }
  if (session.plan.reply === 'none' && session.replyUrl !== undefined && !before.replyUrl) {
    warnings.push({
      code: 'reply-not-asked-for',
      message: 'The server offers a reply that this job did not ask for; it is not downloaded.',
    });
  }
  if (command.type !== 'finish') return warnings;
  const { outcome } = command;
  if (outcome.kind === 'completed') warnings.push(...completionWarnings(session.plan, outcome));
  if (outcome.kind === 'cancelled' && !outcome.freed) {
    warnings.push({
      code: 'session-not-freed',
      message:
        'The server did not confirm Cancel-Session. It keeps the session until it times out, and ' +
        'may refuse the URL until then. Cancel again to free it.',
    });
  }
  return warnings;
}

function sourceOf({ options, purpose, checkpoint }: RunRequest): ByteSource {
  // A session can be cancelled although the file is gone.
  return purpose === 'cancel' && checkpoint !== undefined
    ? unreadableSource(checkpoint.session.plan.totalBytes)
    : options.source;
}

async function openKeeper(
  { id, options, purpose, checkpoint, signal, listener }: RunRequest,
  remoteUrl: URL,
  identity: SourceIdentity | undefined,
  byteLength: number,
): Promise<RecordKeeper | undefined> {
  if (options.store === undefined || identity === undefined) return undefined;
  // A record that is there by now is of another job, whose session stays.
  if (purpose === 'cancel' && checkpoint?.record === undefined) return undefined;
  return RecordKeeper.open({
    store: options.store,
    id,
    identity,
    remoteUrl,
    options,
    checkpoint,
    isSmall:
      checkpoint === undefined &&
      purpose === 'upload' &&
      options.store.keepsSmallUploads !== true &&
      options.reply === undefined &&
      byteLength <= Math.min(INITIAL_BYTES, options.fragmentBytes ?? INITIAL_BYTES),
    warn: (warning) => listener.onWarning(warning),
    signal,
  });
}

function fileUrl({ remoteUrl, name, source }: ResolvedOptions): URL {
  if (!remoteUrl.pathname.endsWith('/')) return remoteUrl;
  const fileName = name ?? source.name;
  if (fileName === undefined) {
    throw new BitsArgumentError(
      'The URL ends in / and the source has no name to append: give the name option, or the full ' +
        'URL of the file.',
    );
  }
  return appendFileName(remoteUrl, fileName);
}

function contentNameOf({ name, source }: ResolvedOptions, remoteUrl: URL): string {
  const given = name ?? source.name;
  if (given !== undefined) return given;
  const segment = remoteUrl.pathname.slice(remoteUrl.pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** What the store has, unless it is this job's own: another process may have gone on from it. */
function newest(
  checkpoint: Checkpoint | undefined,
  found: JobRecord | undefined,
  plan: SessionPlan,
  sizer: SizerOptions,
): Checkpoint | undefined {
  if (found === undefined) return checkpoint;
  const isCurrent = checkpoint?.record?.updatedAtMs === found.updatedAtMs;
  if (isCurrent) return checkpoint;
  // As long as the source was, so that another length is noticed.
  return checkpointOf(found, { ...plan, totalBytes: found.totalBytes }, sizer);
}
