/** What the upkeep of a root in an object store needs. */
import type { BlobStore, SetAside, StoreUpkeep } from "../blob-store.ts";
import type { ObjectContext } from "./object-context.ts";
import type { Border } from "./object-errors.ts";
import { readObject } from "./object-read.ts";

export class ObjectUpkeep implements StoreUpkeep {
  readonly removes: boolean;
  readonly #ctx: ObjectContext;
  readonly #border: Border;

  constructor(ctx: ObjectContext, border: Border, keys: BlobStore["keys"]) {
    this.removes = keys === "commit";
    this.#ctx = ctx;
    this.#border = border;
  }

  async readMarker(): Promise<string | undefined> {
    const { bucket, names } = this.#ctx;
    return await this.#border.run(async () => {
      const found = await bucket.get(names.marker, undefined, {});
      if (found === undefined) return undefined;
      return new TextDecoder().decode(await readObject(found, { store: bucket.name }));
    });
  }

  async writeMarker(text: string): Promise<void> {
    const { bucket, names } = this.#ctx;
    await this.#border.run(() => bucket.put(names.marker, [new TextEncoder().encode(text)], {}));
  }

  async holdsContent(): Promise<boolean> {
    const { bucket, names } = this.#ctx;
    return await this.#border.run(async () => {
      for (const prefix of [names.data, names.registry]) {
        const { items } = await bucket.list(prefix, undefined, {});
        if (items.length > 0) return true;
      }
      return false;
    });
  }

  /** Content is never set aside here: its key goes, or it stays. */
  async *listSetAside(): AsyncGenerator<SetAside> {}
}
