/**
 * An `ObjectBucket` in memory with S3's rules: the smallest part, ids that are unknown after a
 * completion, tags that stand for bytes, pages that are short. It can be made to fail.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { ByteSpan } from "../../src/storage/blob-store.ts";
import {
  BucketError,
  PartsLeftOver,
  PartsUnknown,
} from "../../src/storage/objects/object-bucket.ts";
import type {
  Call,
  CompletedPart,
  ObjectBucket,
  ObjectInfo,
  ObjectPage,
  PartLimits,
  PartsTarget,
  StartedParts,
} from "../../src/storage/objects/object-bucket.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface StoredObject {
  readonly bytes: Bytes;
  readonly modifiedAt: number;
}

interface StartedUpload {
  readonly target: PartsTarget;
  readonly startedAt: number;
  readonly parts: Map<number, { readonly tag: string; readonly bytes: Bytes }>;
}

/** What several buckets share, as nodes share an object store. */
export class MemoryObjects {
  readonly objects: Map<string, StoredObject> = new Map();
  readonly uploads: Map<string, StartedUpload> = new Map();
  lastId = 0;
}

export interface MemoryBucketOptions {
  readonly objects?: MemoryObjects;
  readonly limits?: Partial<PartLimits>;
  /** As Ceph: no object is made of fewer parts than there are. */
  readonly leavesNoPartOut?: boolean;
  /** Whether a part can be copied; without it bytes pass through the caller. Default true. */
  readonly copies?: boolean;
  /** Called for each request before and after it takes effect; may throw. */
  readonly onCall?: (call: string, moment: "before" | "after") => void;
}

/** Small, so that little content has many parts. */
const smallLimits: PartLimits = {
  partBytes: 256 * 1024,
  partBytesMin: 64 * 1024,
  partsMax: 1000,
  copies: { partBytes: 300 * 1024, wholeBytesMax: 300 * 1024, concurrency: 3 },
};
const pageSize = 4;
const chunkBytes = 50_000;

export class MemoryBucket implements ObjectBucket {
  readonly name = "memory-bucket";
  readonly limits: PartLimits;
  readonly backend: MemoryObjects;
  /** Names of the calls that were made. */
  readonly calls: string[] = [];
  readonly #options: MemoryBucketOptions;

  constructor(options: MemoryBucketOptions = {}) {
    this.#options = options;
    this.limits = { ...smallLimits, ...options.limits };
    this.backend = options.objects ?? new MemoryObjects();
  }

