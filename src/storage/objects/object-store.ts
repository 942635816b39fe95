/**
 * The `BlobStore` on an object store: one for all vendors, on the port `ObjectBucket`.
 *
 * Content lies under a key that its upload made up (`keys: "commit"`): small content is put whole,
 * larger content as a multipart upload, and a commit only names what is there. With Distribution's
 * keys (`keys: "content"`) a commit copies it to Distribution's path, without its passing through
 * here; what an upload brought stays until its end.
 *
 * Conditional requests are not relied on, since half of the S3 servers in use do not have them.
 */
import type { Digest } from "../../oci/digest.ts";
import { StorageError, UploadInterrupted } from "../blob-store.ts";
import type {
  AppendOptions,
  AppendResult,
  BlobKey,
  BlobStore,
  ListedBlob,
  OpenedBlob,
  OpenOptions,
  StoredBlob,
  StoredUpload,
  StoreUpkeep,
} from "../blob-store.ts";
import type { ObjectBucket } from "./object-bucket.ts";
import type { ObjectContext } from "./object-context.ts";
import { deleteObjects } from "./object-context.ts";
import { copyObject } from "./object-copy.ts";
import { Border } from "./object-errors.ts";
import { listBlobs, listUploads } from "./object-list.ts";
import { contentKey, ObjectNames } from "./object-names.ts";
import { emptyStream, readObject, streamObject, type ObjectBody } from "./object-read.ts";
import { ObjectUpkeep } from "./object-upkeep.ts";
import { ObjectUploads } from "./object-uploads.ts";
import { PartBuffers } from "./part-buffers.ts";
import { RecentObjects } from "./recent-objects.ts";

export interface ObjectStoreOptions {
  readonly bucket: ObjectBucket;
  /** Where in the bucket everything lies; slashes around it are as good as none. */
  readonly rootDirectory?: string | undefined;
  /** A word of letters, digits, `-` and `_` that never comes again, on any node: a UUID. */
  readonly newId: () => string;
  /** Milliseconds UTC. */
  readonly now: () => number;
  /**
   * Committed content lies at Distribution's paths, so that Distribution can be started on it
   * again. Costs a copy within the backend per commit, and nothing is ever removed; see `remove`.
   */
  readonly distributionKeys?: boolean | undefined;
}

export function createObjectStore(options: ObjectStoreOptions): BlobStore {
  return new ObjectStore(options);
}

/** Content up to this size comes as bytes, as from the other stores. */
const smallBytesMax = 64 * 1024;

class ObjectStore implements BlobStore {
  readonly name: string;
  readonly keys: "content" | "commit";
  readonly upkeep: StoreUpkeep;
  readonly #ctx: ObjectContext;
  readonly #border: Border;
  readonly #uploads: ObjectUploads;

  constructor({ bucket, distributionKeys, newId, now, rootDirectory }: ObjectStoreOptions) {
    this.name = bucket.name;
    this.keys = distributionKeys === true ? "content" : "commit";
    this.#ctx = {
      bucket,
      newId,
      names: new ObjectNames(rootDirectory ?? ""),
      buffers: new PartBuffers(),
      recent: new RecentObjects(now),
    };
    this.#border = new Border(bucket.name);
    this.#uploads = new ObjectUploads(this.#ctx);
    this.upkeep = new ObjectUpkeep(this.#ctx, this.#border, this.keys);
  }

