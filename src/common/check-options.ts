import { BitsArgumentError } from '../errors.js';

/**
 * What every public function refuses a wrong argument or option with.
 * @throws BITS_ERR_ARGUMENT
 */
export function mustBe(isRight: boolean, name: string, what: string): asserts isRight {
  if (!isRight) throw new BitsArgumentError(`${name} must be ${what}.`);
}

/** Callers without TypeScript may give anything; an array is no object of options. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws BITS_ERR_ARGUMENT for a name that is not known */
export function assertKnown(group: string, given: object, known: object): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue;
    throw new BitsArgumentError(`There is no option ${group}${name}: check its spelling.`);
  }
}

/** The names of options; the type makes sure that none is forgotten. */
export type OptionNames<T> = Readonly<Record<keyof T, unknown>>;

/**
 * The options that a function is called with, or none.
 * @param taker whose options they are
 * @throws BITS_ERR_ARGUMENT for what is no object, and for a name that is not known
 */
export function callOptions<T extends object>(
  taker: string,
  given: T | undefined,
  known: OptionNames<T>,
): Partial<T> {
  if (given === undefined) return {};
  assertOptions(taker, given);
  assertKnown('', given, known);
  return given;
}

/** @throws BITS_ERR_ARGUMENT for what is no object */
export function assertOptions(taker: string, given: unknown, what = ''): asserts given is object {
  if (!isObject(given)) throw new BitsArgumentError(`${taker} takes an object of options${what}.`);
}

/**
 * Options that belong together, as they were given, or none.
 * @throws BITS_ERR_ARGUMENT for what is no object, and for a name that is not known
 */
export function optionGroup<T extends object>(
  name: string,
  given: T | undefined,
  known: OptionNames<T>,
): Partial<T> {
  if (given === undefined) return {};
  mustBe(isObject(given), name, 'an object of options');
  assertKnown(`${name}.`, given, known);
  return given;
}

/** @throws BITS_ERR_ARGUMENT */
export function flag(name: string, value: boolean | undefined, fallback = false): boolean {
  mustBe(value === undefined || typeof value === 'boolean', name, 'true or false');
  return value ?? fallback;
}

/** @throws BITS_ERR_ARGUMENT */
export function text(name: string, value: string | undefined): string | undefined {
  mustBe(value === undefined || typeof value === 'string', name, 'a string');
  return value;
}

/** @throws BITS_ERR_ARGUMENT */
export function wholeNumber(
  name: string,
  value: number | undefined,
  fallback: number,
  least = 0,
): number {
  if (value === undefined) return fallback;
  const isRight = Number.isSafeInteger(value) && value >= least;
  mustBe(isRight, name, `a whole number, ${least} or more`);
  return value;
}

/** Timers of Node cannot be longer; a longer one would fire at once. */
const MAX_DURATION_MS = 2 ** 31 - 1;

/** @throws BITS_ERR_ARGUMENT */
export function duration(
  name: string,
  value: number | undefined,
  fallback: number,
  least: number,
): number {
  if (value === undefined) return fallback;
  const isRight = typeof value === 'number' && value >= least && value <= MAX_DURATION_MS;
  mustBe(isRight, name, `a number of milliseconds from ${least} to ${MAX_DURATION_MS}`);
  return value;
}

/** @throws BITS_ERR_ARGUMENT */
export function optionalFunction<T>(name: string, value: T | undefined): T | undefined {
  mustBe(value === undefined || typeof value === 'function', name, 'a function');
  return value;
}

/**
 * By shape: packages bring their own AbortController.
 * @throws BITS_ERR_ARGUMENT
 */
export function abortSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  const { aborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>;
  const isRight = typeof aborted === 'boolean' && typeof addEventListener === 'function';
  mustBe(isRight, 'signal', 'an AbortSignal');
  return signal;
}

/**
 * An object of the caller's that has some methods.
 * @throws BITS_ERR_ARGUMENT
 */
export function assertMethods<T>(
  name: string,
  value: T,
  methods: readonly (keyof T & string)[],
): void {
  const missing = methods.find((method) => typeof value?.[method] !== 'function');
  mustBe(missing === undefined, name, `an object with the method ${missing}()`);
}

/** @throws BITS_ERR_ARGUMENT */
export function texts(
  name: string,
  value: readonly string[] | undefined,
): readonly string[] | undefined {
  const areTexts = Array.isArray(value) && value.every((each) => typeof each === 'string');
  mustBe(value === undefined || areTexts, name, 'an array of strings');
  return value;
}
