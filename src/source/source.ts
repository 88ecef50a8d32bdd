/** Where an upload's bytes come from; implement it to upload from anything with random access. */
export interface ByteSource {
  /** File name without path, for Content-Name and for URLs that end in `/`. */
  readonly name: string | undefined;
  /**
   * Makes the bytes readable; called again when a job resumes after a failure or an abort.
   * @param onSpooled told, in bytes from the first one on, how much is stored of a source that must be
   *   stored before it can be read; the progress of a job shows it
   * @throws BITS_ERR_ARGUMENT when nothing readable is there
   */
  open(signal?: AbortSignal, onSpooled?: (bytes: number) => void): Promise<OpenSource>;
  /** Frees what is kept from one `open` to the next; called when the job has ended for good. */
  dispose?(): Promise<void>;
}

/** Bytes that can be read, as often as a run of the job needs them. */
export interface OpenSource {
  readonly byteLength: number;
  /** Recognises the same content after a restart of the process; absent: cannot be resumed then. */
  readonly identity?: SourceIdentity;
  /** The longest range that can be read again, and so the longest fragment; absent: any. */
  readonly maxRangeBytes?: number;
  /**
   * Reads bytes `start` (inclusive) to `end` (exclusive), in order.
   *
   * A piece is valid only until the next one is asked for. One read at a time.
   * @throws BITS_ERR_SOURCE_CHANGED, at the latest before the last piece, when the content is no
   *   longer what was opened
   */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
  /**
   * Checks that the content is still what was opened.
   * @throws BITS_ERR_SOURCE_CHANGED
   */
  verify(): Promise<void>;
  /** Frees handles, buffers and temp files; safe to call twice. */
  close(): Promise<void>;
}

/**
 * Recognises the content of a local file without reading it: by its size and modification time, as
 * Windows does. See {@link sourceIdentityChange}.
 *
 * `mtimeNs` and `inode` are decimal strings: they exceed 2^53.
 */
export interface SourceIdentity {
  readonly path: string;
  readonly byteLength: number;
  readonly mtimeNs: string;
  readonly inode: string;
}

/**
 * Whether a file is still the one that an upload began with.
 *
 * `inode-only` deserves a warning, and no more: FAT and network file systems number files anew each
 * time they are mounted, and a copy that keeps size and time, as from a backup, holds the same bytes.
 */
export function sourceIdentityChange(
  before: SourceIdentity,
  now: SourceIdentity,
): 'same' | 'inode-only' | 'changed' {
  if (before.byteLength !== now.byteLength || before.mtimeNs !== now.mtimeNs) return 'changed';
  return before.inode === now.inode ? 'same' : 'inode-only';
}
