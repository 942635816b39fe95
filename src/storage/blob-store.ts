/**
 * Port 1: bytes. A `BlobStore` moves bytes under keys and knows nothing of repositories, links or
 * HTTP.
 *
 * What every adapter promises (the contract suite in `contract.ts` holds each of these):
 *
 * - Absent is `undefined`; a failure of the backend throws `StorageError`, and never looks like
 *   absence.
 * - `commit` is atomic (whole or absent), durable before it resolves, and safe to repeat.
 * - Every long operation takes an `AbortSignal`, and memory does not grow with the size of the
 *   content.
 */
import type { Digest } from "../oci/digest.ts";

declare const blobKeyBrand: unique symbol;

/**
 * Where committed bytes lie. Made by `commit`, stored beside the blob's row, opaque to everyone
 * else. On the filesystem it is Distribution's path: `docker/registry/v2/blobs/<algorithm>/<first 2
 * hex>/<hex>/data`.
 */
export type BlobKey = string & { readonly [blobKeyBrand]: true };

/** Bytes `start` to `end`, both inclusive, as HTTP counts them. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

export interface OpenOptions {
  /**
   * Only these bytes. Without it: all. A span beyond the end of the content is a `StorageError`.
   */
  readonly span?: ByteSpan;
  /**
   * How large the whole content is, where the caller knows: it saves a look, and content that is
   * shorter is a `StorageError`.
   */
  readonly size?: number;
  readonly signal?: AbortSignal;
}

export interface UrlOptions {
  readonly method: "GET" | "HEAD";
  /** Who will use it: some addresses are served from elsewhere. */
  readonly clientAddress?: string | undefined;
}

/**
 * Content that was opened. Small content comes as bytes, anything larger as a byte stream
 * (`type: "bytes"`), which a caller may read into its own buffers. Cancel a stream that is not
 * read to its end, else its file stays open.
 */
export interface OpenedBlob {
  /** Bytes that `body` will give: the span's, or the whole content's. */
  readonly size: number;
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>;
}

export interface StoredBlob {
  readonly key: BlobKey;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds UTC. */
  readonly modifiedAt: number;
}

/** Committed content as a listing finds it. */
export interface ListedBlob extends StoredBlob {
  /**
   * Whose it is, as far as its key tells: the content's digest where the key is made of it, else
   * the upload that it came from.
   */
  readonly source: { readonly digest: Digest } | { readonly upload: string };
}

/** Content in nobody's hands, or in those of a remover that only stands still. */
export interface SetAside {
  readonly key: BlobKey;
  /** The content's: keys under which content is set aside are made of it. */
  readonly digest: Digest;
  readonly claim: string;
  /**
   * Takes it out of the hands of whoever set it aside, into those of `claim`; then `confirm` says
   * whether it is unwanted still, and if not it is put back, unless newer bytes lie there. Does
   * nothing where it is gone by now.
   */
  settle(claim: string, confirm: () => Promise<boolean>): Promise<void>;
}

/** What the upkeep of a store needs beside its content. */
export interface StoreUpkeep {
  /** Whether `remove` works: not where a removal that comes late could take newer bytes away. */
  readonly removes: boolean;
  /** The root's marker: which database it belongs to (invariant I4). A small text. */
  readMarker(): Promise<string | undefined>;
  /** Durable before it resolves. */
  writeMarker(text: string): Promise<void>;
  /**
   * Whether something lies in the root already that no marker speaks of: another registry's
   * content, or that of a database that was lost. Such a root is served, and nothing in it deleted.
   */
  holdsContent(): Promise<boolean>;
  /** Content that was set aside under a claim by a `remove` that did not come to its end. */
  listSetAside(): AsyncIterable<SetAside>;
}

/**
 * An upload, as a store sees it. `id` is the registry's; `state` is what the store itself returned
 * last and needs back (a file's name, a multipart upload's parts). It is kept in the metadata
 * between requests.
 */
export interface StoredUpload {
  readonly id: string;
  readonly state: string;
}

export interface AppendResult {
  /** The upload's size after this: bytes that survive a power cut. */
  readonly size: number;
  /** To be kept in place of the one before: the store may have moved the upload. */
  readonly state: string;
}

