/** True under `npm run prove`: everything is tried, for as long as it takes. Else a quick choice. */
export const FULL = process.env.BITS_PROVE === 'full';

/** Repeats a run that failed; a quick run is the same each time. */
export const SEED = Number(process.env.BITS_PROVE_SEED ?? (FULL ? Date.now() & 0x7fff_ffff : 1));

/** How often a property is tried: the full number can be set by an environment variable. */
export function runs(variable: string, quick: number, full: number): number {
  return Number(process.env[variable] ?? (FULL ? full : quick));
}
