/**
 * A request's body as a web byte stream, with back-pressure to the socket, and the end of a body
 * that nobody wants.
 *
 * Read it with `getReader({ mode: "byob" })` where much is expected: the bytes are copied into the
 * reader's memory and Node's own is freed at once. A default reader gets Node's chunks, which pile
 * up by 60 MiB and more until V8 collects them.
 */
import type { IncomingMessage } from "node:http";
import { OciError } from "../oci/errors.ts";

/**
 * Read ahead of the app up to this, so that the socket is paused and resumed once in four chunks.
 */
const readAheadBytesMax = 256 * 1024;
const readAheadBytesLow = 64 * 1024;
/** What an object per chunk costs, so that a body of one-byte chunks is bounded too. */
const chunkOverheadBytes = 256;

type State = "unread" | "reading" | "cancelled" | "discarding" | "ended" | "failed";

export class RequestBody {
  readonly #incoming: IncomingMessage;
  readonly #beforeFirstRead: () => void;
  #stream: ReadableStream<Uint8Array> | undefined;
  #controller: ReadableByteStreamController | undefined;
  #queue: Uint8Array<ArrayBuffer>[] = [];
  #queuedCost = 0;
  #state: State = "unread";
  #wanted = false;
  #paused = false;
  #failure: unknown;
  #discarded: ((bytes: number) => void) | undefined;
  #receivedBytes = 0;

  constructor(incoming: IncomingMessage, beforeFirstRead: () => void) {
    this.#incoming = incoming;
    this.#beforeFirstRead = beforeFirstRead;
  }

  get stream(): ReadableStream<Uint8Array> {
    // Nothing is read before the app reads: it is then that a client is told to continue.
    this.#stream ??= new ReadableStream(
      {
        type: "bytes",
        start: (controller) => {
          this.#controller = controller;
          if (this.#state === "failed") controller.error(this.#failure);
        },
        pull: () => this.#pull(),
        cancel: () => this.#cancel(),
      },
      { highWaterMark: 0 },
    );
    return this.#stream;
  }

  /** Bytes that have come over the wire and were taken from Node's buffer. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Whether the app waits for the client's next bytes. */
  get awaited(): boolean {
    return this.#wanted;
  }

  /** Ends the stream with an error: nothing more can come. */
  fail(error: unknown): void {
    if (this.#state === "ended" || this.#state === "failed") return;
    this.#state = "failed";
    this.#failure = error;
    this.#wanted = false;
    this.#queue = [];
    this.#controller?.error(error);
  }

  /** From now on reads and drops what comes, telling how much. The app's stream fails. */
  discard(onDropped: (bytes: number) => void): void {
    const before = this.#state;
    if (before === "ended") return;
    this.fail(new OciError("SIZE_INVALID", { message: "the request was answered already" }));
    this.#state = "discarding";
    this.#discarded = onDropped;
    if (before === "unread") this.#listen();
    this.resume();
  }

  pause(): void {
    this.#paused = true;
    this.#incoming.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#incoming.resume();
  }

  #pull(): void {
    this.#wanted = true;
    if (this.#state === "unread") {
      this.#state = "reading";
      this.#beforeFirstRead();
      this.#listen();
    }
    this.#deliver();
  }

  /** Gives the reader what there is, or the end. */
  #deliver(): void {
    const controller = this.#controller;
    if (!this.#wanted || controller === undefined) return;
    if (this.#queue.length === 0) {
      if (this.#state === "ended") this.#close(controller);
      return;
    }
    this.#wanted = false;
    const request = controller.byobRequest;
    if (request?.view) request.respond(this.#fill(request.view));
    else if (this.#queue[0] !== undefined)
      controller.enqueue(owned(this.#takeFirst(this.#queue[0])));
    if (this.#paused && this.#queuedCost <= readAheadBytesLow) this.resume();
  }

  /** Copies into the reader's memory, and frees what has been copied. */
  #fill(view: ArrayBufferView): number {
    const target = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    let filled = 0;
    for (let chunk = this.#queue[0]; chunk !== undefined; chunk = this.#queue[0]) {
      const room = target.byteLength - filled;
      if (chunk.byteLength > room) {
        target.set(chunk.subarray(0, room), filled);
        this.#queue[0] = chunk.subarray(room);
        this.#queuedCost -= room;
        return target.byteLength;
      }
      target.set(chunk, filled);
      filled += chunk.byteLength;
      this.#takeFirst(chunk);
      if (ownsBuffer(chunk)) chunk.buffer.transfer(0);
    }
    return filled;
  }

  #takeFirst(chunk: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    this.#queue.shift();
    this.#queuedCost -= chunk.byteLength + chunkOverheadBytes;
    return chunk;
  }

  #close(controller: ReadableByteStreamController): void {
    this.#wanted = false;
    controller.close();
    controller.byobRequest?.respond(0);
  }

  /** The app wants no more; what remains is settled once the request has its answer. */
  #cancel(): void {
    this.#queue = [];
    this.#wanted = false;
    if (this.#state !== "reading") return;
    this.#state = "cancelled";
    this.pause();
  }

  #listen(): void {
    const incoming = this.#incoming;
    incoming.on("data", (chunk: Buffer<ArrayBuffer>) => this.#arrived(chunk));
    incoming.on("end", () => this.#ended());
    incoming.on("error", (error) => this.#lost(error));
    incoming.on("close", () => this.#lost());
    if (incoming.destroyed && !incoming.readableEnded) this.#lost();
  }

  #arrived(chunk: Uint8Array<ArrayBuffer>): void {
    this.#receivedBytes += chunk.byteLength;
    if (this.#state === "discarding") {
      this.#discarded?.(chunk.byteLength);
      return;
    }
    if (this.#state !== "reading") return;
    this.#queue.push(chunk);
    this.#queuedCost += chunk.byteLength + chunkOverheadBytes;
    this.#deliver();
    if (this.#queuedCost >= readAheadBytesMax) this.pause();
  }

  #ended(): void {
    if (this.#state !== "reading") return;
    this.#state = "ended";
    this.#deliver();
  }

  #lost(cause?: Error): void {
    const message = "the client went away before the request's body ended";
    this.fail(new OciError("SIZE_INVALID", { message, cause }));
  }
}

/** Enqueuing a chunk gives its whole memory away. */
function owned(chunk: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return ownsBuffer(chunk) ? chunk : new Uint8Array(chunk);
}

/** Whether nothing else lies in the chunk's memory, so that it may be freed or given away. */
function ownsBuffer(chunk: Uint8Array): boolean {
  return chunk.byteOffset === 0 && chunk.byteLength === chunk.buffer.byteLength;
}
