/**
 * Streams an answer's body to the client. A byte stream is read into pooled buffers: while one is
 * being written the next is being read. They start small, and grow while the client takes them
 * quickly.
 */
import { BufferLoan, type BufferPool, bufferBytesMax, bufferBytesMin } from "./buffer-pool.ts";
import type { NodeRequest } from "./node-request.ts";

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/** After a write that took less comes a larger one, after a slow one a smaller. */
const quickWriteMs = 10;
const slowWriteMs = 100;

export class StreamSender {
  readonly #pool: BufferPool;
  readonly #onError: (error: unknown, request: NodeRequest) => void;

  constructor(pool: BufferPool, onError: (error: unknown, request: NodeRequest) => void) {
    this.#pool = pool;
    this.#onError = onError;
  }

  /**
   * The head must be written already. A body that fails, or is not as long as was said, costs the
   * connection.
   */
  async send(request: NodeRequest, body: Body, announcedBytes: number | undefined): Promise<void> {
    const sink = new Sink(request, announcedBytes);
    const byteReader = openByteReader(body);
    try {
      if (byteReader === undefined) await pumpChunks(body.getReader(), sink);
      else await this.#pumpBuffers(byteReader, sink);
      sink.end();
    } catch (error) {
      const wasGone = request.isGone;
      request.response.destroy();
      if (!wasGone) this.#onError(error, request);
    }
  }

  async #pumpBuffers(reader: ReadableStreamBYOBReader, sink: Sink): Promise<void> {
    const loan = new BufferLoan(this.#pool);
    let size = bufferBytesMin;
    try {
      sink.cancelWhenGone(reader);
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(loan.take(size)));
        const writtenMs = await sink.flushed();
        loan.giveWritten();
        if (done) {
          if (value !== undefined) loan.giveBack(value.buffer);
          return;
        }
        sink.write(value);
        loan.writing(value.buffer);
        if (writtenMs < quickWriteMs) size = Math.min(size * 2, bufferBytesMax);
        else if (writtenMs > slowWriteMs) size = Math.max(size / 2, bufferBytesMin);
      }
    } catch (error) {
      cancel(reader, error);
      throw error;
    } finally {
      loan.end();
    }
  }
}

/** A stream that owns its memory. */
async function pumpChunks(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  sink: Sink,
): Promise<void> {
  try {
    sink.cancelWhenGone(reader);
    for (;;) {
      const { done, value } = await reader.read();
      await sink.flushed();
      if (done) return;
      sink.write(value);
    }
  } catch (error) {
    cancel(reader, error);
    throw error;
  }
}

/** The response, one write at a time. */
class Sink {
  readonly #request: NodeRequest;
  readonly #announcedBytes: number | undefined;
  #sentBytes = 0;
  #writing: Promise<number> = Promise.resolve(0);
  #wake: ((writtenMs: number) => void) | undefined;
  #error: Error | undefined;

  constructor(request: NodeRequest, announcedBytes: number | undefined) {
    this.#request = request;
    this.#announcedBytes = announcedBytes;
  }

  cancelWhenGone(reader: { cancel(reason?: unknown): Promise<void> }): void {
    this.#request.whenGone(() => {
      this.#error ??= new Error("the client went away");
      cancel(reader, this.#error);
      this.#wake?.(0);
    });
  }

  write(chunk: Uint8Array): void {
    this.#sentBytes += chunk.byteLength;
    if (this.#announcedBytes !== undefined && this.#sentBytes > this.#announcedBytes) {
      throw new Error(
        `the answer's body is longer than its Content-Length ${this.#announcedBytes}`,
      );
    }
    const startedAt = performance.now();
    this.#writing = new Promise((resolve) => {
      this.#wake = resolve;
      this.#request.response.write(chunk, (error) => {
        if (error) this.#error ??= error;
        resolve(performance.now() - startedAt);
      });
    });
  }

  /** Waits until the chunk is with the operating system; how long that took. */
  async flushed(): Promise<number> {
    const writtenMs = await this.#writing;
    if (this.#error !== undefined) throw this.#error;
    return writtenMs;
  }

  end(): void {
    if (this.#announcedBytes !== undefined && this.#sentBytes < this.#announcedBytes) {
      const bytes = `${this.#sentBytes} of ${this.#announcedBytes} bytes`;
      throw new Error(`the answer's body ended after ${bytes}`);
    }
    this.#request.response.end();
  }
}

function cancel(reader: { cancel(reason?: unknown): Promise<void> }, reason: unknown): void {
  // The stream's own failure is known already, or nobody's concern any more.
  reader.cancel(reason).catch(() => undefined);
}

function openByteReader(body: Body): ReadableStreamBYOBReader | undefined {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}