export interface AppendOptions {
  /** Where the first byte goes. Bytes that lie at or beyond it are dropped first. */
  readonly offset: number;
  readonly signal?: AbortSignal;
  /**
   * Called with each chunk once it is on its way to the store, in order, each byte once.
   * What was observed is exactly what was stored. The chunk may be reused after the call.
   */
  readonly observe?: (chunk: Uint8Array) => void;
}

export interface BlobStore {
  /** For errors, logs and metrics: `filesystem`, `memory`, ... */
  readonly name: string;

  /**
   * What a key is made of. `content`: the digest, so that the same content comes to the same key
   * again, and two may put and remove it at once. `commit`: each commit has its own, never used
   * again, so that a late removal can harm nobody.
   */
  readonly keys: "content" | "commit";

  readonly upkeep: StoreUpkeep;

  open(key: BlobKey, options?: OpenOptions): Promise<OpenedBlob | undefined>;

  stat(key: BlobKey): Promise<StoredBlob | undefined>;

  /** A URL at which a client can fetch the content itself, where the backend can sign one. */
  url(key: BlobKey, options: UrlOptions): Promise<string | undefined>;

  /**
   * Takes the bytes under `key` away, in the two steps that invariant I4 needs: they are set aside
   * under `claim`, then `confirm` says whether they are still unwanted; if not they are put back,
   * unless newer bytes lie there. What is absent is confirmed as well: its row may have to go.
   */
  remove(key: BlobKey, claim: string, confirm: () => Promise<boolean>): Promise<void>;

  /** Committed content in key order, after the key `after`. */
  list(after?: BlobKey): AsyncIterable<ListedBlob>;

  /**
   * Begins an upload; nothing need exist in the backend yet. With `prefix` the new upload starts
   * with the first `size` bytes of another one: so a writer takes over from one that may still be
   * alive elsewhere and whose late writes must land in nothing. Returns the upload's state.
   */
  create(
    id: string,
    prefix?: { readonly from: StoredUpload; readonly size: number },
  ): Promise<string>;

  /**
   * Writes `body` at `offset` and makes it durable. When `body` fails or `signal` aborts, what
   * arrived until then is made durable all the same, and `UploadInterrupted` is thrown with the
   * result.
   */
  append(
    upload: StoredUpload,
    body: ReadableStream<Uint8Array>,
    options: AppendOptions,
  ): Promise<AppendResult>;

  /**
   * Reads back what was appended: the first `size` bytes, to hash them again.
   * An upload that lost bytes is a `StorageError`.
   */
  read(
    upload: StoredUpload,
    size: number,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>>;

  /**
   * Gives the upload's `size` bytes their key. The caller has hashed them. Bytes of that size that
   * lie there already stay; bytes of another size are replaced. Where keys are made of content, the
   * upload itself stays until `abort`, so that a repeated `commit` can put the bytes back which
   * somebody removed in between.
   */
  commit(upload: StoredUpload, digest: Digest, size: number): Promise<BlobKey>;

  /**
   * Drops what the backend holds under this one state of an upload, but for what was committed
   * from it under `keep`. Without `keep` committed content may go with it, unless keys are made of
   * content. Safe to repeat.
   */
  abort(upload: StoredUpload, options?: { readonly keep?: BlobKey | undefined }): Promise<void>;

  /** Uploads that hold something in the backend, in order of their id, after the id `after`. */
  listUploads(after?: string): AsyncIterable<StoredUpload & { readonly modifiedAt: number }>;

  close(): Promise<void>;
}

/** The backend failed, or what it holds is not what was asked for. Never means "absent". */
export class StorageError extends Error {
  override readonly name: string = "StorageError";
  readonly store: string;

  constructor(store: string, message: string, options?: ErrorOptions) {
    super(`${store}: ${message}`, options);
    this.store = store;
  }
}

/** The backend does not answer, or asks to be left alone: a later try may succeed. */
export class StorageUnavailable extends StorageError {
  /** When, ms, as far as anybody knows. */
  readonly retryAfterMs: number | undefined;

  constructor(
    store: string,
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(store, message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** What an upload had acknowledged is not there any more: it can only be begun anew. */
export class UploadLost extends StorageError {}

/** The body of an `append` ended early; what had arrived is durable and is described here. */
export class UploadInterrupted extends Error {
  override readonly name = "UploadInterrupted";
  readonly result: AppendResult;

  constructor(result: AppendResult, options?: ErrorOptions) {
    super(`the upload's body ended early, after ${result.size} bytes`, options);
    this.result = result;
  }
}
