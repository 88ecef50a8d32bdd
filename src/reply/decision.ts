import { BitsError } from '../errors.js';
import type { PartRange, ReplyAnswer } from './answer.js';
import { isSameEntity, type ReplyEntity } from './entity.js';

/** What a download knows of the reply between two requests. */
export interface ReplyKnowledge {
  /** Of the bytes that are kept. */
  readonly entity: ReplyEntity;
  /** Origin and path that those bytes came from. */
  readonly place: string | undefined;
  /** False once the server has answered a range with something else. */
  readonly rangesUsable: boolean;
  /** How often the reply turned out to be another one. */
  readonly changes: number;
}

export const NOTHING_KNOWN: ReplyKnowledge = Object.freeze({
  entity: {},
  place: undefined,
  rangesUsable: true,
  changes: 0,
});

/** What was asked of the server. */
export interface ReplyRequest {
  readonly place: string;
  /** 0 or `keptBytes`. */
  readonly fromByte: number;
  /** How many bytes of the reply there are already. */
  readonly keptBytes: number;
}

/** What an answer means for a download. */
export type ReplyDecision =
  /** Take the body. */
  | {
      readonly kind: 'take';
      readonly known: ReplyKnowledge;
      /** Of the body's first byte; 0: what is kept gives way to it. */
      readonly fromByte: number;
      /** Undefined: until the body ends. */
      readonly bodyBytes: number | undefined;
      /** Whether the body's end is the reply's. */
      readonly isLast: boolean;
    }
  /** Drop what is kept and ask once more. */
  | { readonly kind: 'start-over'; readonly known: ReplyKnowledge }
  /** What is kept is the whole reply. */
  | { readonly kind: 'complete' }
  /** Ask at the next place. */
  | { readonly kind: 'gone'; readonly status: number };

/** How often a reply may turn out to be another one before the download gives up. */
const MAX_CHANGES = 3;

/**
 * The request to send next: a continuation where one is safe, else one without `Range`, which some
 * servers answer wrongly.
 */
export function rangeToAsk(
  { entity, place, rangesUsable }: ReplyKnowledge,
  from: string,
  keptBytes: number,
): { readonly fromByte: number; readonly headers: Readonly<Record<string, string>> } {
  const { ifRange } = entity;
  if (!rangesUsable || place !== from || ifRange === undefined || keptBytes === 0) {
    return { fromByte: 0, headers: {} };
  }
  return { fromByte: keptBytes, headers: { Range: `bytes=${keptBytes}-`, 'If-Range': ifRange } };
}

/**
 * Decides what an answer means, by what is known of the reply; bytes of two versions never mix.
 * @param entity as the answer's head describes it
 * @throws BITS_ERR_REPLY for an answer without sense and for a reply that changes all the time, and
 *   the error of a refusal
 */
export function decide(
  known: ReplyKnowledge,
  request: ReplyRequest,
  answer: Exclude<ReplyAnswer, { kind: 'redirect' }>,
  entity: ReplyEntity,
): ReplyDecision {
  switch (answer.kind) {
    case 'whole':
      return takeWhole(known, request, { ...entity, totalBytes: answer.totalBytes });
    case 'part':
      return request.fromByte === 0
        ? takeUnaskedPart(known, request, answer.range, entity)
        : takePart(known, request, answer.range, entity);
    case 'unsatisfiable':
      return endOrStartOver(known, request, { ...entity, totalBytes: answer.totalBytes });
    case 'gone':
      return answer;
    case 'refused':
      throw answer.error;
  }
}

function takeWhole(
  known: ReplyKnowledge,
  { place, keptBytes }: ReplyRequest,
  entity: ReplyEntity,
): ReplyDecision {
  const isOther = keptBytes > 0 && place === known.place && !isSameEntity(known.entity, entity);
  const now = isOther ? changed(known) : known;
  return {
    kind: 'take',
    known: { ...now, entity, place },
    fromByte: 0,
    bodyBytes: entity.totalBytes,
    isLast: true,
  };
}

// Some servers answer any GET with 206; what is not the whole then cannot be made whole.
function takeUnaskedPart(
  known: ReplyKnowledge,
  request: ReplyRequest,
  range: PartRange | undefined,
  entity: ReplyEntity,
): ReplyDecision {
  if (range?.start !== 0 || range.end !== range.total) {
    throw senseless('answered 206 with a part that was not requested');
  }
  return takeWhole(known, request, { ...entity, totalBytes: range.total });
}

function takePart(
  known: ReplyKnowledge,
  { fromByte }: ReplyRequest,
  range: PartRange | undefined,
  entity: ReplyEntity,
): ReplyDecision {
  if (range?.start !== fromByte) {
    return { kind: 'start-over', known: { ...known, rangesUsable: false } };
  }
  const totalBytes = range.total ?? known.entity.totalBytes;
  const isSame = isSameEntity(known.entity, { ...entity, totalBytes });
  if (!isSame || (totalBytes !== undefined && range.end > totalBytes)) {
    return { kind: 'start-over', known: changed(known) };
  }
  return {
    kind: 'take',
    known: { ...known, entity: { ...known.entity, totalBytes } },
    fromByte,
    bodyBytes: range.end - range.start,
    isLast: range.end === totalBytes,
  };
}

function endOrStartOver(
  known: ReplyKnowledge,
  { fromByte }: ReplyRequest,
  told: ReplyEntity,
): ReplyDecision {
  if (fromByte === 0) throw senseless('answered 416 although no range was requested');
  const totalBytes = told.totalBytes ?? known.entity.totalBytes;
  const isSame = isSameEntity(known.entity, { ...told, totalBytes });
  if (totalBytes === fromByte && isSame) return { kind: 'complete' };
  const next = totalBytes === undefined ? { ...known, rangesUsable: false } : changed(known);
  return { kind: 'start-over', known: next };
}

/**
 * Counts that the reply is another one than before.
 * @throws BITS_ERR_REPLY when that happens too often
 */
export function changed(known: ReplyKnowledge): ReplyKnowledge {
  const changes = known.changes + 1;
  if (changes <= MAX_CHANGES) return { ...known, changes };
  throw new BitsError(
    'BITS_ERR_REPLY',
    `The reply changed ${changes} times while it was downloaded: check that the server ` +
      'application writes it once. The session is left open.',
  );
}

function senseless(what: string): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    `The server ${what}: check the server and proxies in between. The session is left open.`,
  );
}
