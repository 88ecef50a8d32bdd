import type { RequestPacket } from '../../src/protocol/packets.js';
import type { SessionEvent } from '../../src/session/session.js';
import {
  cancelled,
  closed,
  created,
  gone,
  has,
  outOfStep,
  pinged,
  tooLarge,
  unknown,
} from './script.js';

/**
 * How a server takes a fragment that does not start at its offset. Who appends blindly answers with the
 * bytes that it holds, or echoes the end of what it took of the fragment.
 */
export type Overlap = 'refuses' | 'keeps-what-it-lacks' | 'appends-blindly' | 'echoes';

interface Upload {
  /** Longer than the file when something was appended twice. */
  content: Uint8Array;
  held: number;
  readonly replyUrl: string;
  replyFetched: boolean;
}

/** A server that keeps bytes, as honest as servers are; it knows nothing of the session machine. */
export class ModelServer {
  /** What stands under the final name. */
  file: Uint8Array | undefined;
  readonly #source: Uint8Array;
  readonly #options: {
    overlap: Overlap;
    limitBytes: number;
    replies: boolean;
    /** Of a session that it does not know it gives no HRESULT. */
    saysNothing: boolean;
    hostId?: string;
  };
  readonly #uploads = new Map<string, Upload>();
  #created = 0;

  constructor(source: Uint8Array, options: ModelServer['options']) {
    this.#source = source;
    this.#options = options;
  }

  get options() {
    return this.#options;
  }

  answer(packet: RequestPacket, takesBytes?: number): SessionEvent {
    if (packet.type === 'create-session') return this.#create();
    if (packet.type === 'ping') return pinged;
    const upload = this.#uploads.get(packet.sessionId);
    if (upload === undefined) return this.#options.saysNothing ? unknown(400) : gone;
    switch (packet.type) {
      case 'fragment':
        return this.#fragment(upload, packet.range, takesBytes);
      case 'close-session':
        this.#uploads.delete(packet.sessionId);
        if (upload.held < this.#source.length) throw new Error('Close deleted an upload');
        if (this.#options.replies && this.#source.length > 0 && !upload.replyFetched) {
          throw new Error('Close deleted a reply');
        }
        this.file = upload.content.slice(0, upload.held);
        return closed;
      case 'cancel-session':
        this.#uploads.delete(packet.sessionId);
        return cancelled;
    }
  }

  fetchReply(replyUrl: string): void {
    const upload = [...this.#uploads.values()].find((one) => one.replyUrl === replyUrl);
    if (upload === undefined) throw new Error(`no such reply: ${replyUrl}`);
    upload.replyFetched = true;
  }

  forget(): void {
    this.#uploads.clear();
  }

  /** Loses what it had written last, as after a crash. */
  moveBack(fraction: number): void {
    for (const upload of this.#uploads.values()) {
      if (!upload.replyFetched) upload.held = Math.floor(upload.held * fraction);
    }
  }

  #create(): SessionEvent {
    this.#created += 1;
    const id = `{${this.#created}}`;
    this.#uploads.set(id, {
      content: new Uint8Array(this.#source.length),
      held: 0,
      replyUrl: `Replies\\${id}\\reply.bin`,
      replyFetched: false,
    });
    const { hostId } = this.#options;
    return created(hostId === undefined ? {} : { hostId, hostIdFallbackTimeoutMs: 1 }, id);
  }

  #fragment(
    upload: Upload,
    { start, end }: { start: number; end: number },
    takesBytes = Number.POSITIVE_INFINITY,
  ): SessionEvent {
    const { overlap, limitBytes, replies } = this.#options;
    const total = this.#source.length;
    if (end - start > limitBytes) return tooLarge;
    const isBlind = overlap === 'appends-blindly' || overlap === 'echoes';
    if (isBlind) {
      const takenTo = Math.min(end, start + takesBytes);
      append(upload, this.#source.subarray(start, takenTo));
      if (overlap === 'echoes')
        return has(takenTo, replies && takenTo === total ? upload.replyUrl : undefined);
    } else if (upload.held !== total || end !== total) {
      if (start > upload.held || (start < upload.held && overlap === 'refuses')) {
        return outOfStep(upload.held);
      }
      const from = upload.held;
      append(upload, this.#source.subarray(from, Math.max(from, Math.min(end, from + takesBytes))));
    }
    return has(upload.held, replies && upload.held === total ? upload.replyUrl : undefined);
  }
}

function append(upload: Upload, bytes: Uint8Array): void {
  const end = upload.held + bytes.length;
  if (end > upload.content.length) {
    const longer = new Uint8Array(2 * end);
    longer.set(upload.content);
    upload.content = longer;
  }
  upload.content.set(bytes, upload.held);
  upload.held = end;
}
