/** What a bucket gives as a byte stream that is counted: it has all its bytes, or it fails. */
import type { UnderlyingByteSource } from "node:stream/web";
import { StorageError } from "../blob-store.ts";
import { BucketError } from "./object-bucket.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface ObjectBody {
  /** Bytes that `body` should give. */
  readonly size: number;
  readonly body: ReadableStream<Bytes>;
}

export interface ReadOptions {
  /** The bucket's name, for errors. */
  readonly store: string;
  readonly signal?: AbortSignal | undefined;
}

export interface StreamOptions extends ReadOptions {
  /** What the bucket's errors are to the reader. */
  readonly translate: (error: unknown) => unknown;
}

/** All of a small body. Throws what the body throws, and `BucketError` when it is too short. */
export async function readObject({ body, size }: ObjectBody, options: ReadOptions): Promise<Bytes> {
  const bytes = new Uint8Array(size);
  let filled = 0;
  for await (const chunk of body) {
    if (filled + chunk.byteLength > size) throw tooLong(options.store, size);
    bytes.set(chunk, filled);
    filled += chunk.byteLength;
  }
  if (filled < size) throw brokenOff(options.store, filled, size);
  return bytes;
}

/** The body as a byte stream, of which a reader may have its own buffers filled. */
export function streamObject(object: ObjectBody, options: StreamOptions): ReadableStream<Bytes> {
  const source = new ObjectSource(object, options);
  return new ReadableStream(source, { highWaterMark: 0 });
}

export function emptyStream(): ReadableStream<Bytes> {
  return new ReadableStream({ type: "bytes", start: (controller) => controller.close() });
}

class ObjectSource implements UnderlyingByteSource {
  readonly type = "bytes";
  readonly #options: StreamOptions;
  readonly #reader: ReadableStreamDefaultReader<Bytes>;
  readonly #size: number;
  readonly #abort = (): void => this.#aborted();
  #controller: ReadableByteStreamController | undefined;
  #given = 0;
  /** What did not fit into the reader's buffer. */
  #rest: Bytes = new Uint8Array();
  #unwanted = false;

  constructor({ body, size }: ObjectBody, options: StreamOptions) {
    this.#reader = body.getReader();
    this.#size = size;
    this.#options = options;
  }

  start(controller: ReadableByteStreamController): void {
    const { signal } = this.#options;
    this.#controller = controller;
    if (signal?.aborted === true) this.#aborted();
    else signal?.addEventListener("abort", this.#abort, { once: true });
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    try {
      const chunk = this.#rest.byteLength > 0 ? this.#rest : await this.#next();
      if (this.#unwanted) return;
      this.#give(controller, chunk);
    } catch (error) {
      // An aborted stream has failed already, with its signal's reason.
      if (this.#unwanted) return;
      this.#finish();
      throw this.#options.translate(error);
    }
    if (this.#given === this.#size) this.#end(controller);
  }

  cancel(reason: unknown): Promise<void> {
    this.#unwanted = true;
    this.#finish();
    return this.#reader.cancel(reason);
  }

  async #next(): Promise<Bytes> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      const { store } = this.#options;
      if (done) throw brokenOff(store, this.#given, this.#size);
      if (this.#given + value.byteLength > this.#size) throw tooLong(store, this.#size);
      if (value.byteLength > 0) return value;
    }
  }

  #give(controller: ReadableByteStreamController, chunk: Bytes): void {
    const request = controller.byobRequest;
    const view = request?.view;
    if (request === null || view === undefined || view === null) {
      // A copy, since a byte stream takes the whole buffer over, and this one may be shared.
      controller.enqueue(new Uint8Array(chunk));
      this.#given += chunk.byteLength;
      this.#rest = new Uint8Array();
      return;
    }
    const taken = chunk.subarray(0, view.byteLength);
    new Uint8Array(view.buffer, view.byteOffset, taken.byteLength).set(taken);
    this.#rest = chunk.subarray(taken.byteLength);
    this.#given += taken.byteLength;
    request.respond(taken.byteLength);
  }

  #end(controller: ReadableByteStreamController): void {
    this.#finish();
    // Reads the body's end, after which its connection serves the next request.
    this.#reader.read().catch(() => undefined);
    controller.close();
    // Readers with their own buffers wait on until they get them back.
    controller.byobRequest?.respond(0);
  }

  #aborted(): void {
    const reason: unknown = this.#options.signal?.reason;
    this.#unwanted = true;
    this.#controller?.error(reason);
    this.#reader.cancel(reason).catch(() => undefined);
  }

  #finish(): void {
    this.#options.signal?.removeEventListener("abort", this.#abort);
  }
}

function brokenOff(store: string, given: number, size: number): BucketError {
  const message = `content broke off after ${given} of its ${size} bytes`;
  return new BucketError(store, message, { transient: true });
}

function tooLong(store: string, size: number): StorageError {
  return new StorageError(store, `more came than the ${size} bytes that were told of`);
}
