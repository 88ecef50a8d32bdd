import path from 'node:path';
import type { Upload } from './options.js';
import type { PacketRequest } from './packet-request.js';
import { splitTarget } from './paths.js';
import { type StoredReply, storeReply } from './replies.js';
import type { ServerState } from './server-state.js';
import type { UploadSession } from './sessions.js';

/** Asks the application for its reply to a complete upload and stores it with the session. */
export async function askForReply(
  request: PacketRequest,
  session: UploadSession,
  { options, root }: ServerState,
): Promise<StoredReply | undefined> {
  session.replyCalls += 1;
  const attempt = session.replyCalls;
  const file = path.join(root, ...session.path.segments);
  const upload = describeUpload(request, session, file, attempt);
  const result = await options.reply?.(upload);
  if (result === undefined || session.ended) return undefined;
  const directory = session.path.segments.slice(0, -1);
  const stored = await storeReply(
    result,
    session.folder,
    originOf(request),
    directory,
    options.now(),
  );
  // A call for a client that went away may end after the one for its next try.
  if (attempt === session.replyCalls) session.storedReply = stored;
  return stored;
}

/** A complete upload, as the application sees it. */
export function describeUpload(
  request: PacketRequest,
  session: UploadSession,
  file: string,
  attempt = 1,
): Upload {
  return {
    url: `${originOf(request)}${splitTarget(request.entry.target).local}`,
    path: file,
    bytes: session.committed,
    contentName: session.contentName,
    headers: request.headers,
    sha256: session.sink.sha256(),
    attempt,
    open: () => session.sink.open(),
  };
}

function originOf({ exchange, headers }: PacketRequest): string {
  const scheme = exchange.connection.tls === undefined ? 'http' : 'https';
  return `${scheme}://${headers.host ?? ''}`;
}
