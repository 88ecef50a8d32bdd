/** The errors of a second copy of this package, as npm installs one for each range that is asked for. */
export function otherCopy(): Promise<typeof import('../../src/errors.js')> {
  const url = new URL('../../src/errors.ts?copy', import.meta.url);
  return import(url.href);
}
