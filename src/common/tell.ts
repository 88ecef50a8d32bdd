import type { EventEmitter } from 'node:events';

/** Emits an event. What a listener throws is Node's to report; it must not stop an upload. */
export function tell<M extends Record<keyof M, unknown[]>, E extends keyof M>(
  emitter: EventEmitter<M>,
  event: E,
  ...values: M[E]
): void {
  try {
    // biome-ignore lint/suspicious/noExplicitAny: the types of EventEmitter do not know one event of many
    emitter.emit(event as any, ...(values as any));
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
