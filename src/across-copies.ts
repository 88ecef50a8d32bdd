import { VERSION } from './version.js';

/*
 * One process may load this package several times: as an ES module and with `require`, from a bundle and
 * beside it, or in two versions.
 */

/**
 * Has `instanceof` accept the instances that another copy's class of the same name has made.
 *
 * Classes that a caller derives keep the usual `instanceof`.
 */
export function acceptOtherCopies(classes: Readonly<Record<string, { prototype: object }>>): void {
  for (const [name, ownClass] of Object.entries(classes)) {
    const brand = Symbol.for(`bits-upload.${name}`);
    Object.defineProperty(ownClass.prototype, brand, { value: true });
    Object.defineProperty(ownClass, Symbol.hasInstance, {
      value(this: unknown, value: unknown): boolean {
        if (this !== ownClass) return Function.prototype[Symbol.hasInstance].call(this, value);
        return hasBrand(value, brand);
      },
    });
  }
}

function hasBrand(value: unknown, brand: symbol): boolean {
  try {
    return (value as { [brand]?: unknown } | null | undefined)?.[brand] === true;
  } catch {
    // What is thrown may be a proxy that throws in turn.
    return false;
  }
}

/**
 * The one object of this name that all copies of this version share; the first one makes it.
 *
 * Another version has its own: it may expect other methods.
 */
export function sharedByCopies<T extends object>(name: string, make: () => T): T {
  const key = Symbol.for(`bits-upload@${VERSION}.${name}`);
  const shared = globalThis as { [key: symbol]: unknown };
  if (shared[key] === undefined) Object.defineProperty(globalThis, key, { value: make() });
  return shared[key] as T;
}
