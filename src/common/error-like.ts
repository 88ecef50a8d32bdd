/**
 * Whether a value is an error, by shape: under Jest, and in Vitest's vmThreads, Node's own errors come
 * from another realm, whose `Error` is none of this one's.
 */
export function isErrorLike(value: unknown): value is Error {
  if (typeof value !== 'object' || value === null) return false;
  return (
    typeof propertyOf(value, 'name') === 'string' &&
    typeof propertyOf(value, 'message') === 'string'
  );
}

const MAX_DEPTH = 5;

/** An error and what caused it: `fetch` and happy eyeballs wrap the real one. */
export function* errorChain(error: unknown): Generator<Error> {
  for (let at: unknown = error, depth = 0; isErrorLike(at) && depth < MAX_DEPTH; depth++) {
    yield at;
    at = propertyOf(at, 'cause') ?? firstOf(at);
  }
}

/** Of several errors, in an `AggregateError`. */
function firstOf(error: Error): unknown {
  const errors = propertyOf(error, 'errors');
  return Array.isArray(errors) ? errors[0] : undefined;
}

/** What a failure that nobody foresaw says of itself. */
export function describeError(error: unknown): string {
  if (isErrorLike(error)) return `${error.name}: ${error.message}`;
  try {
    return String(error);
  } catch {
    return 'an object that cannot be shown';
  }
}

/** What is thrown may be anything, a proxy or an object whose getters throw included. */
export function propertyOf(value: object, name: string): unknown {
  try {
    return (value as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

/** Undefined when there is no such file. */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The `code` of an error of Node or of this package, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  const code = isErrorLike(error) ? propertyOf(error, 'code') : undefined;
  return typeof code === 'string' ? code : undefined;
}
