/** Names by which the server keeps statements ready: one for each text, the same everywhere. */

/**
 * Statements that each session keeps: those that are compiled once, with room to spare. Each costs
 * the server some ten KiB in each session.
 */
const namesMax = 300;

export class StatementNames {
  readonly #names = new Map<string, string>();
  readonly #enabled: boolean;

  constructor(options: { readonly enabled: boolean }) {
    this.#enabled = options.enabled;
  }

  nameOf(sql: string): string | undefined {
    if (!this.#enabled) return undefined;
    const known = this.#names.get(sql);
    if (known !== undefined) return known;
    if (this.#names.size >= namesMax) return undefined;
    const name = `longshore_${this.#names.size + 1}`;
    this.#names.set(sql, name);
    return name;
  }
}
