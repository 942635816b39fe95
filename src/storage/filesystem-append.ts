/** Writing a body to a file: chunks come in, batches go out. */
import { StorageError } from "./blob-store.ts";
import type { AppendOptions } from "./blob-store.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import { receive } from "./receive.ts";
import type { Interruption } from "./receive.ts";

/**
 * A batch is written when it has this many bytes: enough that the visit to the thread pool costs
 * little, and little enough that two of them per upload (one filling, one on its way) are no
 * burden.
 */
const batchBytes = 512 * 1024;
/** ... or this many chunks, since each may keep a buffer alive that is larger than itself. */
const batchChunks = 64;

export interface Written {
  /** The offset behind the last byte. */
  readonly size: number;
  readonly interruption: Interruption | undefined;
}

/**
 * Writes `body` from `options.offset` on. All that was observed is written, whether the body ended
 * early or not.
 */
export async function writeBody(
  calls: FileCalls,
  fd: number,
  body: ReadableStream<Uint8Array>,
  options: AppendOptions,
): Promise<Written> {
  const writer = new BatchWriter(calls, fd, options.offset);
  const interruption = await writer.writeAll(body, options);
  return { size: writer.position, interruption };
}

/**
 * Collects chunks into batches and writes one batch while the next one fills. The chunks are not
 * copied: the writes gather them where they are.
 */
class BatchWriter {
  readonly #calls: FileCalls;
  readonly #fd: number;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #failure: { readonly cause: unknown } | undefined;
  /** Where the next batch goes: the file's size, once all is written. */
  position: number;

  constructor(calls: FileCalls, fd: number, position: number) {
    this.#calls = calls;
    this.#fd = fd;
    this.position = position;
  }

  async writeAll(
    body: ReadableStream<Uint8Array>,
    options: AppendOptions,
  ): Promise<Interruption | undefined> {
    const { observe, signal } = options;
    try {
      const interruption = await receive(body, signal, (chunk) => {
        this.#batch.push(chunk);
        this.#batchBytes += chunk.byteLength;
        observe?.(chunk);
        const full = this.#batchBytes >= batchBytes || this.#batch.length >= batchChunks;
        return full ? this.#flush() : undefined;
      });
      await this.#flush();
      await this.#written();
      return interruption;
    } finally {
      // Nothing may still be writing when the file is closed.
      await this.#writing;
    }
  }

  /** Waits for the batch before this one, then begins to write this one. */
  async #flush(): Promise<void> {
    await this.#written();
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    const position = this.position;
    this.position += this.#batchBytes;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#writing = this.#write(batch, position).catch((cause: unknown) => {
      this.#failure = { cause };
    });
  }

  async #written(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  async #write(batch: Uint8Array[], start: number): Promise<void> {
    let left = batch;
    let position = start;
    while (left.length > 0) {
      const written = await this.#calls.writev(this.#fd, left, position);
      if (written === 0) throw new StorageError("filesystem", "a write took no byte");
      position += written;
      left = without(left, written);
    }
  }
}

/** What is left of the chunks without their first `count` bytes. */
function without(chunks: Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.byteLength) return [chunk.subarray(skip), ...chunks.slice(index + 1)];
    skip -= chunk.byteLength;
  }
  return [];
}
