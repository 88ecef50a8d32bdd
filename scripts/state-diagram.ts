import { step } from '../src/session/machine.js';
import { createSession, isFinal, type SessionEvent } from '../src/session/session.js';
import { casesOf, groups } from '../test/session/machine-cases.js';
import { PLAN } from '../test/session/script.js';

/** The states that belong to a packet or a download, drawn as one where all of them share an arrow. */
const LIVE: ReadonlySet<string> = new Set([
  'create-session',
  'ping',
  'fragment',
  'get-reply',
  'close-session',
]);

/** The states of a session, with every arrow that a case of the machine's tests follows. */
export function stateDiagram(): string {
  const arrows = new Map<string, Set<SessionEvent['type']>>();
  for (const [, { plan, sizer = { fixedBytes: 100 }, script }] of Object.values(groups).flatMap(
    casesOf,
  )) {
    let session = createSession({ ...PLAN, ...plan }, sizer);
    for (const [event] of script) {
      const [next] = step(session, event);
      if (next.state !== session.state) {
        const from = LIVE.has(session.state) && !LIVE.has(next.state) ? 'live' : session.state;
        const arrow = `${idOf(from)} --> ${idOf(next.state)}`;
        arrows.set(arrow, (arrows.get(arrow) ?? new Set()).add(event.type));
        if (isFinal(next.state)) arrows.set(`${idOf(next.state)} --> [*]`, new Set());
      }
      session = next;
    }
  }
  const lines = [...arrows].map(([arrow, events]) =>
    events.size === 0 ? arrow : `${arrow} : ${[...events].sort().join(', ')}`,
  );
  const [inner, outer] = [lines.filter(isWithinLive), lines.filter((line) => !isWithinLive(line))];
  return [
    '```mermaid',
    'stateDiagram-v2',
    ...[...LIVE, 'cancel-session'].map((state) => `  state "${state}" as ${idOf(state)}`),
    '  [*] --> init',
    '  state live {',
    ...inner.sort().map((line) => `    ${line}`),
    '  }',
    ...outer.sort().map((line) => `  ${line}`),
    '```',
  ].join('\n');
}

function isWithinLive(line: string): boolean {
  const [from = '', , to = ''] = line.split(' ');
  const ids = [...LIVE].map(idOf);
  return ids.includes(from) && ids.includes(to);
}

/** A name that Mermaid reads: it takes a hyphen for the beginning of an arrow. */
function idOf(state: string): string {
  return state.replace(/-(.)/, (_, letter: string) => letter.toUpperCase());
}
