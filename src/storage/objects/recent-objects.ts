/** Objects that this process has made itself, and so need not look for. */

/** How long what one has made is believed to be there, in milliseconds: a push takes minutes. */
const believedMs = 10 * 60 * 1000;
/** Each takes some 200 bytes. */
const entriesMax = 4096;

/**
 * Small content is whole before its commit, which then need not ask anybody. But a database that
 * came back from a power cut may lead to a state whose object is superseded and gone: whoever did
 * not make the object a moment ago looks.
 */
export class RecentObjects {
  readonly #now: () => number;
  readonly #made = new Map<string, { readonly size: number; readonly until: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(object: string, size: number): void {
    this.#made.delete(object);
    this.#made.set(object, { size, until: this.#now() + believedMs });
    if (this.#made.size <= entriesMax) return;
    for (const oldest of this.#made.keys()) {
      this.#made.delete(oldest);
      return;
    }
  }

  forget(objects: readonly string[]): void {
    for (const object of objects) this.#made.delete(object);
  }

  has(object: string, size: number): boolean {
    const made = this.#made.get(object);
    return made?.size === size && made.until > this.#now();
  }
}