  async head(key: string, call: Call): Promise<ObjectInfo | undefined> {
    return await this.#request("head", call, () => {
      const found = this.backend.objects.get(key);
      return found && { key, size: found.bytes.byteLength, modifiedAt: found.modifiedAt };
    });
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    call: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    return await this.#request("get", call, () => {
      const found = this.backend.objects.get(key);
      if (found === undefined) return undefined;
      if (span !== undefined && span.start >= found.bytes.byteLength) {
        throw this.#refused("InvalidRange");
      }
      const bytes =
        span === undefined ? found.bytes.slice() : found.bytes.slice(span.start, span.end + 1);
      return { size: bytes.byteLength, body: chunked(bytes, call.signal) };
    });
  }

  async put(key: string, pieces: readonly Uint8Array[], call: Call): Promise<void> {
    const bytes = await this.#received(pieces);
    await this.#request("put", call, () => this.#store(key, bytes));
  }

  async delete(keys: readonly string[], call: Call): Promise<void> {
    await this.#request("delete", call, () => {
      if (keys.length > 1000) throw this.#refused("MalformedXML");
      for (const key of keys) this.backend.objects.delete(key);
    });
  }

  async list(
    prefix: string,
    after: string | undefined,
    call: Call,
  ): Promise<ObjectPage<ObjectInfo>> {
    return await this.#request("list", call, () => {
      const found = [...this.backend.objects]
        .filter(([key]) => key.startsWith(prefix) && (after === undefined || key > after))
        .map(([key, { bytes, modifiedAt }]) => ({ key, size: bytes.byteLength, modifiedAt }));
      return pageOf(found);
    });
  }

  async url(key: string, method: "GET" | "HEAD"): Promise<string> {
    return `https://bucket.example.com/${key}?signed=${method}`;
  }

  async beginParts(key: string, call: Call): Promise<string> {
    return await this.#request("beginParts", call, () => {
      this.backend.lastId += 1;
      const target: PartsTarget = { key, id: `parts-${this.backend.lastId}` };
      this.backend.uploads.set(target.id, { target, startedAt: Date.now(), parts: new Map() });
      return target.id;
    });
  }

  async putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    call: Call,
  ): Promise<string> {
    const bytes = await this.#received(pieces);
    return await this.#request("putPart", call, () => this.#addPart(target, number, bytes));
  }

  async copyPart(
    target: PartsTarget,
    number: number,
    source: { readonly key: string; readonly span: ByteSpan },
    call: Call,
  ): Promise<string | undefined> {
    if (this.#options.copies === false) return undefined;
    return await this.#request("copyPart", call, () => {
      const { start, end } = source.span;
      const from = this.backend.objects.get(source.key);
      if (from === undefined) throw this.#refused("NoSuchKey");
      if (end >= from.bytes.byteLength) throw this.#refused("InvalidRange");
      return this.#addPart(target, number, from.bytes.slice(start, end + 1));
    });
  }

  async completeParts(
    target: PartsTarget,
    parts: readonly CompletedPart[],
    call: Call,
  ): Promise<void> {
    await this.#request("completeParts", call, () => {
      const upload = this.#upload(target);
      const isLeftOver = this.#options.leavesNoPartOut === true && upload.parts.size > parts.length;
      const all = [...upload.parts].toSorted(([a], [b]) => a - b);
      const list = parts.map(({ number, tag }, index) => {
        const part = upload.parts.get(number);
        if (number !== index + 1) throw this.#refused("InvalidPartOrder");
        if (part?.tag !== tag) throw new PartsUnknown(this.name, "InvalidPart");
        return part.bytes;
      });
      const isTooSmall = list.slice(0, -1).some((part) => part.length < this.limits.partBytesMin);
      if (isTooSmall || list.length === 0) throw this.#refused("EntityTooSmall");
      const made = isLeftOver ? all.map(([, { bytes }]) => bytes) : list;
      this.#store(target.key, new Uint8Array(Buffer.concat(made)));
      this.backend.uploads.delete(target.id);
      if (isLeftOver) throw new PartsLeftOver(this.name, "there are parts that were left out");
    });
  }

  async abortParts(target: PartsTarget, call: Call): Promise<void> {
    await this.#request("abortParts", call, () => void this.backend.uploads.delete(target.id));
  }

  async listParts(
    prefix: string,
    after: PartsTarget | undefined,
    call: Call,
  ): Promise<ObjectPage<StartedParts>> {
    return await this.#request("listParts", call, () => {
      const found = [...this.backend.uploads.values()]
        .map(({ startedAt, target: { id, key } }) => ({ id, key, startedAt }))
        .filter(({ key }) => key.startsWith(prefix))
        .filter((target) => after === undefined || order(target) > order(after));
      return pageOf(found);
    });
  }

  async close(): Promise<void> {}

  /** Reads the pieces when their turn has come, as a socket would: they must not have changed. */
  async #received(pieces: readonly Uint8Array[]): Promise<Bytes> {
    await setImmediate();
    return new Uint8Array(Buffer.concat(pieces));
  }

  async #request<T>(name: string, { signal }: Call, effect: () => T): Promise<T> {
    this.calls.push(name);
    await setImmediate();
    signal?.throwIfAborted();
    this.#options.onCall?.(name, "before");
    const result = effect();
    this.#options.onCall?.(name, "after");
    return result;
  }

  #store(key: string, bytes: Bytes): void {
    this.backend.objects.set(key, { bytes, modifiedAt: Date.now() });
  }

  #addPart(target: PartsTarget, number: number, bytes: Bytes): string {
    const { parts } = this.#upload(target);
    if (number < 1 || number > this.limits.partsMax) throw this.#refused("InvalidArgument");
    const tag = createHash("sha1").update(bytes).digest("hex");
    parts.set(number, { tag, bytes });
    return tag;
  }

  #upload({ id, key }: PartsTarget): StartedUpload {
    const upload = this.backend.uploads.get(id);
    if (upload?.target.key === key) return upload;
    throw new PartsUnknown(this.name, "NoSuchUpload");
  }

  #refused(code: string): BucketError {
    return new BucketError(this.name, code, { transient: false });
  }
}

function pageOf<T extends { readonly key: string; readonly id?: string }>(
  found: readonly T[],
): ObjectPage<T> {
  const sorted = found.toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
  return { items: sorted.slice(0, pageSize), more: sorted.length > pageSize };
}

function order({ id, key }: { readonly key: string; readonly id?: string }): string {
  return `${key}\0${id ?? ""}`;
}

function chunked(bytes: Bytes, signal: AbortSignal | undefined): ReadableStream<Bytes> {
  let position = 0;
  return new ReadableStream(
    {
      async pull(controller) {
        await setImmediate();
        signal?.throwIfAborted();
        const chunk = bytes.subarray(position, position + chunkBytes);
        position += chunk.byteLength;
        if (chunk.byteLength > 0) controller.enqueue(chunk);
        if (position >= bytes.byteLength) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
