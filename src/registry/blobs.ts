import type { BlobRecord, Origin } from "../metadata/records.ts";
/** Pulling, checking, mounting and deleting blobs. spec: end-2, end-10, end-11. */
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/errors.ts";
import type { RepositoryName } from "../oci/names.ts";
import {
  StorageError,
  StorageUnavailable,
  type BlobKey,
  type ByteSpan,
  type OpenedBlob,
  type UrlOptions,
} from "../storage/blob-store.ts";
import type { RegistryContext } from "./context.ts";
import { promiseBlob } from "./promises.ts";

/** A blob that a repository may serve. */
export interface Blob {
  readonly repository: RepositoryName;
  /** The digest it was asked for by; its content has others too. */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly key: BlobKey;
}

export class Blobs {
  readonly #ctx: RegistryContext;

  constructor(ctx: RegistryContext) {
    this.#ctx = ctx;
  }

  /** What a pull is about to read. Nothing is promised. */
  async find(repository: RepositoryName, digest: Digest): Promise<Blob> {
    return toBlob(repository, digest, await this.#record(repository, digest));
  }

  /** Whether the blob is there, as a promise that it stays for the grace (invariant I4). */
  async check(repository: RepositoryName, digest: Digest): Promise<Blob> {
    const record = await this.#record(repository, digest);
    if (!(await promiseBlob(this.#ctx, record))) throw blobUnknown(digest);
    return toBlob(repository, digest, record);
  }

  /**
   * Where a client can fetch the blob from the storage itself, if anywhere. Nobody looks whether
   * the bytes are there: that would be a request to the storage for each pull, where signing costs
   * none, and a client that is sent to lost bytes gets its 404 from the storage. It pushes again
   * then, and a commit looks before it relies on what lies there (invariant I1).
   */
  async link(blob: Blob, options: UrlOptions): Promise<string | undefined> {
    return await this.#ctx.store.url(blob.key, options);
  }

  /**
   * Opens a blob's bytes, or a span of them. A row whose bytes are gone is looked at once more,
   * since a committer or a collector may be moving them; then it is `missing`, so that the next
   * push brings them back.
   */
  async open(
    blob: Blob,
    options: { readonly span?: ByteSpan; readonly signal: AbortSignal },
  ): Promise<OpenedBlob> {
    const opened = await this.#openUsable(blob, options);
    if (opened !== undefined) return opened;
    const record = await this.#record(blob.repository, blob.digest);
    const again = await this.#openUsable(record, options);
    if (again !== undefined) return again;
    const { blobId, verifiedAt } = record;
    await this.#ctx.metadata.execute("markBlobMissing", { blobId, verifiedAt });
    this.#ctx.report(`the bytes of blob ${record.digest} are missing`, undefined);
    throw blobUnknown(blob.digest);
  }

  /** Content of a wrong size is as good as none: a push of the same content replaces it. */
  async #openUsable(
    { key, size }: { readonly key: BlobKey; readonly size: number },
    options: { readonly span?: ByteSpan; readonly signal: AbortSignal },
  ): Promise<OpenedBlob | undefined> {
    const { store } = this.#ctx;
    try {
      return await store.open(key, { ...options, size });
    } catch (error) {
      // A store that does not answer would not answer another question either.
      if (!(error instanceof StorageError) || error instanceof StorageUnavailable) throw error;
      const stored = await store.stat(key);
      if (stored?.size === size) throw error;
      return undefined;
    }
  }

  /** Links a blob from another repository, or from any. `undefined` when it cannot be mounted. */
  async mount(
    repository: RepositoryName,
    mount: { readonly digest: Digest; readonly from?: RepositoryName; readonly origin: Origin },
  ): Promise<Blob | undefined> {
    const { metadata, store, settings } = this.#ctx;
    const { digest, from, origin } = mount;
    const source =
      from === undefined
        ? await metadata.findBlobAnywhere(digest)
        : await metadata.findBlob(from, digest);
    if (source === undefined) return undefined;
    // A mount relies on bytes that nobody has read for long: it looks before it promises (invariant
    // I1).
    const stored = await store.stat(source.key);
    if (stored?.size !== source.size) return undefined;
    const mounted = await metadata.execute("mountBlob", {
      repository,
      digest,
      graceMs: settings.graceMs,
      origin,
      ...(from === undefined ? {} : { from }),
    });
    return mounted.outcome === "mounted" ? toBlob(repository, digest, mounted.blob) : undefined;
  }

  async delete(repository: RepositoryName, digest: Digest, origin: Origin): Promise<void> {
    const { metadata, settings } = this.#ctx;
    if (!settings.deleteEnabled) throw deletionDisabled();
    const done = await metadata.execute("deleteBlob", {
      repository,
      digest,
      force: settings.deleteReferenced === "allow",
      graceMs: settings.graceMs,
      origin,
    });
    if (done.outcome === "unknown") throw blobUnknown(digest);
    if (done.outcome === "referenced") throw stillReferenced("blob", done.manifests);
  }

  async #record(repository: RepositoryName, digest: Digest): Promise<BlobRecord> {
    const record = await this.#ctx.metadata.findBlob(repository, digest);
    if (record === undefined) throw blobUnknown(digest);
    return record;
  }
}

function toBlob(repository: RepositoryName, digest: Digest, record: BlobRecord): Blob {
  return { repository, digest, size: record.size, key: record.key };
}

function blobUnknown(digest: Digest): OciError {
  return new OciError("BLOB_UNKNOWN", { detail: digest });
}

export function deletionDisabled(): OciError {
  return new OciError("UNSUPPORTED", {
    message: "deletion is switched off; storage.delete.enabled switches it on",
  });
}

/** Deleting it would leave manifests that refer to nothing (invariant I2). */
export function stillReferenced(what: "blob" | "manifest", manifests: readonly Digest[]): OciError {
  return new OciError("UNSUPPORTED", {
    message: `the ${what} is in use: delete the manifests that refer to it first`,
    detail: { manifests },
  });
}
