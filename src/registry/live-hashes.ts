/**
 * Hashes of uploads between two of their requests, so that a chunked upload is read once. They live
 * in this process only, and only so many: whoever finds none reads the bytes again at the end
 * (invariant I6).
 */
import type { ContentHash } from "./content-hash.ts";

/** Uploads between two chunks at one time. A hash's state is some hundred bytes. */
const hashesMax = 1000;

export class LiveHashes {
  readonly #hashes = new Map<string, ContentHash>();

  keep(upload: string, hash: ContentHash): void {
    this.#hashes.delete(upload);
    this.#hashes.set(upload, hash);
    if (this.#hashes.size <= hashesMax) return;
    const oldest = this.#hashes.keys().next();
    if (oldest.done !== true) this.#hashes.delete(oldest.value);
  }

  /** The upload's hash, if it stands at `offset`. */
  take(upload: string, offset: number): ContentHash | undefined {
    const hash = this.#hashes.get(upload);
    this.#hashes.delete(upload);
    return hash?.size === offset ? hash : undefined;
  }

  drop(upload: string): void {
    this.#hashes.delete(upload);
  }
}
