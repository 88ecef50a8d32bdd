const listenersOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when the signal aborts, unless the function that it returns is called before.
 *
 * Many jobs may share a signal that stops them all, and Node takes more than ten listeners of one
 * signal for a leak: so they have one together.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = listenersOf.get(signal);
  if (listeners === undefined) {
    listeners = new Set();
    listenersOf.set(signal, listeners);
    signal.addEventListener('abort', callAll, { once: true });
  }
  const all = listeners.add(listener);
  return () => {
    if (!all.delete(listener) || all.size > 0) return;
    signal.removeEventListener('abort', callAll);
    listenersOf.delete(signal);
  };
}

function callAll(this: AbortSignal): void {
  for (const listener of listenersOf.get(this) ?? []) listener();
}
