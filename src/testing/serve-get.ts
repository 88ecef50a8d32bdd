import { lstat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type Entity, sendEntity } from './entity.js';
import { effectOf } from './fault-effects.js';
import { resolveBelow, type UrlPath } from './paths.js';
import type { StoredReply } from './replies.js';
import type { Responder } from './responder.js';
import type { ServerState } from './server-state.js';

/** Answers a GET or HEAD of a file that this server has received. */
export async function serveFile(
  urlPath: UrlPath | undefined,
  responder: Responder,
  state: ServerState,
): Promise<void> {
  const entity = await uploadedFile(urlPath, state).catch(() => undefined);
  if (entity === undefined) return responder.send({ status: 404, headers: {} });
  await responder.drain();
  await sendEntity(responder, entity);
}

/** Answers a GET or HEAD of a reply, or lets a fault do so. */
export async function serveReply(
  reply: StoredReply,
  responder: Responder,
  { faults }: ServerState,
): Promise<void> {
  const { req, connection } = responder.exchange;
  const fault = faults.take('reply');
  responder.entry.fault = fault;
  const effect = effectOf(fault?.do);
  const { delivery, answer, delayMs } = effect;
  if (delivery === 'reset-at-once') return connection.reset();
  if (delivery === 'hang') return responder.hang();
  if (delayMs !== undefined) await delay(delayMs, undefined, { signal: connection.signal });
  if (delivery === 'endless' && answer !== undefined) {
    return responder.sendEndless(answer, answer.body);
  }
  if (effect.interimAnswers !== undefined) await responder.sendInterim(effect.interimAnswers);
  // A client asks for a reply by its URL alone: what is not there is 404.
  if (effect.forgetsSession === true) return responder.send({ status: 404, headers: {} });
  if (answer !== undefined) return responder.send(answer, { body: answer.body });

  const entity = reply.entityFor(req.method);
  if (entity === undefined) return responder.send({ status: 404, headers: {} });
  await responder.drain();
  await sendEntity(responder, entity, {
    headers: effect.headers,
    bytesPerSecond: effect.bytesPerSecond ?? reply.bytesPerSecond,
    cut: delivery === 'endless' ? undefined : delivery,
    onPiece: (start, end) => reply.noteRead(start, end),
  });
}

async function uploadedFile(
  urlPath: UrlPath | undefined,
  { options, root, uploads }: ServerState,
): Promise<Entity | undefined> {
  if (!options.serveUploads || urlPath === undefined || urlPath.directory) return undefined;
  const file = await resolveBelow(root, urlPath.segments);
  if (file === undefined || !uploads.some(({ path }) => path === file)) return undefined;
  const stats = await lstat(file, { bigint: true });
  if (!stats.isFile()) return undefined;
  return {
    file,
    byteLength: Number(stats.size),
    etag: `"${stats.size.toString(16)}-${stats.mtimeNs.toString(16)}"`,
    lastModified: stats.mtime,
  };
}
