import type { Origin, UploadRecord } from "../metadata/records.ts";
/**
 * Pushing blobs: an upload begins, grows, and becomes a blob. spec: end-4, end-5, end-6, end-13,
 * end-14.
 *
 * Order of a commit (invariants I1, I4): the bytes are durable; they get their key; the metadata
 * says so, durably; it is seen that they still lie there; only then is the client told, and the
 * upload's own hold on them let go.
 */
import { algorithmOf, type Digest } from "../oci/digest.ts";
import { OciError } from "../oci/errors.ts";
import type { RepositoryName } from "../oci/names.ts";
import type { ByteSpan } from "../oci/range.ts";
import {
  UploadInterrupted,
  UploadLost,
  type BlobKey,
  type StoredUpload,
} from "../storage/blob-store.ts";
import { ContentHash } from "./content-hash.ts";
import type { RegistryContext } from "./context.ts";
import { LiveHashes } from "./live-hashes.ts";
import { UploadConflict, uploadUnknown } from "./upload-errors.ts";
import { leaseLost, UploadWriters, type UploadLease } from "./upload-writers.ts";

/** Where an upload stands. */
export interface UploadProgress {
  readonly id: string;
  /** Bytes received. */
  readonly offset: number;
}

export interface UploadTarget {
  readonly repository: RepositoryName;
  readonly id: string;
}

/** A request's body, with what its headers say about it. */
export interface UploadBody {
  readonly stream: ReadableStream<Uint8Array> | null;
  /** From Content-Range: where the client believes this chunk to lie. */
  readonly span?: ByteSpan | undefined;
  /** From the upload's URL: where the upload ended when the client was told of it. */
  readonly expectedOffset?: number | undefined;
  readonly signal: AbortSignal;
}

/** How often bytes that a collector takes away are put back in one commit. Once is rare enough. */
const commitTriesMax = 5;

export class Uploads {
  readonly #ctx: RegistryContext;
  readonly #writers: UploadWriters;
  readonly #hashes = new LiveHashes();

  constructor(ctx: RegistryContext) {
    this.#ctx = ctx;
    this.#writers = new UploadWriters(ctx);
  }

  /** Begins an upload whose content will be asked for by `algorithm`. */
  async create(repository: RepositoryName, algorithm: string): Promise<UploadProgress> {
    const { metadata, store, newId } = this.#ctx;
    const id = newId();
    const state = await store.create(id);
    await metadata.execute("createUpload", { repository, id, algorithm, state });
    return { id, offset: 0 };
  }

  async status({ repository, id }: UploadTarget): Promise<UploadProgress> {
    const upload = await this.#ctx.metadata.findUpload(repository, id);
    if (upload === undefined) throw uploadUnknown(id);
    return { id, offset: upload.offset };
  }

