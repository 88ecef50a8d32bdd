import { throwIfAborted } from '../common/abort.js';
import type { UploadOptions } from './options.js';
import { resolveOptions } from './resolve-options.js';
import { Wire } from './wire.js';

/** A HEAD is answered at once, or not worth a longer wait. */
const ANSWER_TIMEOUT_MS = 30_000;

/** What a server says of a file: its size, `unknown` when it does not say it, or `no-answer`. */
export type FileSize = number | 'unknown' | 'no-answer';

/**
 * Asks for the size of the file at a URL with a HEAD, in the same way as an upload with these options
 * would reach the server; redirects are not followed.
 * @throws BITS_ERR_ABORTED
 */
export async function sizeOnServer(
  options: Omit<UploadOptions, 'source'> & { readonly url: URL },
): Promise<FileSize> {
  const resolved = resolveOptions({ ...options, source: new Uint8Array() });
  const { signal = new AbortController().signal, timeouts } = resolved;
  const wire = new Wire(resolved, options.url, 'head');
  let reusable = false;
  try {
    const headers = { ...wire.headersFor(options.url), 'Accept-Encoding': 'identity' };
    const request = { method: 'HEAD', url: options.url, headers } as const;
    const answer = await wire.send('head', request, {
      signal,
      answerTimeoutMs: Math.min(timeouts.answerMs, ANSWER_TIMEOUT_MS),
      answerBody: 'discard',
    });
    reusable = true;
    const { 'content-length': length = '', 'content-encoding': encoding } = answer.headers;
    // The length of an encoded file is not its size.
    const isSize = answer.status === 200 && /^\d+$/.test(length) && encoding === undefined;
    return isSize ? Number(length) : 'unknown';
  } catch {
    throwIfAborted(signal);
    return 'no-answer';
  } finally {
    await wire.close({ reusable });
  }
}
