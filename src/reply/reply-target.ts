import { Writable } from 'node:stream';
import { sharedByCopies } from '../across-copies.js';
import { BitsArgumentError } from '../errors.js';
import { FileSink } from './file-sink.js';
import { checkReplyFile, discardReplyFile } from './file-target.js';
import { MemorySink } from './memory-sink.js';
import { isWebStream, type ResolvedReply } from './reply-option.js';
import type { ReplySink } from './sink.js';
import { StreamSink } from './stream-sink.js';

// A stream remembers what it was given, so that a later download of the same job gives it no byte twice.
const streamSinks = sharedByCopies(
  'reply-streams',
  () => new WeakMap<object, { readonly id: string; readonly sink: StreamSink }>(),
);

/**
 * Makes the sink for a reply; one job gets the same one for the same stream each time.
 * @param id of the job: another process finds the part file by it
 */
export function createReplySink(reply: ResolvedReply, id: string): ReplySink {
  const { to, sha256, overwrite } = reply;
  if (to === 'memory') return new MemorySink(sha256);
  if ('path' in to) return new FileSink({ id, path: to.path, overwrite, sha256 });
  const { stream } = to;
  const known = streamSinks.get(stream);
  if (known?.id === id) return known.sink;
  const writable = isWebStream(stream) ? Writable.fromWeb(stream) : stream;
  const sink = new StreamSink(writable, sha256);
  streamSinks.set(stream, { id, sink });
  return sink;
}

/**
 * Checks, before anything is sent, that a reply can go there.
 *
 * @param id of the job: a target that an earlier run of the same job put in place is no obstacle.
 * @throws BITS_ERR_ARGUMENT
 */
export async function checkReplyTarget(
  { to, overwrite }: ResolvedReply,
  id: string,
): Promise<void> {
  if (to === 'memory') return;
  if ('path' in to) return checkReplyFile({ id, path: to.path, overwrite });
  const { stream } = to;
  // A sink of an earlier run holds the lock of a web stream.
  const isUsable = isWebStream(stream)
    ? !stream.locked || streamSinks.has(stream)
    : !stream.destroyed && !stream.writableEnded;
  if (!isUsable) {
    throw new BitsArgumentError('The stream for the reply is closed, ended or in use elsewhere');
  }
}

/**
 * Removes the reply to an upload that has to start over, in part or whole; a file that may be
 * overwritten stays until the new reply replaces it.
 *
 * @param id of the job
 * @param stored whether this process has put the reply in place; else only a file that is proven to
 *   be the job's is removed
 */
export async function discardReply(
  { to, overwrite }: ResolvedReply,
  { id, stored }: { readonly id: string; readonly stored: boolean },
): Promise<void> {
  if (to === 'memory' || !('path' in to)) return;
  await discardReplyFile({ id, path: to.path, overwrite }, stored);
}
