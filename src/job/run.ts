import { BitsArgumentError, BitsError } from '../errors.js';
import { appendFileName } from '../protocol/remote-url.js';
import { replyCandidates } from '../reply/candidates.js';
import {
  createReplyDownload,
  type ReplyDownload,
  type ReplyFetch,
  type StoredReply,
} from '../reply/download.js';
import type { ReplyResumePoint } from '../reply/resume-point.js';
import { checkReplyTarget } from '../reply/sink.js';
import {
  type Command,
  createSession,
  isFinal,
  type Session,
  type SessionEvent,
  type SessionPlan,
  type SessionState,
} from '../session/session.js';
import type { ByteSource, OpenSource, SourceIdentity } from '../source/source.js';
import type { Transport } from '../transport/transport.js';
import { createUndiciTransport } from '../transport/undici.js';
import { Driver, type Rest } from './driver.js';
import { exchange, refusalOf } from './exchange.js';
import { isCredentialHeader, type ResolvedOptions } from './options.js';
import { ProgressReport, type UploadProgress } from './progress.js';
import type { RetryDecision } from './retry.js';

export interface UploadWarning {
  /** Stable, kebab-case. */
  readonly code: string;
  readonly message: string;
}

/** What a run leaves behind, so that another one can go on. */
export interface Leftover {
  readonly session: Session;
  readonly identity: SourceIdentity | undefined;
  readonly storedReply: StoredReply | undefined;
  /** How much of the reply has been downloaded. */
  readonly replyPoint: ReplyResumePoint | undefined;
}

/** A session's state, or `await-reply`: all is sent, and the server's application works. */
export type UploadState = SessionState | 'await-reply';

export interface RunHooks {
  readonly onState: (state: UploadState) => void;
  readonly onProgress: (progress: UploadProgress) => void;
  readonly onRetry: (decision: RetryDecision) => void;
  readonly onWarning: (warning: UploadWarning) => void;
}

/** What a job brings to each of its runs. */
export interface RunRequest {
  readonly id: string;
  readonly options: ResolvedOptions;
  readonly hooks: RunHooks;
  readonly leftover: Leftover | undefined;
}

interface Opened {
  readonly source: OpenSource;
  readonly transport: Transport;
  readonly remoteUrl: URL;
  readonly session: Session;
}

/** Everything that a job holds open between its start and its end: source, sockets, reply. */
export class Run {
  readonly remoteUrl: URL;
  bytesSent = 0;
  readonly #request: RunRequest;
  readonly #source: OpenSource;
  readonly #transport: Transport;
  readonly #driver: Driver;
  readonly #report: ProgressReport;
  readonly #startedMs = performance.now();
  #download: { readonly replyUrl: string; readonly reply: ReplyDownload } | undefined;
  #storedReply: StoredReply | undefined;

  /**
   * Opens the source and makes ready to send; nothing has gone out when this fails.
   * @throws BITS_ERR_ARGUMENT when the source, the URL and the options do not fit together
   */
  static async open(request: RunRequest, source: ByteSource, signal?: AbortSignal): Promise<Run> {
    const { options, leftover } = request;
    if (options.reply !== undefined && leftover?.storedReply === undefined) {
      await checkReplyTarget(options.reply, request.id);
    }
    const opened = await source.open(signal);
    try {
      assertSameSource(leftover?.identity, opened.identity);
      const name = options.name ?? options.source.name;
      const remoteUrl = fileUrl(options.remoteUrl, name);
      const transport =
        options.transport ?? createUndiciTransport({ ...(options.tls && { tls: options.tls }) });
      const plan = planOf(options, opened.byteLength, name ?? lastSegment(remoteUrl));
      const session =
        leftover?.session ??
        createSession(plan, {
          fixedBytes: options.fragmentBytes,
          capBytes: transport.maxBodyBytes,
        });
      return new Run(request, { source: opened, transport, remoteUrl, session });
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  private constructor(request: RunRequest, opened: Opened) {
    const { options, hooks, leftover } = request;
    this.#request = request;
    this.#source = opened.source;
    this.#transport = opened.transport;
    this.remoteUrl = opened.remoteUrl;
    this.#storedReply = leftover?.storedReply;
    const now = (): number => performance.now();
    this.#report = new ProgressReport(opened.source.byteLength, now, hooks.onProgress);
    this.#driver = new Driver(opened.session, {
      perform: (command, session, signal) => this.#perform(command, session, signal),
      policy: options,
      now,
      random: Math.random,
      onStep: (session, command, before) => this.#stepped(session, command, before),
      onRetry: hooks.onRetry,
    });
    for (const limitation of opened.transport.limitations) hooks.onWarning(limitation);
  }

