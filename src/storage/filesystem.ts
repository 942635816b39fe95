/**
 * The filesystem `BlobStore`: content at Distribution's paths, uploads and trash in a folder of our
 * own beside it. The tree is drawn in `filesystem-paths.ts`. Any number of processes may share a
 * root.
 */
import assert from "node:assert/strict";
import { dirname, resolve } from "node:path";
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
import { done, errorCode, nodeFileCalls, unless } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import { DurableFolders } from "./filesystem-folders.ts";
import { listBlobs, listUploadFiles, statBlob } from "./filesystem-list.ts";
import { blobKeyOf, FilesystemPaths, uploadState } from "./filesystem-paths.ts";
import { Placement } from "./filesystem-place.ts";
import { FileReader } from "./filesystem-read.ts";
import type { FileSpan } from "./filesystem-read.ts";
import { FilesystemUpkeep } from "./filesystem-upkeep.ts";
import { UploadFiles } from "./filesystem-uploads.ts";

export interface FilesystemStoreOptions {
  /** The folder, in which `docker/` and `longshore/` lie. Made when it is missing. */
  readonly root: string;
  /** The operating system's calls; a test may replace some. */
  readonly calls?: FileCalls;
}

export async function createFilesystemStore(options: FilesystemStoreOptions): Promise<BlobStore> {
  const calls = options.calls ?? nodeFileCalls;
  const paths = new FilesystemPaths(resolve(options.root));
  const folders = new DurableFolders(calls, paths.root);
  await wrapped("its root cannot be made", makeRoot(calls, folders, paths.root));
  return new FilesystemStore(calls, paths, folders);
}

/**
 * Content up to this size comes as bytes: one visit to the thread pool, and no stream to set up.
 */
const smallBytesMax = 64 * 1024;

class FilesystemStore implements BlobStore {
  readonly name = "filesystem";
  readonly keys = "content";
  readonly upkeep: StoreUpkeep;
  readonly #calls: FileCalls;
  readonly #paths: FilesystemPaths;
  readonly #placement: Placement;
  readonly #reader: FileReader;
  readonly #uploads: UploadFiles;

  constructor(calls: FileCalls, paths: FilesystemPaths, folders: DurableFolders) {
    this.#calls = calls;
    this.#paths = paths;
    const placement = new Placement(calls, folders);
    this.#placement = placement;
    this.upkeep = wrappedUpkeep(new FilesystemUpkeep({ calls, paths, folders, placement }));
    this.#reader = new FileReader(calls);
    this.#uploads = new UploadFiles(calls, paths, folders);
  }

  async open(key: BlobKey, options: OpenOptions = {}): Promise<OpenedBlob | undefined> {
    const path = this.#paths.place(key).data;
    const opened = this.#open(path, options);
    return await wrapped(`${key} cannot be read`, unless(opened, "ENOENT"));
  }

