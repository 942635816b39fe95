/**
 * Stands between the registry and an object store that is slow, or fails: each call has a time
 * limit, is made again where that may help, and is refused at once while the store is down.
 *
 * - Made again are calls that timed out or failed with `BucketError.transient`; every call is safe
 *   to repeat. `PartsUnknown`, absence, and what the store refuses are answers.
 * - A limit grows with the bytes that are sent (`bytesPerSecondMin`): what goes on slowly is not
 *   cut off, what hangs is.
 * - The pauses between tries are random (full jitter), the tries of all calls together are limited
 *   (`RetryBudget`), and so is the time of each call as a whole.
 * - A body that breaks off or stalls is taken up again where it stood.
 * - When it has come to nothing: `StorageUnavailable`, which says when to come back.
 *
 * A `completeParts` whose answer was lost is answered with `PartsUnknown` when it is made again,
 * and so it is thrown: whether the object at the key is the right one is told by its size, which
 * only the caller knows (another node may have completed the target with fewer parts, having taken
 * the upload over). A `beginParts` whose answer was lost leaves a target behind that nobody knows:
 * the sweeper finds it by `listParts`.
 */
import type { ByteSpan } from "../blob-store.ts";
import type {
  Call,
  CompletedPart,
  ObjectBucket,
  ObjectInfo,
  ObjectPage,
  PartLimits,
  PartsTarget,
  StartedParts,
} from "./object-bucket.ts";
import { resumable, type OpenedBody } from "./resilient-bucket-body.ts";
import {
  defaultResilience,
  type BucketObserver,
  type BucketOperation,
  type ResilienceSettings,
  type Timing,
} from "./resilient-bucket-settings.ts";
import { Tries } from "./resilient-bucket-tries.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface ResilienceOptions {
  readonly timing: Timing;
  readonly settings?: Partial<ResilienceSettings> | undefined;
  readonly observer?: BucketObserver | undefined;
}

export function makeResilient(bucket: ObjectBucket, options: ResilienceOptions): ObjectBucket {
  return new ResilientBucket(bucket, options);
}

class ResilientBucket implements ObjectBucket {
  readonly name: string;
  readonly limits: PartLimits;
  readonly #bucket: ObjectBucket;
  readonly #tries: Tries;
  readonly #settings: ResilienceSettings;

  constructor(bucket: ObjectBucket, { observer, settings, timing }: ResilienceOptions) {
    this.name = bucket.name;
    this.limits = bucket.limits;
    this.#bucket = bucket;
    this.#settings = { ...defaultResilience, ...settings };
    this.#tries = new Tries(bucket.name, { settings: this.#settings, timing, observer });
  }

  head(key: string, call: Call): Promise<ObjectInfo | undefined> {
    return this.#run("head", call, (inner) => this.#bucket.head(key, inner));
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    { signal }: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    const first = await this.#open(key, span, signal);
    if (first === undefined) return undefined;
    const reopen = (rest: ByteSpan): Promise<OpenedBody | undefined> =>
      this.#open(key, rest, signal);
    const start = span?.start ?? 0;
    const store = this.name;
    const body = resumable(this.#tries, { store, key, start, first, signal, reopen });
    return { size: first.size, body };
  }

  put(key: string, pieces: readonly Uint8Array[], call: Call): Promise<void> {
    return this.#send("put", call, pieces, (inner) => this.#bucket.put(key, pieces, inner));
  }

  delete(keys: readonly string[], call: Call): Promise<void> {
    const limitMs = this.#settings.slowAttemptMs;
    return this.#run("delete", call, (inner) => this.#bucket.delete(keys, inner), limitMs);
  }

  list(prefix: string, after: string | undefined, call: Call): Promise<ObjectPage<ObjectInfo>> {
    const limitMs = this.#settings.slowAttemptMs;
    return this.#run("list", call, (inner) => this.#bucket.list(prefix, after, inner), limitMs);
  }

  /** Signing is done here, but for the credentials, which may have to be fetched. */
  url(key: string, method: "GET" | "HEAD"): Promise<string | undefined> {
    return this.#tries.run({
      operation: "url",
      limitMs: this.#settings.attemptMs,
      signal: undefined,
      isLocal: true,
      attempt: () => this.#bucket.url(key, method),
    });
  }

  beginParts(key: string, call: Call): Promise<string> {
    return this.#run("beginParts", call, (inner) => this.#bucket.beginParts(key, inner));
  }

  putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    call: Call,
  ): Promise<string> {
    const send = (inner: Call): Promise<string> =>
      this.#bucket.putPart(target, number, pieces, inner);
    return this.#send("putPart", call, pieces, send);
  }

  copyPart(
    target: PartsTarget,
    number: number,
    source: { readonly key: string; readonly span: ByteSpan },
    call: Call,
  ): Promise<string | undefined> {
    const { end, start } = source.span;
    const seconds = (end - start + 1) / this.#settings.copyBytesPerSecondMin;
    const copy = (inner: Call): Promise<string | undefined> =>
      this.#bucket.copyPart(target, number, source, inner);
    return this.#run("copyPart", call, copy, this.#settings.attemptMs + seconds * 1000);
  }

  completeParts(target: PartsTarget, parts: readonly CompletedPart[], call: Call): Promise<void> {
    const complete = (inner: Call): Promise<void> =>
      this.#bucket.completeParts(target, parts, inner);
    return this.#run("completeParts", call, complete, this.#settings.completeMs);
  }

  abortParts(target: PartsTarget, call: Call): Promise<void> {
    return this.#run("abortParts", call, (inner) => this.#bucket.abortParts(target, inner));
  }

  listParts(
    prefix: string,
    after: PartsTarget | undefined,
    call: Call,
  ): Promise<ObjectPage<StartedParts>> {
    const list = (inner: Call): Promise<ObjectPage<StartedParts>> =>
      this.#bucket.listParts(prefix, after, inner);
    return this.#run("listParts", call, list, this.#settings.slowAttemptMs);
  }

  close(): Promise<void> {
    return this.#bucket.close();
  }

  #run<T>(
    operation: BucketOperation,
    { signal }: Call,
    attempt: (call: Call) => Promise<T>,
    limitMs: number = this.#settings.attemptMs,
  ): Promise<T> {
    return this.#tries.run({
      operation,
      limitMs,
      signal,
      attempt: (controller) => attempt({ signal: controller.signal }),
    });
  }

  #send<T>(
    operation: "put" | "putPart",
    { signal }: Call,
    pieces: readonly Uint8Array[],
    attempt: (call: Call) => Promise<T>,
  ): Promise<T> {
    const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return this.#tries.run({
      operation,
      limitMs: this.#settings.attemptMs + (bytes / this.#settings.bytesPerSecondMin) * 1000,
      signal,
      isSending: true,
      attempt: (controller) => attempt({ signal: controller.signal }),
    });
  }

  #open(
    key: string,
    span: ByteSpan | undefined,
    signal: AbortSignal | undefined,
  ): Promise<OpenedBody | undefined> {
    return this.#tries.run({
      operation: "get",
      limitMs: this.#settings.attemptMs,
      signal,
      attempt: async (controller) => {
        const opened = await this.#bucket.get(key, span, { signal: controller.signal });
        // Too late: nobody will read it.
        if (controller.signal.aborted) void opened?.body.cancel().catch(() => undefined);
        return opened && { ...opened, controller };
      },
    });
  }
}
