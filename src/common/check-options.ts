import { BitsArgumentError } from '../errors.js';

/** @throws BITS_ERR_ARGUMENT for a name that is not known */
export function assertKnown(group: string, given: object, known: object): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue;
    throw new BitsArgumentError(`There is no option ${group}${name}: check its spelling.`);
  }
}

/**
 * Options that belong together, as they were given, or none.
 * @throws BITS_ERR_ARGUMENT for what is no object, and for a name that is not known
 */
export function optionGroup<T extends object>(
  name: string,
  given: T | undefined,
  known: Readonly<Record<keyof T, unknown>>,
): Partial<T> {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new BitsArgumentError(`${name} must be an object of options.`);
  }
  assertKnown(`${name}.`, given, known);
  return given;
}

/** @throws BITS_ERR_ARGUMENT for options of a public function or class that are no object */
export function assertOptions(taker: string, given: unknown): void {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return;
  throw new BitsArgumentError(`${taker} takes an object of options.`);
}

/** @throws BITS_ERR_ARGUMENT */
export function text(name: string, value: string | undefined): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw new BitsArgumentError(`${name} must be a string.`);
}

/** @throws BITS_ERR_ARGUMENT */
export function texts(
  name: string,
  value: readonly string[] | undefined,
): readonly string[] | undefined {
  const isList = Array.isArray(value) && value.every((each) => typeof each === 'string');
  if (value === undefined || isList) return value;
  throw new BitsArgumentError(`${name} must be an array of strings.`);
}

/** @throws BITS_ERR_ARGUMENT */
export function checkFunction<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value;
  throw new BitsArgumentError(`${name} must be a function.`);
}

/** @throws BITS_ERR_ARGUMENT */
export function wholeNumber(
  name: string,
  value: number | undefined,
  fallback: number,
  least = 0,
): number {
  if (value === undefined) return fallback;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new BitsArgumentError(`${name} must be a whole number, ${least} or more.`);
}

/** @throws BITS_ERR_ARGUMENT */
export function flag(name: string, value: boolean | undefined, fallback = false): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw new BitsArgumentError(`${name} must be true or false.`);
  return value;
}
