/**
 * The memory `BlobStore`, for tests and for `storage: inmemory`. Content is a list of pieces that
 * are never changed, so that an upload, its takeover and what was committed from it share them.
 */
import assert from "node:assert/strict";
import type { UnderlyingByteSource } from "node:stream/web";
import { algorithmOf, hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import { StorageError, UploadInterrupted, UploadLost } from "./blob-store.ts";
import type {
  AppendOptions,
  AppendResult,
  BlobKey,
  BlobStore,
  ListedBlob,
  OpenedBlob,
  OpenOptions,
  SetAside,
  StoredBlob,
  StoredUpload,
  StoreUpkeep,
} from "./blob-store.ts";
import { receive } from "./receive.ts";

export interface MemoryStoreOptions {
  /** Milliseconds UTC. */
  readonly now: () => number;
}

export function createMemoryStore(options: MemoryStoreOptions): BlobStore {
  return new MemoryStore(options.now);
}

type Bytes = Uint8Array<ArrayBuffer>;

interface Content {
  readonly pieces: readonly Bytes[];
  readonly size: number;
  readonly modifiedAt: number;
}

interface MemoryUpload {
  readonly id: string;
  content: Content;
}

/** Content up to this size comes as bytes, as from the other stores. */
const smallBytesMax = 64 * 1024;
const chunkBytes = 256 * 1024;

class MemoryStore implements BlobStore {
  readonly name = "memory";
  readonly keys = "content";
  readonly upkeep: StoreUpkeep;
  readonly #now: () => number;
  readonly #blobs = new Map<BlobKey, Content>();
  /** What is being removed, by its claim. */
  readonly #aside = new Map<string, { readonly key: BlobKey; readonly content: Content }>();
  readonly #uploads = new Map<string, MemoryUpload>();
  #takeovers = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.upkeep = this.#makeUpkeep();
  }

  async open(key: BlobKey, options: OpenOptions = {}): Promise<OpenedBlob | undefined> {
    const { span, signal } = options;
    signal?.throwIfAborted();
    const content = this.#blobs.get(key);
    if (content === undefined) return undefined;
    if ((options.size ?? content.size) !== content.size) {
      throw this.#failure(`content has ${content.size} bytes, ${options.size} are known`);
    }
    const start = span?.start ?? 0;
    const end = span === undefined ? content.size : span.end + 1;
    assert(Number.isSafeInteger(start) && start >= 0 && end >= start, "not a span");
    if (end > content.size) throw this.#failure(`content ended before its ${end} bytes`);
    const pieces = cut(content.pieces, start, end);
    const size = end - start;
    return { size, body: size <= smallBytesMax ? joined(pieces, size) : stream(pieces, signal) };
  }

  async stat(key: BlobKey): Promise<StoredBlob | undefined> {
    const content = this.#blobs.get(key);
    return content && { key, size: content.size, modifiedAt: content.modifiedAt };
  }

  /** Memory has no URL. */
  async url(): Promise<undefined> {}

  async remove(key: BlobKey, claim: string, confirm: () => Promise<boolean>): Promise<void> {
    const content = this.#blobs.get(key);
    this.#blobs.delete(key);
    if (content !== undefined) this.#aside.set(claim, { key, content });
    await this.#decide(claim, confirm);
  }

  async *list(after?: BlobKey): AsyncGenerator<ListedBlob> {
    for (const key of [...this.#blobs.keys()].toSorted()) {
      const content = this.#blobs.get(key);
      if (content === undefined || (after !== undefined && key <= after)) continue;
      const source = { digest: digestOf(key) };
      yield { key, size: content.size, modifiedAt: content.modifiedAt, source };
    }
  }

  async create(
    id: string,
    prefix?: { readonly from: StoredUpload; readonly size: number },
  ): Promise<string> {
    if (prefix === undefined) return `${id}.0`;
    const content = prefix.size === 0 ? this.#empty() : this.#upload(prefix.from).content;
    if (content.size < prefix.size) throw this.#lost("an upload has lost bytes");
    this.#takeovers += 1;
    const state = `${id}.${this.#takeovers}`;
    const pieces = cut(content.pieces, 0, prefix.size);
    this.#uploads.set(state, { id, content: { ...content, pieces, size: prefix.size } });
    return state;
  }

  async append(
    { id, state }: StoredUpload,
    body: ReadableStream<Uint8Array>,
    { offset, signal, observe }: AppendOptions,
  ): Promise<AppendResult> {
    const upload = this.#uploads.get(state) ?? { id, content: this.#empty() };
    if (upload.content.size < offset) {
      const error = this.#lost(`an upload has ${upload.content.size} bytes and not ${offset}`);
      body.cancel(error).catch(() => undefined);
      throw error;
    }
    if (offset === 0) this.#uploads.set(state, upload);
    const pieces = cut(upload.content.pieces, 0, offset);
    let size = offset;
    let buffer = new ArrayBuffer(chunkBytes);
    const interruption = await receive(body, signal, {
      room: () => new Uint8Array(buffer),
      filled: (bytes) => {
        ({ buffer } = bytes);
        if (bytes.byteLength === 0) return;
        pieces.push(bytes.slice());
        size += bytes.byteLength;
        observe?.(bytes);
      },
    });
    upload.content = { pieces, size, modifiedAt: this.#now() };
    if (interruption !== undefined) throw new UploadInterrupted({ size, state }, interruption);
    return { size, state };
  }

  async read(
    upload: StoredUpload,
    size: number,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    const content = size === 0 ? this.#empty() : this.#upload(upload).content;
    if (content.size < size) throw this.#lost("an upload has lost bytes");
    return stream(cut(content.pieces, 0, size), signal);
  }

  async commit(upload: StoredUpload, digest: Digest, size: number): Promise<BlobKey> {
    const key = keyOf(digest);
    const there = this.#blobs.get(key);
    const uploaded = this.#uploads.get(upload.state)?.content;
    if (uploaded !== undefined && uploaded.size !== size) {
      throw this.#failure(`an upload has ${uploaded.size} bytes and not ${size}`);
    }
    if (there?.size === size) return key;
    if (uploaded === undefined) throw this.#lost(`neither an upload nor ${key} has the bytes`);
    this.#blobs.set(key, uploaded);
    return key;
  }

  async abort(upload: StoredUpload): Promise<void> {
    this.#uploads.delete(upload.state);
  }

  async *listUploads(
    after?: string,
  ): AsyncGenerator<StoredUpload & { readonly modifiedAt: number }> {
    const uploads = [...this.#uploads].toSorted(([, a], [, b]) =>
      a.id < b.id ? -1 : +(a.id > b.id),
    );
    for (const [state, { id, content }] of uploads) {
      if (after !== undefined && id <= after) continue;
      if (this.#uploads.has(state)) yield { id, state, modifiedAt: content.modifiedAt };
    }
  }

  async close(): Promise<void> {
    this.#blobs.clear();
    this.#uploads.clear();
  }

  #makeUpkeep(): StoreUpkeep {
    let marker: string | undefined;
    return {
      removes: true,
      readMarker: async () => marker,
      writeMarker: async (text) => {
        marker = text;
      },
      holdsContent: async () => this.#blobs.size > 0,
      listSetAside: () => this.#listSetAside(),
    };
  }

  async *#listSetAside(): AsyncGenerator<SetAside> {
    for (const [claim, aside] of [...this.#aside].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const settle: SetAside["settle"] = async (mine, confirm) => {
        if (!this.#aside.delete(claim)) return;
        this.#aside.set(mine, aside);
        await this.#decide(mine, confirm);
      };
      yield { key: aside.key, digest: digestOf(aside.key), claim, settle };
    }
  }

  async #decide(claim: string, confirm: () => Promise<boolean>): Promise<void> {
    let unwanted = false;
    try {
      unwanted = await confirm();
    } finally {
      // Somebody may have settled it meanwhile.
      const aside = this.#aside.get(claim);
      this.#aside.delete(claim);
      const isBack = aside !== undefined && !unwanted && !this.#blobs.has(aside.key);
      if (isBack) this.#blobs.set(aside.key, aside.content);
    }
  }

  #upload({ state }: StoredUpload): MemoryUpload {
    const upload = this.#uploads.get(state);
    if (upload === undefined) throw this.#lost("an upload is gone");
    return upload;
  }

  #empty(): Content {
    return { pieces: [], size: 0, modifiedAt: this.#now() };
  }

  #lost(message: string): UploadLost {
    return new UploadLost(this.name, message);
  }

  #failure(message: string): StorageError {
    return new StorageError(this.name, message);
  }
}

