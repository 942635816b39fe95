/**
 * What clients were told, where requests may be repeated and answers lost. A request that was never
 * answered may still be on its way: what it asks for stays possible, whatever came after it.
 */
import assert from "node:assert/strict";

/** A digest, or that it is there; `undefined` where nothing is. */
export type Value = string | undefined;

export interface Entry {
  readonly kind: "manifest" | "tag";
  readonly repository: string;
  /** A digest, or a tag's name. */
  readonly name: string;
}

/** Manifests have no other value. */
export const present = "present";

export type Change = readonly [Entry, Value];

interface Known {
  readonly entry: Entry;
  /** What was acknowledged last. */
  acknowledged: Value;
  /** What requests ask for that were not answered. */
  readonly unanswered: Value[];
}

/** Each entry is changed by one client at a time. */
export class AttemptLedger {
  readonly #known = new Map<string, Known>();
  readonly #touched = new Set<Known>();

  /** To be called before each try, however often the same is asked for. */
  begin(changes: readonly Change[]): void {
    for (const [entry, value] of changes) this.#at(entry).unanswered.push(value);
  }

  /** The last try was answered: it has happened, or it never will. */
  answered(changes: readonly Change[], outcome: "done" | "refused"): void {
    for (const [entry, value] of changes) {
      const known = this.#at(entry);
      known.unanswered.splice(known.unanswered.lastIndexOf(value), 1);
      if (outcome === "done") known.acknowledged = value;
    }
  }

  /** What is known to be there; `undefined` also when nobody can know. */
  value(entry: Entry): Value {
    const { acknowledged, unanswered } = this.#at(entry);
    return unanswered.every((value) => value === acknowledged) ? acknowledged : undefined;
  }

  check(entry: Entry, found: Value): void {
    const { acknowledged, unanswered } = this.#at(entry);
    const { kind, name, repository } = entry;
    const possible = new Set([acknowledged, ...unanswered]);
    assert(
      possible.has(found),
      `${kind} ${repository} ${name} is ${found}; acknowledged was ${acknowledged}, ` +
        `and not answered ${unanswered.map(String).join(", ") || "nothing"}`,
    );
  }

  /** The entries that were touched since the last call. */
  takeTouched(): readonly Entry[] {
    const touched = [...this.#touched].map(({ entry }) => entry);
    this.#touched.clear();
    return touched;
  }

  all(): readonly Entry[] {
    return [...this.#known.values()].map(({ entry }) => entry);
  }

  #at(entry: Entry): Known {
    const key = `${entry.kind} ${entry.repository} ${entry.name}`;
    const known = this.#known.getOrInsertComputed(key, () => ({
      entry,
      acknowledged: undefined,
      unanswered: [],
    }));
    this.#touched.add(known);
    return known;
  }
}
