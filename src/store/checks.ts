import { BitsStoreError } from '../errors.js';

/** Reads one value of a record; `field` is its name for messages, which never hold the value. */
export type Check<T> = (value: unknown, field: string) => T;

export function damaged(field: string, expected: string): BitsStoreError {
  return new BitsStoreError('damaged', `the job record is damaged: ${field} is not ${expected}`);
}

/** A whole number from 0 to `max`. */
export const count =
  (max = Number.MAX_SAFE_INTEGER): Check<number> =>
  (value, field) => {
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
      throw damaged(field, `a whole number from 0 to ${max}`);
    }
    // JSON knows -0, which JSON.stringify does not write.
    return (value as number) + 0;
  };

export const flag: Check<boolean> = (value, field) => {
  if (typeof value !== 'boolean') throw damaged(field, 'true or false');
  return value;
};

/** Text of at most `maxLength` UTF-16 units that passes `accepts`. */
export const text =
  (maxLength: number, expected: string, accepts: RegExp | ((text: string) => boolean)) =>
  (value: unknown, field: string): string => {
    if (typeof value !== 'string' || value.length > maxLength) throw damaged(field, expected);
    const accepted = accepts instanceof RegExp ? accepts.test(value) : accepts(value);
    if (!accepted) throw damaged(field, expected);
    return value;
  };

export const oneOf =
  <const T extends string>(values: readonly T[]): Check<T> =>
  (value, field) => {
    const found = values.find((known) => known === value);
    if (found === undefined) throw damaged(field, `one of ${values.join(', ')}`);
    return found;
  };

export const optional =
  <T>(check: Check<T>): Check<T | undefined> =>
  (value, field) =>
    value === undefined ? undefined : check(value, field);

/** Reads the named fields, and no other, that the object itself has; inherited ones do not count. */
export const fields =
  <S extends Record<string, Check<unknown>>>(shape: S) =>
  (value: unknown, field: string): { [K in keyof S]: ReturnType<S[K]> } => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw damaged(field, 'an object');
    }
    const read = Object.entries(shape).map(([name, check]) => {
      const own = Object.hasOwn(value, name);
      const inner = own ? (value as Record<string, unknown>)[name] : undefined;
      return [name, check(inner, `${field}.${name}`)] as const;
    });
    return Object.fromEntries(read) as { [K in keyof S]: ReturnType<S[K]> };
  };
