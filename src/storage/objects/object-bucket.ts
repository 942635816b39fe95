/**
 * What a vendor's object store can do. `object-store.ts` is the one `BlobStore` on all of them; an
 * adapter (`../s3`, `../azure`, `../gcs`) is a translation of these calls and of the vendor's
 * errors, and holds no policy: keys, tails, takeovers, retries and limits of time are not its
 * business.
 *
 * Each call is one request (or one that may be repeated as a whole), takes a signal, and is safe to
 * repeat: the same bytes go to the same place. Absent is `undefined`. Failures are `BucketError`s.
 */
import { StorageError, type ByteSpan } from "../blob-store.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface Call {
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds UTC. */
  readonly modifiedAt: number;
}

/** A page of a listing, in byte order of the keys. */
export interface ObjectPage<T> {
  readonly items: readonly T[];
  readonly more: boolean;
}

export interface PartLimits {
  /** How large parts are made, in bytes: one is being filled while another is sent. */
  readonly partBytes: number;
  /** The smallest part that may be followed by another one, in bytes. */
  readonly partBytesMin: number;
  readonly partsMax: number;
  /** How copies are made; without it 32 MiB each, 16 at a time. */
  readonly copies?: CopyLimits;
}

export interface CopyLimits {
  /** How much one `copyPart` is asked for, in bytes. */
  readonly partBytes: number;
  /** What is no larger than this is one `copyPart`. */
  readonly wholeBytesMax: number;
  /** How many `copyPart`s of one copy are on their way at a time. */
  readonly concurrency: number;
}

/** An object that is being put together from parts. */
export interface PartsTarget {
  readonly key: string;
  /** The vendor's: an S3 upload id, a prefix of Azure's block ids. */
  readonly id: string;
}

export interface CompletedPart {
  /** 1 and up. */
  readonly number: number;
  /**
   * What `putPart` answered: an ETag, a block id. It stands for these very bytes: where another
   * part was sent under the same number, before or later (a request that was given up may still
   * arrive), `completeParts` takes this one or fails.
   */
  readonly tag: string;
}

export interface StartedParts extends PartsTarget {
  /** Milliseconds UTC. */
  readonly startedAt: number;
}

/** Objects that are put together from parts. */
export interface ObjectParts {
  beginParts(key: string, call: Call): Promise<string>;

  /**
   * Sends one part. Returns its tag. `PartsUnknown`, where the vendor tells, when there is no such
   * target any more. The same holds for `copyPart`.
   */
  putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    call: Call,
  ): Promise<string>;

  /**
   * A part from the bytes of another object, without their passing through here. `undefined`: the
   * vendor cannot, and the caller sends them itself. A source that is absent is a `BucketError`.
   */
  copyPart(
    target: PartsTarget,
    number: number,
    source: { readonly key: string; readonly span: ByteSpan },
    call: Call,
  ): Promise<string | undefined>;

  /**
   * Makes the object of exactly these parts. Throws `PartsUnknown` when there is no such target:
   * completed before, aborted, or never begun; or when it has lost one of the parts. A vendor that
   * does not leave parts out throws `PartsLeftOver`, if it has more of them.
   */
  completeParts(target: PartsTarget, parts: readonly CompletedPart[], call: Call): Promise<void>;

  /** What is unknown is no error. An object that was made of it stays. */
  abortParts(target: PartsTarget, call: Call): Promise<void>;

  /** Targets that were begun and neither completed nor aborted. */
  listParts(
    prefix: string,
    after: PartsTarget | undefined,
    call: Call,
  ): Promise<ObjectPage<StartedParts>>;
}

export interface ObjectBucket extends ObjectParts {
  /** For errors, logs and metrics: `s3`, ... */
  readonly name: string;
  readonly limits: PartLimits;

  head(key: string, call: Call): Promise<ObjectInfo | undefined>;

  /**
   * The body may break off: whoever reads it counts. A chunk of it can be used until the next one
   * is asked for: its memory may be used again then. `size` is the body's. A span that begins
   * beyond the end is a `BucketError`; of one that ends beyond it the rest is cut off.
   */
  get(
    key: string,
    span: ByteSpan | undefined,
    call: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined>;

  /**
   * A whole object in one request. The pieces are not changed, and may be sent twice. When the call
   * ends, however it ends, their memory is used for something else: nothing may be sent any more
   * then. The same holds for `putPart`.
   */
  put(key: string, pieces: readonly Uint8Array[], call: Call): Promise<void>;

  /** At most 1,000. Absent ones are no error. */
  delete(keys: readonly string[], call: Call): Promise<void>;

  /** Objects whose key begins with `prefix`, after the key `after`. */
  list(prefix: string, after: string | undefined, call: Call): Promise<ObjectPage<ObjectInfo>>;

  /** A signed URL for clients, where the vendor and the configuration allow it. */
  url(key: string, method: "GET" | "HEAD"): Promise<string | undefined>;

  close(): Promise<void>;
}

/** The object store failed. `transient`: the same call may succeed a little later. */
export class BucketError extends StorageError {
  readonly transient: boolean;

  constructor(
    bucket: string,
    message: string,
    options: ErrorOptions & { readonly transient: boolean },
  ) {
    super(bucket, message, options);
    this.transient = options.transient;
  }
}

/** There is no such multipart upload (any more), or not with these parts. */
export class PartsUnknown extends StorageError {}

/**
 * The vendor makes no object of fewer parts than it has, and it has others behind those that were
 * asked for: what an append sent that came to nothing. It has made an object of all of them, which
 * begins with the bytes that were asked for.
 */
export class PartsLeftOver extends StorageError {}