  async stat(key: BlobKey): Promise<StoredBlob | undefined> {
    return await wrapped(`${key} cannot be seen`, statBlob(this.#calls, this.#paths, key));
  }

  /** A file has no URL. */
  async url(): Promise<undefined> {}

  /** Absent content is confirmed as well, for its row has to go too. */
  async remove(key: BlobKey, claim: string, confirm: () => Promise<boolean>): Promise<void> {
    const place = this.#paths.place(key);
    const removed = this.#placement.take(place, this.#paths.aside(key, claim), confirm);
    await wrapped(`${key} cannot be removed`, removed);
  }

  list(after?: BlobKey): AsyncIterable<ListedBlob> {
    return wrappedEach(listBlobs(this.#calls, this.#paths, after));
  }

  async create(
    id: string,
    prefix?: { readonly from: StoredUpload; readonly size: number },
  ): Promise<string> {
    if (prefix === undefined) return uploadState(id, 0);
    const state = this.#uploads.takeOver(id, prefix.from, prefix.size);
    return await wrapped("an upload cannot be taken over", state);
  }

  async append(
    upload: StoredUpload,
    body: ReadableStream<Uint8Array>,
    options: AppendOptions,
  ): Promise<AppendResult> {
    const written = this.#uploads.append(upload, body, options);
    const { size, state, interruption } = await wrapped("an upload cannot be written", written);
    const result: AppendResult = { size, state };
    if (interruption !== undefined) throw new UploadInterrupted(result, interruption);
    return result;
  }

  async read(
    upload: StoredUpload,
    size: number,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    const path = this.#paths.upload(upload);
    if (size === 0) return emptyStream();
    try {
      return await this.#reader.stream(path, { start: 0, size }, signal);
    } catch (error) {
      const isLost = error instanceof StorageError || errorCode(error) === "ENOENT";
      if (!isLost) throw asStorageError("an upload cannot be read", error);
      throw new UploadLost(this.name, "an upload has lost bytes", { cause: error });
    }
  }

  async commit(upload: StoredUpload, digest: Digest, size: number): Promise<BlobKey> {
    const place = this.#paths.place(blobKeyOf(digest));
    const put = this.#placement.put(this.#paths.upload(upload), place, size);
    await wrapped(`${place.key} cannot be committed`, put);
    return place.key;
  }

  /**
   * Takes the file away that this state names. One that was left behind by a takeover is a state of
   * its own.
   */
  async abort(upload: StoredUpload): Promise<void> {
    const unlinked = this.#calls.unlink(this.#paths.upload(upload));
    await wrapped("an upload cannot be dropped", done(unlinked, "ENOENT"));
  }

  listUploads(after?: string): AsyncIterable<StoredUpload & { readonly modifiedAt: number }> {
    return wrappedEach(listUploadFiles(this.#calls, this.#paths, after));
  }

  /**
   * Nothing is held between calls; streams that are open stay open until they are read or
   * cancelled.
   */
  async close(): Promise<void> {}

  async #open(path: string, options: OpenOptions): Promise<OpenedBlob | undefined> {
    const { signal, span } = options;
    signal?.throwIfAborted();
    if (span === undefined) {
      const size = options.size ?? (await this.#calls.stat(path)).size;
      if (size > smallBytesMax) return await this.#stream(path, { start: 0, size }, signal);
      const body = await this.#calls.readFile(path);
      if (options.size === undefined || body.byteLength === size) {
        return { size: body.byteLength, body };
      }
      throw new StorageError(this.name, `content has ${body.byteLength} bytes, ${size} are known`);
    }
    const { start, end } = span;
    assert(Number.isSafeInteger(start) && start >= 0 && end >= start, "not a span");
    const size = end - start + 1;
    if (size > smallBytesMax) return await this.#stream(path, { start, size }, signal);
    return { size, body: await this.#reader.bytes(path, { start, size }) };
  }

  async #stream(path: string, span: FileSpan, signal?: AbortSignal): Promise<OpenedBlob> {
    return { size: span.size, body: await this.#reader.stream(path, span, signal) };
  }
}

async function makeRoot(calls: FileCalls, folders: DurableFolders, root: string): Promise<void> {
  const made = await calls.mkdirs(root);
  if (made === undefined) return;
  for (let path = root; path.length >= made.length; path = dirname(path)) {
    // One may make a folder where one may not read, and then the operator's own sync has to do.
    await done(folders.sync(dirname(path)), "EACCES");
  }
}

/** Waits for `work`; what the operating system refused becomes a `StorageError`. */
async function wrapped<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asStorageError(what, error);
  }
}

async function* wrappedEach<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw asStorageError("its folders cannot be listed", error);
  }
}

function wrappedUpkeep(upkeep: StoreUpkeep): StoreUpkeep {
  return {
    removes: upkeep.removes,
    readMarker: () => wrapped("the root's marker cannot be read", upkeep.readMarker()),
    writeMarker: (text) => wrapped("the root cannot be marked", upkeep.writeMarker(text)),
    holdsContent: () => wrapped("the root cannot be seen", upkeep.holdsContent()),
    async *listSetAside() {
      for await (const aside of wrappedEach(upkeep.listSetAside())) {
        const settle: SetAside["settle"] = (claim, confirm) =>
          wrapped(`${aside.key} cannot be settled`, aside.settle(claim, confirm));
        yield { ...aside, settle };
      }
    },
  };
}

/** An assertion, an abort or an error of the caller's own function stays what it is. */
function asStorageError(what: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return new StorageError("filesystem", `${what} (${errorCode(error) ?? "unknown"})`, {
    cause: error,
  });
}

function emptyStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({ type: "bytes", start: (controller) => controller.close() });
}
