/**
 * Whether a value is an error, by shape: under Jest, and in Vitest's vmThreads, Node's own errors come
 * from another realm, whose `Error` is none of this one's.
 */
export function isErrorLike(value: unknown): value is Error {
  if (typeof value !== 'object' || value === null) return false;
  const { name, message } = value as Partial<Error>;
  return typeof name === 'string' && typeof message === 'string';
}

const MAX_DEPTH = 5;

/** An error and what caused it: `fetch` and happy eyeballs wrap the real one. */
export function* errorChain(error: unknown): Generator<Error> {
  for (let at: unknown = error, depth = 0; isErrorLike(at) && depth < MAX_DEPTH; depth++) {
    yield at;
    at = at.cause ?? firstOf(at);
  }
}

/** Of several errors, in an `AggregateError`. */
function firstOf(error: Error): unknown {
  const { errors } = error as Partial<AggregateError>;
  return Array.isArray(errors) ? errors[0] : undefined;
}

/** What a failure that nobody foresaw says of itself. */
export function describeError(error: unknown): string {
  return isErrorLike(error) ? `${error.name}: ${error.message}` : String(error);
}
