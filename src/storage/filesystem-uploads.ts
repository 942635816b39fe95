/**
 * The files of uploads: each is written by one writer at a time, which makes it durable before it
 * answers.
 */
import { constants } from "node:fs";
import type { Stats } from "node:fs";
import { UploadLost } from "./blob-store.ts";
import type { AppendOptions, StoredUpload } from "./blob-store.ts";
import { UploadBuffers, writeBody } from "./filesystem-append.ts";
import type { Written } from "./filesystem-append.ts";
import { done, errorCode, unless } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import type { DurableFolders } from "./filesystem-folders.ts";
import { parseUploadFile, uploadState } from "./filesystem-paths.ts";
import type { FilesystemPaths } from "./filesystem-paths.ts";

/**
 * For the copy of a prefix where the filesystem cannot share the blocks: large enough to be fast.
 */
const copyBytes = 1024 * 1024;

export class UploadFiles {
  readonly #calls: FileCalls;
  readonly #paths: FilesystemPaths;
  readonly #folders: DurableFolders;
  readonly #buffers: UploadBuffers = new UploadBuffers();

  constructor(calls: FileCalls, paths: FilesystemPaths, folders: DurableFolders) {
    this.#calls = calls;
    this.#paths = paths;
    this.#folders = folders;
  }

  async append(
    upload: StoredUpload,
    body: ReadableStream<Uint8Array>,
    options: AppendOptions,
  ): Promise<Written & { readonly state: string }> {
    const [calls, buffers] = [this.#calls, this.#buffers];
    const writing = this.#openForWriting(upload, options.offset);
    const { fd, state } = await writing.catch((error: unknown) => refuse(body, error));
    try {
      const written = await writeBody(fd, body, { ...options, calls, buffers });
      const first = options.offset === 0;
      await allEnded([calls.fdatasync(fd), ...(first ? [this.#syncFolder()] : [])]);
      return { ...written, state };
    } finally {
      await this.#calls.close(fd);
    }
  }

  /**
   * Makes a file for `id` that has the first `size` bytes of another one, which may still be
   * written to. It is nobody else's, whoever takes over at the same time.
   */
  async takeOver(id: string, from: StoredUpload, size: number): Promise<string> {
    const source = this.#paths.upload(from);
    const file = parseUploadFile(from.state);
    for (let takeovers = (file?.takeovers ?? 0) + 1; ; takeovers += 1) {
      const state = uploadState(id, takeovers);
      const target = this.#paths.upload({ id, state });
      if (await done(this.#copy(source, target, size), "EEXIST")) return state;
    }
  }

  async #openForWriting(
    { id, state }: StoredUpload,
    offset: number,
  ): Promise<{ readonly fd: number; readonly state: string }> {
    const path = this.#paths.upload({ id, state });
    // Only the very first append makes the file: a late writer must not bring back what was
    // dropped.
    const fd = await (offset === 0
      ? this.#make(path, 0)
      : found(this.#calls.open(path, constants.O_WRONLY)));
    try {
      const { nlink } = await this.#cut(fd, offset);
      if (nlink === 1) return { fd, state };
    } catch (error) {
      await this.#calls.close(fd);
      throw error;
    }
    // The upload was committed, and its file is the content as well, which nobody may change.
    await this.#calls.close(fd);
    const copied = await this.takeOver(id, { id, state }, offset);
    await done(this.#calls.unlink(path), "ENOENT");
    return await this.#openForWriting({ id, state: copied }, offset);
  }

  async #copy(source: string, target: string, size: number): Promise<void> {
    const available = size === 0 ? 0 : (await found(this.#calls.stat(source))).size;
    const whole = size > 0 && available === size;
    if (whole) await this.#calls.copyFile(source, target);
    const fd = await (whole
      ? this.#calls.open(target, constants.O_WRONLY)
      : this.#make(target, constants.O_EXCL));
    try {
      if (!whole) await this.#copyBytes(source, fd, size);
      await this.#cut(fd, size);
      await allEnded([this.#calls.fdatasync(fd), this.#syncFolder()]);
    } catch (error) {
      await done(this.#calls.unlink(target), "ENOENT");
      throw error;
    } finally {
      await this.#calls.close(fd);
    }
  }

  async #copyBytes(source: string, target: number, size: number): Promise<void> {
    if (size === 0) return;
    const buffer = new Uint8Array(Math.min(copyBytes, size));
    const fd = await this.#calls.open(source, constants.O_RDONLY);
    try {
      for (let position = 0; position < size;) {
        const into = buffer.subarray(0, Math.min(buffer.byteLength, size - position));
        const read = await this.#calls.read(fd, into, position);
        if (read === 0) break;
        position += await this.#calls.writev(target, [into.subarray(0, read)], position);
      }
    } finally {
      await this.#calls.close(fd);
    }
  }

  /**
   * Drops what lies at `size` or beyond it, unless the file has another name. A file that is
   * shorter has lost bytes.
   */
  async #cut(fd: number, size: number): Promise<Stats> {
    const stats = await this.#calls.fstat(fd);
    if (stats.size < size) {
      throw new UploadLost("filesystem", `an upload has ${stats.size} bytes and not ${size}`);
    }
    if (stats.size > size && stats.nlink === 1) await this.#calls.ftruncate(fd, size);
    return stats;
  }

  async #make(path: string, flags: number): Promise<number> {
    const how = constants.O_WRONLY | constants.O_CREAT | flags;
    const fd = await unless(this.#calls.open(path, how), "ENOENT");
    if (fd !== undefined) return fd;
    await this.#folders.make(this.#paths.uploads);
    return await this.#calls.open(path, how);
  }

  async #syncFolder(): Promise<void> {
    const { uploads } = this.#paths;
    await Promise.all([this.#folders.sync(uploads), this.#folders.syncAbove(uploads)]);
  }
}

/** A file with bytes that were acknowledged. */
async function found<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    throw new UploadLost("filesystem", "an upload's file is gone", { cause: error });
  }
}

/** Waits for each, so that a file is not closed under one when another has failed. */
async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** Nobody will read the body: its source is told. */
function refuse(body: ReadableStream<Uint8Array>, error: unknown): never {
  body.cancel(error).catch(() => undefined);
  throw error;
}