const keyPattern = /blobs\/(\w+)\/\w+\/(\w+)\/data$/;

/** Shaped like the filesystem's keys, for whoever looks at them. */
function keyOf(digest: Digest): BlobKey {
  const hex = hexOf(digest);
  const path = `docker/registry/v2/blobs/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/data`;
  return path as BlobKey;
}

function digestOf(key: BlobKey): Digest {
  const [, algorithm, hex] = keyPattern.exec(key) ?? [];
  return `${algorithm}:${hex}` as Digest;
}

/** The bytes from `start` up to `end`, as views of the same memory. */
function cut(pieces: readonly Bytes[], start: number, end: number): Bytes[] {
  const views: Bytes[] = [];
  let position = 0;
  for (const piece of pieces) {
    const from = Math.max(start - position, 0);
    const to = Math.min(end - position, piece.byteLength);
    if (from < to) views.push(piece.subarray(from, to));
    position += piece.byteLength;
    if (position >= end) break;
  }
  return views;
}

function joined(pieces: readonly Bytes[], size: number): Bytes {
  const bytes = new Uint8Array(size);
  let position = 0;
  for (const piece of pieces) {
    bytes.set(piece, position);
    position += piece.byteLength;
  }
  return bytes;
}

/** Copies of the bytes: a byte stream hands its buffers over, and these stay here. */
function stream(pieces: readonly Bytes[], signal?: AbortSignal): ReadableStream<Bytes> {
  const left = pieces.flatMap((piece) => chunksOf(piece)).toReversed();
  let abort: (() => void) | undefined;
  const finish = (): void => {
    if (abort !== undefined) signal?.removeEventListener("abort", abort);
  };
  const source: UnderlyingByteSource = {
    type: "bytes",
    start(controller) {
      signal?.throwIfAborted();
      abort = () => controller.error(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      if (left.length === 0) end(controller);
    },
    pull(controller) {
      const chunk = left.pop();
      if (chunk !== undefined) controller.enqueue(new Uint8Array(chunk));
      if (left.length === 0) end(controller);
    },
    cancel: finish,
  };
  const end = (controller: ReadableByteStreamController): void => {
    finish();
    controller.close();
    controller.byobRequest?.respond(0);
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

function chunksOf(piece: Bytes): Bytes[] {
  const count = Math.ceil(piece.byteLength / chunkBytes);
  return Array.from({ length: count }, (_, index) =>
    piece.subarray(index * chunkBytes, (index + 1) * chunkBytes),
  );
}
