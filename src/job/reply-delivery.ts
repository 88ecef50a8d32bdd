import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BitsArgumentError, isBitsError } from '../errors.js';
import { replyCandidates } from '../reply/candidates.js';
import { ReplyDownload, ReplyGoneError, type ReplyResumePoint } from '../reply/download.js';
import { discardReplyFile, discardReplyPart } from '../reply/file-target.js';
import type { ResolvedReply } from '../reply/reply-option.js';
import type { StoredReply } from '../reply/sink.js';
import type { Session, SessionEvent } from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import type { JobRecord } from '../store/record.js';
import type { Checkpoint } from './checkpoint.js';
import { refusalOf } from './send-packet.js';
import type { Wire } from './wire.js';

/** Downloads the reply of an upload-reply job to where the caller wants it. */
export class ReplyDelivery {
  readonly #id: string;
  readonly #option: ResolvedReply;
  readonly #wire: Wire;
  readonly #signal: AbortSignal;
  readonly #onProgress: (progress: ReplyProgress) => void;
  /** Whether an earlier run may have stored something of the reply. */
  readonly #isResumed: boolean;
  #download: { readonly replyUrl: string; readonly reply: ReplyDownload } | undefined;
  #stored: StoredReply | undefined;
  #resumePoint: ReplyResumePoint | undefined;
  #mostBytes = 0;

  constructor(
    id: string,
    option: ResolvedReply,
    wire: Wire,
    signal: AbortSignal,
    checkpoint: Checkpoint | undefined,
    onProgress: (progress: ReplyProgress) => void,
  ) {
    this.#id = id;
    this.#option = option;
    this.#wire = wire;
    this.#signal = signal;
    this.#onProgress = onProgress;
    this.#isResumed = checkpoint !== undefined;
    this.#stored = checkpoint?.storedReply;
    this.#resumePoint = checkpoint?.replyPoint;
  }

  get stored(): StoredReply | undefined {
    return this.#stored;
  }

  /** Where the download stands, for a checkpoint. */
  get resumePoint(): ReplyResumePoint | undefined {
    return this.#download?.reply.resumePoint ?? this.#resumePoint;
  }

  /** Makes one attempt, and tells the session what came of it. */
  async attempt(replyUrl: string, session: Session): Promise<SessionEvent> {
    try {
      if (this.#download?.replyUrl !== replyUrl) {
        await this.#download?.reply.close({ keepPartial: false });
        this.#download = { replyUrl, reply: this.#createDownload(replyUrl, session) };
      }
      this.#stored = await this.#download.reply.attempt();
      return { type: 'replyStored' };
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof ReplyGoneError) return { type: 'replyGone', error };
      if (isBitsError(error)) return { type: 'failed', refusal: refusalOf(error) };
      throw error;
    }
  }

  /** Before a new session: the reply to an upload that starts over is another one. */
  async forget(): Promise<void> {
    const download = this.#download;
    const stored = this.#stored !== undefined;
    this.#download = undefined;
    this.#stored = undefined;
    this.#mostBytes = 0;
    this.#resumePoint = undefined;
    if (download !== undefined || this.#isResumed) {
      const { path, overwrite } = this.#option;
      if (path !== undefined) await discardReplyFile({ id: this.#id, path, overwrite }, stored);
    }
    await download?.reply.close({ keepPartial: false });
  }

  /** Also closes what an earlier run downloaded of the same session's reply. */
  async close({ keepPartial }: { readonly keepPartial: boolean }): Promise<void> {
    await this.#download?.reply.close({ keepPartial });
    const { path } = this.#option;
    const isOfEarlierRun = this.#download === undefined && this.#isResumed;
    if (isOfEarlierRun && !keepPartial && path !== undefined) {
      await discardReplyPart({ id: this.#id, path });
    }
  }

  #createDownload(replyUrl: string, session: Session): ReplyDownload {
    const wire = this.#wire;
    const { options, remoteUrl } = wire;
    return new ReplyDownload({
      id: this.#id,
      reply: this.#option,
      slowLimitMs: options.timeouts.replyMs,
      saved: this.#resumePoint,
      candidates: replyCandidates(replyUrl, remoteUrl, {
        hostId: session.hostId,
        trustedHosts: options.trustedHosts,
        hasCredentials: options.hasCredentials,
      }),
      signal: this.#signal,
      fetch({ url, headers }, signal) {
        const request = { method: 'GET', url, headers: { ...wire.headersFor(url), ...headers } };
        return wire.send('get-reply', request, { signal, answerBody: 'stream' });
      },
      onProgress: (receivedBytes, totalBytes) => {
        // Bytes that come a second time are no progress.
        const isNew = receivedBytes > this.#mostBytes;
        this.#mostBytes = Math.max(this.#mostBytes, receivedBytes);
        this.#onProgress({ receivedBytes, totalBytes, isNew });
      },
    });
  }
}

export interface ReplyProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number | undefined;
  /** More has come than ever before in this session. */
  readonly isNew: boolean;
}

/** @throws BITS_ERR_ARGUMENT when the reply would replace the file that is being uploaded */
export async function assertReplyElsewhere(
  { path }: ResolvedReply,
  identity: SourceIdentity | undefined,
): Promise<void> {
  if (path === undefined || identity === undefined) return;
  // A linked directory gives the same file two paths.
  const [replyPath, sourcePath] = await Promise.all([path, identity.path].map(truePath));
  if (replyPath === sourcePath) {
    throw new BitsArgumentError(
      'The reply cannot go to the file that is uploaded: name another file.',
    );
  }
}

/** Removes what an earlier run stored of the reply when it is to go elsewhere now. */
export async function discardReplyElsewhere(
  reply: ResolvedReply | undefined,
  record: JobRecord,
): Promise<void> {
  const file = record.reply?.file;
  if (file === undefined) return;
  if (reply?.path !== undefined) {
    const [now, before] = await Promise.all([reply.path, file].map(placeOf));
    if (now === before) return;
  }
  await discardPartOf(record);
}

export async function discardPartOf(record: JobRecord | undefined): Promise<void> {
  const { partId, file } = record?.reply ?? {};
  if (partId !== undefined && file !== undefined)
    await discardReplyPart({ id: partId, path: file });
}

/** Whatever is there, and by whatever way the directory is named. */
async function placeOf(path: string): Promise<string> {
  return join(await truePath(dirname(resolve(path))), basename(path));
}

async function truePath(path: string): Promise<string> {
  // What is not there yet is no other file either.
  return realpath(path).catch(() => resolve(path));
}
