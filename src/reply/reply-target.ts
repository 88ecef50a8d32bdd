import { Writable } from 'node:stream';
import { sharedByCopies } from '../across-copies.js';
import { BitsArgumentError } from '../errors.js';
import { FileSink } from './file-sink.js';
import { checkReplyFile } from './file-target.js';
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
  const { path, stream, sha256, overwrite } = reply;
  if (path !== undefined) return new FileSink({ id, path, overwrite, sha256 });
  if (stream === undefined) return new MemorySink(sha256);
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
  { path, stream, overwrite }: ResolvedReply,
  id: string,
): Promise<void> {
  if (path !== undefined) return checkReplyFile({ id, path, overwrite });
  if (stream === undefined) return;
  // A sink of an earlier run holds the lock of a web stream.
  const isUsable = isWebStream(stream)
    ? !stream.locked || streamSinks.has(stream)
    : !stream.destroyed && !stream.writableEnded;
  if (!isUsable) {
    const cause = isWebStream(stream) ? undefined : (stream.errored ?? undefined);
    throw new BitsArgumentError('The stream for the reply is closed, ended or in use elsewhere', {
      cause,
    });
  }
}
