const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Whether nobody in between can read what is sent: https, or a server on this machine. */
export function isPrivateChannel(url: URL): boolean {
  return url.protocol === 'https:' || LOOPBACK.test(url.hostname);
}
