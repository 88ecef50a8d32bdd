/** Kinds of handle that a job or a server opens. */
const KINDS = new Set([
  'TCPServerWrap',
  'TCPSocketWrap',
  'TLSWrap',
  'Timeout',
  'FSReqPromise',
  'FileHandle',
]);

/** How many sockets, timers and file operations keep this process alive. */
export function openHandles(): number {
  return process.getActiveResourcesInfo().filter((kind) => KINDS.has(kind)).length;
}

/** Resolves when there are no more of them than before; sockets need some turns to close. */
export async function untilClosed(before: number, limitMs = 2000): Promise<void> {
  const startedMs = performance.now();
  while (openHandles() > before) {
    if (performance.now() - startedMs > limitMs) {
      throw new Error(`left open: ${process.getActiveResourcesInfo().join(', ')}`);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