  get resumed(): boolean {
    return this.#request.leftover?.session.sessionId !== undefined;
  }

  get session(): Session {
    return this.#driver.session;
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

  get leftover(): Leftover {
    return {
      session: this.session,
      identity: this.#source.identity,
      storedReply: this.#storedReply,
      replyPoint: this.#download?.reply.resumePoint ?? this.#request.leftover?.replyPoint,
    };
  }

  drive(event: SessionEvent): Promise<Rest> {
    this.#report.continues();
    return this.#driver.drive(event);
  }

  interrupt(wish: 'suspendRequested' | 'cancelRequested'): void {
    this.#driver.interrupt(wish);
  }

  /** Frees all that is held; what the server has stays. */
  async close(): Promise<void> {
    await this.#download?.reply.close({ keepPartial: !isFinal(this.session.state) });
    await this.#source.close();
    if (this.#transport !== this.#request.options.transport) await this.#transport.close();
  }

  async #perform(
    command: Extract<Command, { type: 'send' | 'download' }>,
    session: Session,
    signal: AbortSignal,
  ): Promise<SessionEvent> {
    if (command.type === 'download') return this.#getReply(command.replyUrl, session, signal);
    const { packet } = command;
    let lastBytesLeft = Number.POSITIVE_INFINITY;
    if (packet.type === 'fragment') {
      const { start, end, total } = packet.range;
      this.#report.fragmentBegins(start);
      if (session.plan.reply !== 'none' && end === total) lastBytesLeft = end - start;
    }
    return exchange(
      session,
      command,
      {
        transport: this.#transport,
        source: this.#source,
        remoteUrl: this.remoteUrl,
        options: this.#request.options,
        now: () => performance.now(),
        wallNow: Date.now,
        onBytesSent: (bytes) => {
          this.bytesSent += bytes;
          this.#report.sent(bytes);
          lastBytesLeft -= bytes;
          if (lastBytesLeft === 0) this.#request.hooks.onState('await-reply');
        },
      },
      signal,
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
      if (error instanceof BitsError) return { type: 'failed', refusal: refusalOf(error) };
      throw error;
    }
  }

  #createDownload(replyUrl: string, session: Session): ReplyDownload {
    const { id, options } = this.#request;
    return createReplyDownload({
      id,
      option: options.reply ?? true,
      sha256: options.replySha256,
      saved: this.#request.leftover?.replyPoint,
      candidates: replyCandidates(replyUrl, this.remoteUrl, {
        hostId: session.hostId,
        trustedHosts: options.trustedHosts,
        hasCredentials: options.hasCredentials,
      }),
      fetch: this.#fetchReply,
      onProgress: (received, total) => this.#report.replyReceived(received, total),
    });
  }

  readonly #fetchReply: ReplyFetch = (request, signal) => {
    const { options } = this.#request;
    const own = Object.entries(options.headers).filter(
      ([name]) => request.withCredentials || !isCredentialHeader(name),
    );
    return this.#transport.send(
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
    if (session.offset !== before.offset) this.#report.acknowledged(session.offset);
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
    if (outcome.kind === 'cancelled' && !outcome.freed) {
      hooks.onWarning({
        code: 'session-not-freed',
        message:
          'the server did not confirm Cancel-Session; it keeps the session until its time-out and ' +
          'may refuse the URL until then',
      });
    }
  }
}

/** Answers in a row that ask for bytes again and bring no headway. */
const MAX_RESYNCS = 8;
const MAX_CANCEL_ATTEMPTS = 3;

function planOf(options: ResolvedOptions, totalBytes: number, contentName: string): SessionPlan {
  return {
    totalBytes,
    contentName,
    reply: options.reply === undefined ? 'none' : options.replyOptional ? 'optional' : 'required',
    onUncertainFragment: options.onUncertainFragment,
    maxRestarts: options.maxRestarts,
    maxResyncs: MAX_RESYNCS,
    maxCancelAttempts: MAX_CANCEL_ATTEMPTS,
  };
}

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

function assertSameSource(
  before: SourceIdentity | undefined,
  now: SourceIdentity | undefined,
): void {
  if (before === undefined || now === undefined) return;
  const same =
    before.byteLength === now.byteLength &&
    before.mtimeNs === now.mtimeNs &&
    before.inode === now.inode;
  if (same) return;
  throw new BitsError(
    'BITS_ERR_SOURCE_CHANGED',
    `${before.path} is not the file that this upload began with (0x8020001D): start a new job`,
  );
}
