import type { ByteSource, OpenSource } from './source.js';

/**
 * A source of this package, which may open without waiting.
 *
 * That is no method that others see: who wraps a source with an `open` of his own wants that to be used.
 */
export class QuickSource implements ByteSource {
  readonly name: string | undefined;
  readonly open: ByteSource['open'];
  readonly #open: ByteSource['open'];
  readonly #openAtOnce: () => OpenSource | undefined;

  /** @param openAtOnce gives undefined when `open` has to be asked, which tells what is wrong, too. */
  constructor(
    name: string | undefined,
    open: ByteSource['open'],
    openAtOnce: () => OpenSource | undefined,
  ) {
    this.name = name;
    this.open = open;
    this.#open = open;
    this.#openAtOnce = openAtOnce;
  }

  /** Undefined: `open` has to be asked. */
  static openAtOnce(source: ByteSource): OpenSource | undefined {
    return #open in source && source.open === source.#open ? source.#openAtOnce() : undefined;
  }
}
