/** Writing a body to a file: buffers are filled and collected into batches, and batches written. */
import { StorageError } from "./blob-store.ts";
import type { AppendOptions } from "./blob-store.ts";
import type { Bytes, FileCalls } from "./filesystem-calls.ts";
import { receive } from "./receive.ts";
import type { Intake, Interruption } from "./receive.ts";

/** As much as Node takes from a socket at once. */
const bufferBytes = 64 * 1024;
/**
 * A batch is written when it has this many buffers: enough that the visit to the thread pool costs
 * little, and little enough that two of them per upload (one filling, one on its way) are no
 * burden.
 */
const batchBuffers = 8;
/** Less than this is copied to the end of the buffer before it, so that tiny chunks fill it too. */
const smallBytes = 16 * 1024;
/** Spare buffers are kept up to this many (4 MiB), since fresh memory costs page faults. */
const keptBuffersMax = 64;

/** The memory of all uploads of a store. It is used again and again. */
export class UploadBuffers {
  readonly #kept: ArrayBuffer[] = [];

  take(): ArrayBuffer {
    return this.#kept.pop() ?? new ArrayBuffer(bufferBytes);
  }

  give(buffer: ArrayBuffer): void {
    // One that a cancelled body kept is empty.
    if (buffer.byteLength !== bufferBytes) return;
    if (this.#kept.length < keptBuffersMax) this.#kept.push(buffer);
    // Frees it now, where the collector would let megabytes pile up.
    else buffer.transfer(0);
  }
}

export interface WritingOptions extends AppendOptions {
  readonly calls: FileCalls;
  readonly buffers: UploadBuffers;
}

export interface Written {
  /** The offset behind the last byte. */
  readonly size: number;
  readonly interruption: Interruption | undefined;
}

/** Writes `body` from `options.offset` on: all that was observed, whether it ended early or not. */
export async function writeBody(
  fd: number,
  body: ReadableStream<Uint8Array>,
  options: WritingOptions,
): Promise<Written> {
  const writer = new BatchWriter(fd, options);
  try {
    const interruption = await receive(body, options.signal, writer);
    return { size: await writer.finish(), interruption };
  } finally {
    await writer.close();
  }
}

/** Writes one batch while the next one fills. */
class BatchWriter implements Intake {
  readonly #fd: number;
  readonly #options: WritingOptions;
  #batch: Bytes[] = [];
  /** What the next bytes are received into. */
  #next: ArrayBuffer;
  #position: number;
  #writing: Promise<void> = Promise.resolve();
  #failure: { readonly cause: unknown } | undefined;

  constructor(fd: number, options: WritingOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#position = options.offset;
    this.#next = options.buffers.take();
  }

  room(): Bytes {
    return new Uint8Array(this.#next);
  }

  filled(bytes: Bytes): Promise<void> | undefined {
    this.#next = bytes.buffer;
    if (bytes.byteLength === 0) return undefined;
    if (!this.#addToLast(bytes)) {
      this.#batch.push(bytes);
      this.#next = this.#options.buffers.take();
    }
    this.#options.observe?.(bytes);
    return this.#batch.length >= batchBuffers ? this.#flush() : undefined;
  }

  /** Writes what is left. Resolves with the offset behind the last byte. */
  async finish(): Promise<number> {
    await this.#flush();
    await this.#written();
    return this.#position;
  }

  /** Nothing writes to the file any more when this resolves. */
  async close(): Promise<void> {
    await this.#writing;
    this.#giveBack(this.#batch);
    this.#options.buffers.give(this.#next);
  }

  #addToLast(bytes: Bytes): boolean {
    const last = this.#batch.at(-1);
    if (last === undefined || bytes.byteLength > smallBytes) return false;
    const size = last.byteLength + bytes.byteLength;
    if (size > last.buffer.byteLength) return false;
    const longer = new Uint8Array(last.buffer, 0, size);
    longer.set(bytes, last.byteLength);
    this.#batch[this.#batch.length - 1] = longer;
    return true;
  }

  /** Waits for the batch before this one, then begins to write this one. */
  async #flush(): Promise<void> {
    await this.#written();
    const batch = this.#batch;
    const position = this.#position;
    for (const bytes of batch) this.#position += bytes.byteLength;
    this.#batch = [];
    this.#writing = this.#write(batch, position).catch((cause: unknown) => {
      this.#failure = { cause };
    });
  }

  async #written(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  async #write(batch: readonly Bytes[], start: number): Promise<void> {
    let left = batch;
    let position = start;
    while (left.length > 0) {
      const written = await this.#options.calls.writev(this.#fd, left, position);
      if (written === 0) throw new StorageError("filesystem", "a write took no byte");
      position += written;
      left = without(left, written);
    }
    this.#giveBack(batch);
  }

  #giveBack(batch: readonly Bytes[]): void {
    for (const { buffer } of batch) this.#options.buffers.give(buffer);
  }
}

/** What is left of the chunks without their first `count` bytes. */
function without(chunks: readonly Bytes[], count: number): readonly Bytes[] {
  let skip = count;
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.byteLength) return [chunk.subarray(skip), ...chunks.slice(index + 1)];
    skip -= chunk.byteLength;
  }
  return [];
}
