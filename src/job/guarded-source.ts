import { unlessAborted } from '../common/abort.js';
import type { AbortSwitch } from '../common/abort-switch.js';
import { describeError } from '../common/error-like.js';
import { BitsArgumentError, BitsError, isBitsError } from '../errors.js';
import type { ByteSource, OpenSource } from '../source/source.js';

/**
 * How long a job that has ended waits for its source to close: a file should not be open any more
 * when a caller goes to delete it, but a drive that hangs must not hold the outcome back.
 */
const CLOSE_PATIENCE_MS = 250;

/**
 * Opens a source, which may be a caller's own, and does not wait for it once the job is stopped.
 * @throws BITS_ERR_ARGUMENT when what it opens is no source
 * @throws BITS_ERR_SOURCE for any failure that is no `BitsError`
 */
export async function openSource(
  source: ByteSource,
  abortSwitch: AbortSwitch,
): Promise<OpenSource> {
  const { signal } = abortSwitch;
  const opening = (async () => source.open(signal))();
  try {
    const opened = await unlessAborted(opening, signal);
    assertOpenSource(opened);
    return opened;
  } catch (error) {
    closeWhenOpen(opening);
    throw sourceError('opening', error);
  }
}

/** @throws BITS_ERR_SOURCE for any failure that is no `BitsError` */
export async function verifySource(source: OpenSource, abortSwitch: AbortSwitch): Promise<void> {
  try {
    await unlessAborted((async () => source.verify())(), abortSwitch.signal);
  } catch (error) {
    throw sourceError('checking', error);
  }
}

/**
 * Frees what a source holds; never rejects, because it changes nothing for the upload.
 * @param onFailure is told what went wrong, while somebody still waits.
 */
export function closeSource(
  source: OpenSource,
  onFailure: (error: unknown) => void = () => {},
): Promise<void> {
  return withPatience((async () => source.close())().catch((error) => tell(onFailure, error)));
}

function tell(onFailure: (error: unknown) => void, error: unknown): void {
  try {
    onFailure(error);
  } catch {
    // A listener's failure is none of the upload.
  }
}

/** Frees what a source keeps between two openings; never rejects, as {@link closeSource}. */
export function disposeSource(source: ByteSource): Promise<void> {
  return withPatience((async () => source.dispose?.())().catch(() => {}));
}

async function withPatience(closed: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_PATIENCE_MS);
  });
  await Promise.race([closed, patience]);
  clearTimeout(timer);
}

/** A failure of a source as a `BitsError`; such errors stay as they are. */
export function sourceError(doing: string, cause: unknown): BitsError {
  if (isBitsError(cause)) return cause;
  return new BitsError('BITS_ERR_SOURCE', `${doing} the source failed: ${describeError(cause)}`, {
    cause,
  });
}

function closeWhenOpen(opening: Promise<OpenSource>): void {
  opening.then((late) => closeSource(late)).catch(() => {});
}

/** Callers without TypeScript may give anything, and a length that is NaN would pass as an empty file. */
function assertOpenSource(opened: Partial<OpenSource> | null | undefined): void {
  const { byteLength } = opened ?? {};
  if (typeof byteLength !== 'number' || !Number.isSafeInteger(byteLength) || byteLength < 0) {
    throw new BitsArgumentError(
      `The source's open() must give an object whose byteLength is a whole number, not ${String(byteLength)}`,
    );
  }
}
