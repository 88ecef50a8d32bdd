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

/** @throws BITS_ERR_ARGUMENT */
export function flag(name: string, value: boolean | undefined, fallback = false): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw new BitsArgumentError(`${name} must be true or false.`);
  return value;
}