  async open(key: BlobKey, options: OpenOptions = {}): Promise<OpenedBlob | undefined> {
    const { signal } = options;
    return await this.#border.run(async () => {
      signal?.throwIfAborted();
      const found = await this.#ctx.bucket.get(this.#object(key), options.span, { signal });
      return found && (await this.#opened(found, key, options));
    }, signal);
  }

  async stat(key: BlobKey): Promise<StoredBlob | undefined> {
    const found = await this.#border.run(() => this.#ctx.bucket.head(this.#object(key), {}));
    return found && { key, size: found.size, modifiedAt: found.modifiedAt };
  }

  async url(
    key: BlobKey,
    { method }: { readonly method: "GET" | "HEAD" },
  ): Promise<string | undefined> {
    return await this.#border.run(() => this.#ctx.bucket.url(this.#object(key), method));
  }

  /**
   * A key that a commit made up is never used again, so that its deletion can come as late as it
   * likes. Content at a path that is made of its digest may be pushed again at any moment: a
   * deletion that was sent before and arrives after would take the new bytes away, and no request
   * that all vendors have is there to prevent it. So nothing is removed there.
   */
  async remove(key: BlobKey, _claim: string, confirm: () => Promise<boolean>): Promise<void> {
    const object = this.#object(key);
    if (this.keys === "content") {
      const reason = "a late deletion could take away what was pushed again";
      throw new StorageError(this.name, `nothing is removed at Distribution's keys: ${reason}`);
    }
    if (await confirm()) await this.#border.run(() => deleteObjects(this.#ctx, [object]));
  }

  list(after?: BlobKey): AsyncIterable<ListedBlob> {
    return this.#border.each(listBlobs(this.#ctx, this.keys, after));
  }

  async create(
    id: string,
    prefix?: { readonly from: StoredUpload; readonly size: number },
  ): Promise<string> {
    if (prefix === undefined) return this.#uploads.create();
    return await this.#border.run(() => this.#uploads.takeOver(id, prefix.from, prefix.size));
  }

  async append(
    upload: StoredUpload,
    body: ReadableStream<Uint8Array>,
    options: AppendOptions,
  ): Promise<AppendResult> {
    const appended = this.#border.run(() => this.#uploads.append(upload, body, options));
    const { interruption, size, state } = await appended;
    if (interruption === undefined) return { size, state };
    throw new UploadInterrupted({ size, state }, interruption);
  }

  async read(
    upload: StoredUpload,
    size: number,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    return await this.#border.run(async () => {
      signal?.throwIfAborted();
      if (size === 0) return emptyStream();
      const { object } = await this.#uploads.whole(upload, size);
      const found = await this.#ctx.bucket.get(object, { start: 0, end: size - 1 }, { signal });
      if (found?.size === size) return this.#stream(found, signal);
      await found?.body.cancel();
      throw new StorageError(this.name, "bytes that an upload had are gone");
    }, signal);
  }

  async commit(upload: StoredUpload, digest: Digest, size: number): Promise<BlobKey> {
    return await this.#border.run(async () => {
      const uploaded = this.#uploads.size(upload);
      if (uploaded !== undefined && uploaded !== size) {
        throw new StorageError(this.name, `an upload has ${uploaded} bytes and not ${size}`);
      }
      if (this.keys === "commit") return await this.#uploads.commit(upload, size);
      const key = contentKey(digest);
      const object = this.#object(key);
      const there = await this.#ctx.bucket.head(object, {});
      if (there?.size === size) return key;
      await copyObject(this.#ctx, await this.#uploads.whole(upload, size), object);
      return key;
    });
  }

  async abort(
    upload: StoredUpload,
    options: { readonly keep?: BlobKey | undefined } = {},
  ): Promise<void> {
    await this.#border.run(() => this.#uploads.abort(upload, options.keep));
  }

  listUploads(after?: string): AsyncIterable<StoredUpload & { readonly modifiedAt: number }> {
    return this.#border.each(listUploads(this.#ctx, this.keys, after));
  }

  async close(): Promise<void> {
    await this.#ctx.bucket.close();
  }

  #object(key: BlobKey): string {
    return this.#ctx.names.object(key);
  }

  /** Content of another size than is known, or than was asked for, is not what was committed. */
  async #opened(
    found: ObjectBody,
    key: BlobKey,
    { signal, size, span }: OpenOptions,
  ): Promise<OpenedBlob> {
    const expected = span === undefined ? size : span.end - span.start + 1;
    if (expected !== undefined && expected !== found.size) {
      await found.body.cancel();
      throw new StorageError(this.name, `${key} gave ${found.size} bytes and not ${expected}`);
    }
    const isSmall = found.size <= smallBytesMax;
    const body = isSmall
      ? await readObject(found, { store: this.name, signal })
      : this.#stream(found, signal);
    return { size: found.size, body };
  }

  #stream(body: ObjectBody, signal?: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>> {
    const translate = (error: unknown): unknown => this.#border.translate(error);
    return streamObject(body, { store: this.name, signal, translate });
  }
}
