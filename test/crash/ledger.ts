/** What clients were told, and so what has to be true after a crash. */
import assert from "node:assert/strict";

/** A digest, or that it is there; `undefined` where nothing is. */
export type Value = string | undefined;

export interface Entry {
  readonly kind: "blob" | "manifest" | "tag";
  readonly repository: string;
  /** A digest, or a tag's name. */
  readonly name: string;
}

/** Blobs and manifests have no other value. */
export const present = "present";

interface Known {
  readonly entry: Entry;
  /** One after an answer; more while a change is on its way, or was when the server died. */
  possible: Set<Value>;
}

/** Each entry is changed by one client at a time, except that several may add the same blob. */
export class Ledger {
  readonly #known = new Map<string, Known>();
  readonly #touched = new Set<Known>();

  /** Changes were asked for: from now on each may have happened, or not. */
  begin(changes: readonly (readonly [Entry, Value])[]): void {
    for (const [entry, value] of changes) this.#at(entry).possible.add(value);
  }

  /** They were acknowledged: they have happened. */
  done(changes: readonly (readonly [Entry, Value])[]): void {
    for (const [entry, value] of changes) this.#at(entry).possible = new Set([value]);
  }

  /** What is known to be there; `undefined` also when nobody can know. */
  value(entry: Entry): Value {
    const { possible } = this.#at(entry);
    return possible.size === 1 ? [...possible][0] : undefined;
  }

  /** Compares an entry with what was found, which then is what is known. */
  settle(entry: Entry, found: Value): void {
    const known = this.#at(entry);
    const { kind, name, repository } = entry;
    const wanted = [...known.possible].join(" or ");
    assert(
      known.possible.has(found),
      `${kind} ${repository} ${name} is ${found}, and should be ${wanted}`,
    );
    known.possible = new Set([found]);
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
    let known = this.#known.get(key);
    if (known === undefined) {
      known = { entry, possible: new Set([undefined]) };
      this.#known.set(key, known);
    }
    this.#touched.add(known);
    return known;
  }
}

/** A blob that is pushed in chunks, between its first request and its last answer. */
export interface PendingUpload {
  readonly repository: string;
  readonly location: string;
  readonly content: Uint8Array;
  /** Bytes that the registry has said it has. */
  acknowledged: number;
  /** Whether the request that ends it was sent. */
  isEnding: boolean;
}
