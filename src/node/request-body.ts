/** A request's body as a web stream, with back-pressure to the socket, and the end of a body that nobody wants. */
import type { IncomingMessage } from "node:http";
import { OciError } from "../oci/errors.ts";

/** Read ahead of the app up to this, so that the socket is paused and resumed once in four chunks. */
const readAheadBytesMax = 256 * 1024;
const readAheadBytesLow = 64 * 1024;
/** What an object per chunk costs, so that a body of one-byte chunks is bounded too. */
const chunkOverheadBytes = 256;

type State = "unread" | "reading" | "cancelled" | "discarding" | "ended" | "failed";

export class RequestBody {
  readonly #incoming: IncomingMessage;
  readonly #beforeFirstRead: () => void;
  #stream: ReadableStream<Uint8Array> | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #queue: Uint8Array[] = [];
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
    this.#stream ??= new ReadableStream<Uint8Array>(
      {
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
    if (this.#state === "unread") {
      this.#state = "reading";
      this.#beforeFirstRead();
      this.#listen();
    }
    const chunk = this.#queue.shift();
    if (chunk === undefined) {
      this.#wanted = true;
    } else {
      this.#queuedCost -= chunk.byteLength + chunkOverheadBytes;
      this.#controller?.enqueue(chunk);
    }
    if (this.#state === "ended") this.#closeWhenEmpty();
    else if (this.#paused && this.#queuedCost <= readAheadBytesLow) this.resume();
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
    incoming.on("data", (chunk: Uint8Array) => this.#arrived(chunk));
    incoming.on("end", () => this.#ended());
    incoming.on("error", (error) => this.#lost(error));
    incoming.on("close", () => this.#lost());
    if (incoming.destroyed && !incoming.readableEnded) this.#lost();
  }

  #arrived(chunk: Uint8Array): void {
    this.#receivedBytes += chunk.byteLength;
    if (this.#state === "discarding") {
      this.#discarded?.(chunk.byteLength);
      return;
    }
    if (this.#state !== "reading") return;
    if (this.#wanted) {
      this.#wanted = false;
      this.#controller?.enqueue(chunk);
      return;
    }
    this.#queue.push(chunk);
    this.#queuedCost += chunk.byteLength + chunkOverheadBytes;
    if (this.#queuedCost >= readAheadBytesMax) this.pause();
  }

  #ended(): void {
    if (this.#state !== "reading") return;
    this.#state = "ended";
    this.#closeWhenEmpty();
  }

  #closeWhenEmpty(): void {
    if (this.#queue.length > 0) return;
    this.#wanted = false;
    this.#controller?.close();
  }

  #lost(cause?: Error): void {
    const message = "the client went away before the request's body ended";
    this.fail(new OciError("SIZE_INVALID", { message, cause }));
  }
}
