/** The border between a bucket and a store: its errors become the port's. */
import { StorageUnavailable } from "../blob-store.ts";
import { BucketError } from "./object-bucket.ts";

export class Border {
  readonly #store: string;

  constructor(store: string) {
    this.#store = store;
  }

  /** Runs `work`. When `signal` was aborted its reason is thrown, whatever the bucket said. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw this.translate(error);
    }
  }

  async *each<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* items;
    } catch (error) {
      throw this.translate(error);
    }
  }

  /** A bucket that may answer later is `StorageUnavailable`; anything else stays what it is. */
  translate(error: unknown): unknown {
    if (!(error instanceof BucketError) || !error.transient) return error;
    return new StorageUnavailable(this.#store, "the object store does not answer as it should", {
      cause: error,
    });
  }
}