  /**
   * Appends a chunk, or a stream of unknown length. What arrived before a broken connection is
   * kept.
   */
  async append(target: UploadTarget, body: UploadBody): Promise<UploadProgress> {
    return await this.#writers.write(target, body.signal, async (lease) => {
      const hash = this.#resumeHash(lease.record, lease.record.algorithm);
      return await this.#append(lease, body, hash, "release");
    });
  }

  /** The last chunk, if there is one, and the end of the upload. */
  async finish(
    target: UploadTarget,
    digest: Digest,
    body: UploadBody,
    origin: Origin,
  ): Promise<void> {
    await this.#writers.write(target, body.signal, (lease) =>
      this.#finish(lease, digest, body, origin),
    );
  }

  /** An upload in one request. */
  async push(
    repository: RepositoryName,
    digest: Digest,
    body: UploadBody,
    origin: Origin,
  ): Promise<void> {
    const { metadata, newId, settings, store, writer } = this.#ctx;
    const id = newId();
    const record = await metadata.execute("createUpload", {
      repository,
      id,
      algorithm: algorithmOf(digest),
      state: await store.create(id),
      writer,
      leaseMs: settings.uploadLeaseMs,
    });
    await this.#writers.writeNew(record, body.signal, async (lease) => {
      try {
        await this.#finish(lease, digest, body, origin);
      } catch (error) {
        // Nobody knows this upload's id: what is left of it is of no use.
        await this.#discard(lease.record, lease.stored);
        throw error;
      }
    });
  }

  async cancel({ repository, id }: UploadTarget): Promise<void> {
    await this.#writers.stop(id);
    const upload = await this.#ctx.metadata.findUpload(repository, id);
    if (upload === undefined) throw uploadUnknown(id);
    const done = await this.#ctx.metadata.execute("deleteUpload", { repository, id });
    if (done.outcome === "unknown") throw uploadUnknown(id);
    this.#hashes.drop(id);
    await this.#ctx.store.abort({ id, state: upload.state });
  }

  async #finish(
    lease: UploadLease,
    digest: Digest,
    body: UploadBody,
    origin: Origin,
  ): Promise<void> {
    const { record } = lease;
    const algorithm = algorithmOf(digest);
    let stored = lease.stored;
    let size = record.offset;
    let known = record.digestsSoFar;
    checkStart(record, body);
    // Without digests there may be more bytes in the store than were acknowledged: they are cut
    // off.
    if (body.stream !== null || size === 0 || known.length === 0) {
      const hash = this.#resumeHash(record, algorithm);
      const appended = await this.#append(lease, body, hash, "keep");
      size = appended.offset;
      stored = { id: record.id, state: appended.state };
      known = appended.digests;
    }
    const digests = await this.#digests(lease, stored, { size, known, algorithm });
    if (!digests.includes(digest)) {
      await this.#discard(record, stored);
      throw new OciError("DIGEST_INVALID", { detail: { expected: digest, actual: digests } });
    }
    await this.#commit(lease, stored, { size, digests, origin });
  }

  async #commit(
    lease: UploadLease,
    stored: StoredUpload,
    content: {
      readonly size: number;
      readonly digests: readonly Digest[];
      readonly origin: Origin;
    },
  ): Promise<void> {
    const { metadata, settings, store } = this.#ctx;
    const { digests, origin, size } = content;
    const canonical = digests.find((digest) => algorithmOf(digest) === "sha256");
    if (canonical === undefined) throw new Error("content without a sha256 digest");
    const command = {
      id: lease.record.id,
      epoch: lease.epoch,
      digest: canonical,
      aliases: digests.filter((digest) => digest !== canonical),
      size,
      graceMs: settings.graceMs,
      origin,
    };
    const known = await this.#knownContent(canonical, size);
    let key = known ?? (await this.#storeCommit(lease, stored, canonical, size));
    let done = await metadata.execute("commitUpload", {
      ...command,
      key,
      reuse: known !== undefined,
    });
    if (done.outcome === "moved") {
      key = await this.#storeCommit(lease, stored, canonical, size);
      done = await metadata.execute("commitUpload", { ...command, key, reuse: false });
    }
    if (done.outcome !== "committed") throw leaseLost(lease.record);
    this.#hashes.drop(lease.record.id);
    if (store.keys === "content") await this.#seeInPlace(stored, canonical, { key, size });
    await this.#dropRest(stored, key);
  }

  /** The push has succeeded: what cannot be dropped now is the sweeper's, and no failure of it. */
  async #dropRest(stored: StoredUpload, keep: BlobKey): Promise<void> {
    const { report, store } = this.#ctx;
    try {
      await store.abort(stored, { keep });
    } catch (error) {
      report(`what is left of upload ${stored.id} could not be dropped`, error);
    }
  }

  /**
   * Where the same content lies already, seen to be there and whole (invariant I1): then the
   * upload's own bytes are not needed. Content of a wrong size is replaced by them.
   */
  async #knownContent(digest: Digest, size: number): Promise<BlobKey | undefined> {
    const { metadata, store } = this.#ctx;
    const known = await metadata.findBlobAnywhere(digest);
    if (known?.size !== size) return undefined;
    return (await store.stat(known.key))?.size === size ? known.key : undefined;
  }

  /**
   * Under a key that others put and remove, too: the bytes are seen there after the row says so,
   * and are put back where a collector that came too late has taken them.
   */
  async #seeInPlace(
    stored: StoredUpload,
    digest: Digest,
    { key, size }: { readonly key: BlobKey; readonly size: number },
  ): Promise<void> {
    const { metadata, store } = this.#ctx;
    for (let tries = 0; (await store.stat(key))?.size !== size; tries += 1) {
      if (tries === commitTriesMax) throw new Error(`the bytes of ${digest} do not stay`);
      try {
        await store.commit(stored, digest, size);
      } catch (error) {
        // A row without bytes must not be promised to anybody: the next push heals it.
        if (error instanceof UploadLost) await this.#callMissing(digest);
        throw error;
      }
      // A reader may have called them missing in between, and a collector have claimed the row.
      await metadata.execute("confirmBlob", { digest, key });
    }
  }

  async #callMissing(digest: Digest): Promise<void> {
    const { metadata } = this.#ctx;
    const record = await metadata.findBlobAnywhere(digest);
    if (record === undefined) return;
    const { blobId, verifiedAt } = record;
    await metadata.execute("markBlobMissing", { blobId, verifiedAt });
  }

  /**
   * A writer that was stopped past its lease finds its bytes gone: that is a conflict, not a
   * failure.
   */
  async #storeCommit(
    lease: UploadLease,
    stored: StoredUpload,
    digest: Digest,
    size: number,
  ): ReturnType<RegistryContext["store"]["commit"]> {
    try {
      return await this.#ctx.store.commit(stored, digest, size);
    } catch (error) {
      throw await this.#lostOr(lease, error);
    }
  }

  async #lostOr(lease: UploadLease, error: unknown): Promise<unknown> {
    return (await this.#writers.renew(lease)) ? error : leaseLost(lease.record);
  }

  /** Appends a body and records it. A body that ends early leaves a valid upload, and is thrown. */
  async #append(
    lease: UploadLease,
    body: UploadBody,
    hash: ContentHash | undefined,
    next: "keep" | "release",
  ): Promise<UploadProgress & { readonly state: string; readonly digests: readonly Digest[] }> {
    const { record, signal, stored } = lease;
    const offset = record.offset;
    checkStart(record, body);
    this.#hashes.drop(record.id);
    let interrupted: UploadInterrupted | undefined;
    let result;
    try {
      result = await this.#ctx.store.append(stored, body.stream ?? emptyStream(), {
        offset,
        signal,
        ...(hash === undefined ? {} : { observe: (chunk) => hash.update(chunk) }),
      });
    } catch (error) {
      if (!(error instanceof UploadInterrupted)) {
        // Some of the bytes may lie in the store all the same.
        const { state } = stored;
        await this.#writers.save(lease, { offset, digestsSoFar: [], state }, "release");
        throw error;
      }
      interrupted = error;
      result = error.result;
    }
    const { state, size } = result;
    const promised = body.span;
    if (interrupted === undefined && promised !== undefined && size - 1 !== promised.end) {
      await this.#writers.save(lease, { offset, digestsSoFar: [], state }, "release");
      throw new OciError("SIZE_INVALID", {
        detail: { expected: promised, received: size - offset },
      });
    }
    const unchanged = size === offset ? record.digestsSoFar : [];
    const digests = hash?.size === size ? hash.digests() : unchanged;
    const afterwards = interrupted === undefined ? next : "release";
    await this.#writers.save(lease, { offset: size, digestsSoFar: digests, state }, afterwards);
    if (hash?.size === size) this.#hashes.keep(record.id, hash);
    if (interrupted === undefined) return { id: record.id, offset: size, state, digests };
    throw interruption(record, size, interrupted.cause);
  }

  /**
   * The hash of everything before `offset`, when it is at hand: none means a second reading at the
   * end.
   */
  #resumeHash(record: UploadRecord, algorithm: string): ContentHash | undefined {
    if (record.offset === 0) return new ContentHash([record.algorithm, algorithm]);
    return this.#hashes.take(record.id, record.offset);
  }

  /** The content's digests: those at hand, or those of the bytes that lie in the store. */
  async #digests(
    lease: UploadLease,
    stored: StoredUpload,
    content: {
      readonly size: number;
      readonly known: readonly Digest[];
      readonly algorithm: string;
    },
  ): Promise<readonly Digest[]> {
    const { algorithm, known, size } = content;
    const { record, signal } = lease;
    if (known.some((digest) => algorithmOf(digest) === algorithm)) return known;
    const hash = new ContentHash([algorithm]);
    try {
      const stream = await this.#ctx.store.read(stored, size, signal);
      for await (const chunk of stream) hash.update(chunk);
    } catch (error) {
      if (signal.aborted) throw interruption(record, size, signal.reason);
      throw await this.#lostOr(lease, error);
    }
    return hash.digests();
  }

  /** Forgets an upload that can come to nothing. */
  async #discard(record: UploadRecord, stored: StoredUpload): Promise<void> {
    const { metadata, report, store } = this.#ctx;
    const { id, repository, writerEpoch: epoch } = record;
    this.#hashes.drop(id);
    try {
      const done = await metadata.execute("deleteUpload", { repository, id, epoch });
      // Whoever has taken it over in the meantime may still need the bytes.
      if (done.outcome === "deleted") await store.abort(stored);
    } catch (error) {
      report(`upload ${id} could not be discarded`, error);
    }
  }
}

/** Chunks come in order, and the URL that a client was given last is the one that counts. */
function checkStart(record: UploadRecord, body: UploadBody): void {
  const start = body.span?.start ?? body.expectedOffset ?? record.offset;
  const expected = body.expectedOffset ?? record.offset;
  if (start === record.offset && expected === record.offset) return;
  throw new UploadConflict(
    `the upload stands at ${record.offset}, the chunk begins elsewhere`,
    record,
  );
}

/** Why a writer did not come to its end: its client has gone, or another writer has come. */
function interruption(record: UploadRecord, offset: number, reason: unknown): Error {
  if (reason instanceof OciError) return reason;
  const message = "the request ended early; what arrived is kept";
  return new UploadConflict(message, { id: record.id, offset });
}

function emptyStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}
