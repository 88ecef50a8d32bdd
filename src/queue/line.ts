/**
 * The priorities of Windows BITS, the first one first. A `foreground` job, for which a user waits,
 * suspends a running `low` one when there is no place for it.
 */
export const PRIORITIES = ['foreground', 'high', 'normal', 'low'] as const;

/** When a job of a queue has its turn: `foreground` first, `low` last. */
export type Priority = (typeof PRIORITIES)[number];

/** What is to be done next with one of those in the line. */
export type Turn<T> = { readonly type: 'start' | 'suspend'; readonly item: T };

type Place = 'waiting' | 'interrupted' | 'running' | 'stopping';

/**
 * Who comes next: by priority, then in the order in which they came; no I/O, no clock.
 *
 * Each item is in one place. `waiting` → `running` → gone; `running` → `stopping` → `interrupted` →
 * `running` for one that made room. An interrupted item comes before the waiting ones of its priority.
 */
export class Line<T> {
  readonly #places: Record<Place, Record<Priority, Set<T>>> = {
    waiting: sets(),
    interrupted: sets(),
    running: sets(),
    stopping: sets(),
  };
  readonly #whereabouts = new Map<T, { readonly place: Place; readonly priority: Priority }>();

  get isEmpty(): boolean {
    return this.#whereabouts.size === 0;
  }

  placeOf(item: T): Place | undefined {
    return this.#whereabouts.get(item)?.place;
  }

  count(place: Place): number {
    return PRIORITIES.reduce((sum, priority) => sum + this.#places[place][priority].size, 0);
  }

  add(item: T, priority: Priority): void {
    this.#put(item, 'waiting', priority);
  }

  /** Takes an item out of the line. */
  remove(item: T): void {
    const found = this.#whereabouts.get(item);
    if (found === undefined) return;
    this.#places[found.place][found.priority].delete(item);
    this.#whereabouts.delete(item);
  }

  /** Moves an item that is in the line already. */
  move(item: T, place: Place): void {
    const { priority } = this.#whereabouts.get(item) ?? {};
    if (priority === undefined) return;
    this.remove(item);
    this.#put(item, place, priority);
  }

  all(place: Place): T[] {
    return PRIORITIES.flatMap((priority) => [...this.#places[place][priority]]);
  }

  /**
   * The next thing to do, which the line then takes as done; undefined: nothing.
   * @param limit how many may run at once; those that run already are not stopped for it
   * @param mayStart whether nothing else holds an item back
   */
  next(limit: number, mayStart: (item: T) => boolean): Turn<T> | undefined {
    const stopping = this.count('stopping');
    if (this.count('running') + stopping < limit) {
      const item = this.#first(mayStart);
      return item === undefined ? undefined : this.#take('start', item, 'running');
    }
    const victim = [...this.#places.running.low].at(-1);
    if (victim === undefined) return undefined;
    const urgent = this.#candidates('foreground').filter(mayStart);
    // Those that are stopping make room for as many already.
    if (urgent.length <= stopping) return undefined;
    return this.#take('suspend', victim, 'stopping');
  }

  #take(type: Turn<T>['type'], item: T, place: Place): Turn<T> {
    this.move(item, place);
    return { type, item };
  }

  #first(mayStart: (item: T) => boolean): T | undefined {
    for (const priority of PRIORITIES) {
      for (const place of ['interrupted', 'waiting'] as const) {
        for (const item of this.#places[place][priority]) if (mayStart(item)) return item;
      }
    }
    return undefined;
  }

  #candidates(priority: Priority): T[] {
    return [...this.#places.interrupted[priority], ...this.#places.waiting[priority]];
  }

  #put(item: T, place: Place, priority: Priority): void {
    this.#places[place][priority].add(item);
    this.#whereabouts.set(item, { place, priority });
  }
}

function sets<T>(): Record<Priority, Set<T>> {
  return { foreground: new Set(), high: new Set(), normal: new Set(), low: new Set() };
}
