/** Reading files as byte streams whose chunks grow, within one budget for all that are open. */
import { constants } from "node:fs";
import type { UnderlyingByteSource } from "node:stream/web";
import { StorageError } from "./blob-store.ts";
import type { Bytes, FileCalls } from "./filesystem-calls.ts";

/** A first chunk is small, for the reader may want little or be slow... */
const chunkBytesMin = 64 * 1024;
/**
 * ... and each time it asks for more the next one is twice as large: 1 MiB costs a third of the
 * CPU.
 */
const chunkBytesMax = 1024 * 1024;
/**
 * What all readers that hold a chunk may hold together, more or less: beyond 24 of them chunks stay
 * smaller, so that many readers that stall cost no more than a few fast ones.
 */
const budgetBytes = 24 * 1024 * 1024;

export interface FileSpan {
  /** The first byte. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
}

export class FileReader {
  readonly #calls: FileCalls;
  #streams = 0;

  constructor(calls: FileCalls) {
    this.#calls = calls;
  }

  /**
   * All of a small span at once. Throws what the system throws, and `StorageError` if it is not all
   * there.
   */
  async bytes(path: string, { start, size }: FileSpan): Promise<Bytes> {
    const fd = await this.#calls.open(path, constants.O_RDONLY);
    try {
      const bytes = new Uint8Array(size);
      for (let filled = 0; filled < size;) {
        const read = await this.#calls.read(fd, bytes.subarray(filled), start + filled);
        if (read === 0) throw tooShort(start + size);
        filled += read;
      }
      return bytes;
    } finally {
      await this.#calls.close(fd);
    }
  }

  /**
   * Opens the file at once, so that an absent or a short one is known before the first byte is
   * asked for.
   */
  async stream(
    path: string,
    { start, size }: FileSpan,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Bytes>> {
    const fd = await this.#calls.open(path, constants.O_RDONLY);
    try {
      const stats = await this.#calls.fstat(fd);
      if (stats.size < start + size) throw tooShort(start + size);
      signal?.throwIfAborted();
    } catch (error) {
      await this.#calls.close(fd);
      throw error;
    }
    this.#streams += 1;
    const close = async (): Promise<void> => {
      this.#streams -= 1;
      await this.#calls.close(fd);
    };
    const read = (into: Bytes, position: number): Promise<number> =>
      this.#calls.read(fd, into, position);
    const chunkBytes = (): number => this.#chunkBytesMax();
    const source = new FileSource({ start, size, signal, read, close, chunkBytes });
    return new ReadableStream(source, { highWaterMark: 0 });
  }

  #chunkBytesMax(): number {
    let bytes = chunkBytesMax;
    while (bytes > chunkBytesMin && bytes * this.#streams > budgetBytes) bytes /= 2;
    return bytes;
  }
}

interface FileSourceOptions extends FileSpan {
  readonly signal: AbortSignal | undefined;
  readonly read: (into: Bytes, position: number) => Promise<number>;
  readonly close: () => Promise<void>;
  /** How large a chunk may be at this moment. */
  readonly chunkBytes: () => number;
}

/** One read is in flight at a time, and only when the reader asked for it. */
class FileSource implements UnderlyingByteSource {
  readonly type = "bytes";
  readonly #options: FileSourceOptions;
  readonly #end: number;
  readonly #abort = (): void => this.#aborted();
  #controller: ReadableByteStreamController | undefined;
  #position: number;
  #chunkBytes = chunkBytesMin;
  #reading: Promise<number> | undefined;
  #closing: Promise<void> | undefined;
  /** Cancelled or aborted: nobody waits for more. */
  #unwanted = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#position = options.start;
    this.#end = options.start + options.size;
  }

  async start(controller: ReadableByteStreamController): Promise<void> {
    this.#controller = controller;
    this.#options.signal?.addEventListener("abort", this.#abort, { once: true });
    if (this.#end === this.#position) await this.#finish(controller);
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest;
    const left = this.#end - this.#position;
    const view = request?.view ?? undefined;
    const into = view === undefined ? this.#newChunk(left) : viewOf(view, left);
    const count = await this.#read(into);
    if (this.#unwanted) return;
    this.#position += count;
    if (request === null) controller.enqueue(into.subarray(0, count));
    else request.respond(count);
    if (this.#position === this.#end) await this.#finish(controller);
  }

  cancel(): Promise<void> {
    this.#unwanted = true;
    return this.#close();
  }

  #newChunk(left: number): Bytes {
    const size = Math.min(this.#chunkBytes, this.#options.chunkBytes(), left);
    this.#chunkBytes = Math.min(this.#chunkBytes * 2, chunkBytesMax);
    // Not from Node's pool, since a byte stream takes the whole buffer over; and not zeroed first.
    return Buffer.allocUnsafeSlow(size);
  }

  async #read(into: Bytes): Promise<number> {
    try {
      this.#reading = this.#options.read(into, this.#position);
      const count = await this.#reading;
      if (count === 0) throw tooShort(this.#end);
      return count;
    } catch (cause) {
      await this.#close();
      if (cause instanceof StorageError) throw cause;
      throw new StorageError("filesystem", "a file could not be read", { cause });
    }
  }

  /** The reader hears of the end when the file is closed. */
  async #finish(controller: ReadableByteStreamController): Promise<void> {
    await this.#close();
    if (this.#unwanted) return;
    controller.close();
    // Readers with their own buffers wait on until they get them back.
    controller.byobRequest?.respond(0);
  }

  #aborted(): void {
    this.#unwanted = true;
    this.#controller?.error(this.#options.signal?.reason);
    this.#close().catch(() => undefined);
  }

  /**
   * The descriptor is given back only when nothing reads from it any more: its number is soon
   * another file.
   */
  #close(): Promise<void> {
    this.#closing ??= this.#closeOnce();
    return this.#closing;
  }

  async #closeOnce(): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#abort);
    await this.#reading?.catch(() => undefined);
    await this.#options.close();
  }
}

function viewOf(view: ArrayBufferView, bytesMax: number): Bytes {
  const { buffer, byteOffset, byteLength } = view;
  if (!(buffer instanceof ArrayBuffer)) throw new TypeError("a reader's buffer cannot be shared");
  return new Uint8Array(buffer, byteOffset, Math.min(byteLength, bytesMax));
}

function tooShort(bytes: number): StorageError {
  return new StorageError("filesystem", `a file ended before its ${bytes} bytes`);
}
