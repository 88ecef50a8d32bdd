import { ACK_PACKET_TYPE } from '../protocol/constants.js';
import { formatHresult } from '../protocol/hresult.js';

/** What the server says to a packet; it has no body (§3.2.5). */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Changes to an answer's headers; null removes one. */
export type HeaderChanges = Readonly<Record<string, string | null>>;

const CONTEXT_SERVER = 0x5;
export const CONTEXT_APPLICATION = 0x7;

/** The HRESULT of an HTTP status, as IIS has it. */
export function hresultOf(status: number): number {
  return 0x80190000 + status;
}

export function ack(headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, headers: { 'BITS-Packet-Type': ACK_PACKET_TYPE, ...headers } };
}

export function refuse(status: number, hresult: number, context = CONTEXT_SERVER): Answer {
  return {
    status,
    headers: {
      'BITS-Packet-Type': ACK_PACKET_TYPE,
      'BITS-Error-Code': formatHresult(hresult),
      'BITS-Error-Context': `0x${context.toString(16)}`,
    },
  };
}

export function changeHeaders(
  headers: Readonly<Record<string, string>>,
  changes: HeaderChanges,
): Record<string, string> {
  const changed = new Set(Object.keys(changes).map((name) => name.toLowerCase()));
  const kept = Object.entries(headers).filter(([name]) => !changed.has(name.toLowerCase()));
  const added = Object.entries(changes).filter((entry) => entry[1] !== null);
  return Object.fromEntries([...kept, ...added] as [string, string][]);
}
