import { unlessAborted } from '../common/abort.js';
import { describeError } from '../common/error-like.js';
import { BitsArgumentError, BitsError, isBitsError } from '../errors.js';
import type { ByteSource, OpenSource } from '../source/source.js';

/**
 * How long a run that has ended waits for its source to close: a file should not be open any more
 * when a caller goes to delete it, but a drive that hangs must not hold the result back.
 */
const CLOSE_PATIENCE_MS = 250;

/**
 * Opens a source, which may be a caller's own, and does not wait for it once the job is stopped.
 * @throws BITS_ERR_ARGUMENT when what it opens is no source
 * @throws BITS_ERR_SOURCE for any failure that is no `BitsError`
 */
export async function openSource(
  source: ByteSource,
  signal: AbortSignal,
  onSpooled: (bytes: number) => void = () => {},
): Promise<OpenSource> {
  const opening = (async () => source.open(signal, onSpooled))();
  try {
    const opened = await unlessAborted(opening, signal);
    assertOpenSource(opened);
    return opened;
  } catch (error) {
    opening.then((late) => closeSource(late)).catch(() => {});
    throw sourceError('opening', error);
  }
}

/** @throws BITS_ERR_SOURCE for any failure that is no `BitsError` */
export async function verifySource(source: OpenSource, signal: AbortSignal): Promise<void> {
  try {
    await unlessAborted((async () => source.verify())(), signal);
  } catch (error) {
    throw sourceError('checking', error);
  }
}

/**
 * Frees what a source holds; never rejects, because it changes nothing for the upload.
 * @param onFailure is told what went wrong, if the close fails in time.
 */
export async function closeSource(
  source: OpenSource,
  onFailure: (error: unknown) => void = () => {},
): Promise<void> {
  await withPatience((async () => source.close())().catch(onFailure), CLOSE_PATIENCE_MS);
}

/** Frees what a source keeps between two openings; never rejects, as {@link closeSource}. */
export async function disposeSource(source: ByteSource): Promise<void> {
  if (source.dispose === undefined) return;
  await withPatience(
    (async () => source.dispose?.())().catch(() => {}),
    CLOSE_PATIENCE_MS,
  );
}

/** Waits for work that cannot be stopped, but not for ever. */
export async function withPatience(work: Promise<void>, patienceMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patienceMs);
  });
  await Promise.race([work, patience]);
  clearTimeout(timer);
}

/** A failure of a source as a `BitsError`; such errors stay as they are. */
export function sourceError(doing: string, cause: unknown): BitsError {
  if (isBitsError(cause)) return cause;
  return new BitsError('BITS_ERR_SOURCE', `${doing} the source failed: ${describeError(cause)}`, {
    cause,
  });
}

/** Stands in for a source that need not be read, when a session is only to be cancelled. */
export function unreadableSource(byteLength: number): ByteSource {
  return {
    name: undefined,
    open: async () => ({
      byteLength,
      read: () => {
        throw new BitsError('BITS_ERR_SOURCE', 'The source is closed: the upload is cancelled.');
      },
      verify: async () => {},
      close: async () => {},
    }),
  };
}

/** Callers without TypeScript may give anything, and a length that is NaN would pass as an empty file. */
function assertOpenSource(opened: Partial<OpenSource> | null | undefined): void {
  const { byteLength } = opened ?? {};
  if (typeof byteLength !== 'number' || !Number.isSafeInteger(byteLength) || byteLength < 0) {
    throw new BitsArgumentError(
      `open() of the source must give an object whose byteLength is a whole number, not ${String(byteLength)}.`,
    );
  }
}
