import { BitsStoreError } from '../errors.js';

/** Reads one value of a record; `field` is its name for messages, which never repeat the value. */
export type Check<T> = (value: unknown, field: string) => T;

export function damaged(field: string, expected: string): BitsStoreError {
  return new BitsStoreError('damaged', `the job record is damaged: ${field} is not ${expected}`);
}

/** A whole number from 0 to `max`. */
export function count(max = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, field) => {
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
      throw damaged(field, `a whole number from 0 to ${max}`);
    }
    // JSON has a -0, which JSON.stringify does not write.
    return (value as number) + 0;
  };
}

export const flag: Check<boolean> = (value, field) => {
  if (typeof value !== 'boolean') throw damaged(field, 'true or false');
  return value;
};

/** Text of at most `maxLength` UTF-16 units that passes `accepts`. */
export function text(
  maxLength: number,
  expected: string,
  accepts: RegExp | ((text: string) => boolean),
): Check<string> {
  return (value, field) => {
    if (typeof value !== 'string' || value.length > maxLength) throw damaged(field, expected);
    const accepted = accepts instanceof RegExp ? accepts.test(value) : accepts(value);
    if (!accepted) throw damaged(field, expected);
    return value;
  };
}

/** One of the table's names; a table rather than a list, so that the compiler misses none. */
export function oneOf<T extends string>(names: Readonly<Record<T, true>>): Check<T> {
  return (value, field) => {
    if (typeof value !== 'string' || !Object.hasOwn(names, value)) {
      throw damaged(field, `one of ${Object.keys(names).join(', ')}`);
    }
    return value as T;
  };
}

export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, field) => (value === undefined ? undefined : check(value, field));
}

/** An object with the fields of the table; others are left out, and inherited ones do not count. */
export function fields<T extends object>(
  table: { readonly [K in keyof Required<T>]: Check<T[K]> },
): Check<T> {
  const entries = Object.entries<Check<unknown>>(table);
  return (value, field) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw damaged(field, 'an object');
    }
    const read = entries.map(([name, check]) => {
      const own = Object.hasOwn(value, name);
      const inner = own ? (value as Record<string, unknown>)[name] : undefined;
      return [name, check(inner, `${field}.${name}`)] as const;
    });
    return Object.fromEntries(read) as T;
  };
}
