/**
 * Hashes content while it streams by: sha256 always, since it is the content's name here; others
 * where asked for.
 */
import { createHash, type Hash } from "node:crypto";
import {
  digestAlgorithms,
  digestOf,
  isDigestAlgorithm,
  type Digest,
  type DigestAlgorithm,
} from "../oci/digest.ts";

export class ContentHash {
  readonly #hashes: ReadonlyMap<DigestAlgorithm, Hash>;
  #size = 0;

  constructor(algorithms: Iterable<string>) {
    const wanted = new Set<DigestAlgorithm>(["sha256"]);
    for (const name of algorithms) if (isDigestAlgorithm(name)) wanted.add(name);
    const ordered = digestAlgorithms.filter((algorithm) => wanted.has(algorithm));
    this.#hashes = new Map(ordered.map((algorithm) => [algorithm, createHash(algorithm)]));
  }

  /** Bytes hashed so far. */
  get size(): number {
    return this.#size;
  }

  covers(algorithm: DigestAlgorithm): boolean {
    return this.#hashes.has(algorithm);
  }

  update(chunk: Uint8Array): void {
    this.#size += chunk.byteLength;
    for (const hash of this.#hashes.values()) hash.update(chunk);
  }

  /** Digests of everything so far; more may follow. */
  digests(): readonly Digest[] {
    return [...this.#hashes].map(([algorithm, hash]) =>
      digestOf(algorithm, hash.copy().digest("hex")),
    );
  }
}
