import type { Socket } from 'node:net';

/** Holds back what a socket gives to its reader. */
export interface Throttle {
  pause(): void;
  resume(): void;
  /** Lets the next request on the socket have its answer. */
  release(): void;
}

let latest: Throttle | undefined;

/**
 * The throttle of the socket whose bytes are being parsed: to be called while an answer is handed
 * over, for undici does that in the turn in which it reads them.
 */
export function currentThrottle(): Throttle | undefined {
  return latest;
}

/**
 * Makes a socket one that can be held back below undici.
 *
 * undici's own pause ends the process with an assertion when a connection that is to be closed ends
 * while it is paused.
 */
export function throttleReads(socket: Socket): void {
  const read = socket.read.bind(socket);
  let paused = false;
  const throttle: Throttle = {
    pause() {
      paused = true;
    },
    resume() {
      if (!paused) return;
      paused = false;
      socket.emit('readable');
    },
    release() {
      paused = false;
    },
  };
  socket.read = (size?: number) => {
    // Not even the end of the stream comes through, since that is found by reading.
    if (paused) return null;
    latest = throttle;
    return read(size);
  };
}
