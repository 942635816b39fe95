/** Receiving an upload's body, the same for every adapter. */

type Bytes = Uint8Array<ArrayBuffer>;

/** The body failed, or the signal was aborted. */
export interface Interruption {
  readonly cause: unknown;
}

/** Brings the memory that a body is received into, and takes what has come. */
export interface Intake {
  /**
   * Room for the next bytes. Its buffer is given away: it comes back, as another object, filled.
   */
  room(): Bytes;
  /** The bytes that came, at the start of the room; maybe none. What it returns is waited for. */
  filled(bytes: Bytes): Promise<void> | undefined;
}

/**
 * Receives `body` to its end, in order. Resolves with the cause when it ended early; what was
 * `filled` until then stays. What the intake throws is thrown. The body is cancelled unless it was
 * read to its end.
 *
 * A byte stream is read with a reader that brings its own buffers: the memory that the network's
 * chunks came in is free again at once, where it would pile up by tens of megabytes otherwise.
 */
export async function receive(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
  intake: Intake,
): Promise<Interruption | undefined> {
  const reader = openReader(body);
  // A cancelled body answers the read that is waiting for it, so that nothing has to race.
  const abort = (): void => quietly(reader.cancel(signal?.reason));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted === true) abort();
    for (;;) {
      const next = await nextOf(reader, intake);
      if (signal?.aborted === true) return { cause: signal.reason };
      if ("cause" in next) return next;
      const busy = next.bytes && intake.filled(next.bytes);
      if (busy !== undefined) await busy;
      if (next.done) return undefined;
    }
  } catch (error) {
    quietly(reader.cancel(error));
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    reader.release();
  }
}

interface Received {
  readonly done: boolean;
  readonly bytes: Bytes | undefined;
}

interface BodyReader {
  read(room: Bytes): Promise<Received>;
  cancel(reason: unknown): Promise<void>;
  release(): void;
}

async function nextOf(reader: BodyReader, intake: Intake): Promise<Received | Interruption> {
  const room = intake.room();
  try {
    return await reader.read(room);
  } catch (cause) {
    return { cause };
  }
}

function openReader(body: ReadableStream<Uint8Array>): BodyReader {
  try {
    return new OwnBufferReader(body.getReader({ mode: "byob" }));
  } catch {
    // Not a byte stream.
    return new CopyingReader(body.getReader());
  }
}

class OwnBufferReader implements BodyReader {
  readonly #reader: ReadableStreamBYOBReader;

  constructor(reader: ReadableStreamBYOBReader) {
    this.#reader = reader;
  }

  async read(room: Bytes): Promise<Received> {
    const { done, value } = await this.#reader.read(room);
    return { done, bytes: value };
  }

  cancel(reason: unknown): Promise<void> {
    return this.#reader.cancel(reason);
  }

  release(): void {
    this.#reader.releaseLock();
  }
}

class CopyingReader implements BodyReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** What did not fit into the last room. */
  #rest: Uint8Array = new Uint8Array();

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  async read(room: Bytes): Promise<Received> {
    if (this.#rest.byteLength === 0) {
      const { done, value } = await this.#reader.read();
      if (done) return { done, bytes: undefined };
      this.#rest = value;
    }
    const taken = this.#rest.subarray(0, room.byteLength);
    this.#rest = this.#rest.subarray(taken.byteLength);
    room.set(taken);
    return { done: false, bytes: room.subarray(0, taken.byteLength) };
  }

  cancel(reason: unknown): Promise<void> {
    return this.#reader.cancel(reason);
  }

  release(): void {
    this.#reader.releaseLock();
  }
}

/** The body's end is known already; that its source cannot be told adds nothing. */
function quietly(cancelled: Promise<void>): void {
  cancelled.catch(() => undefined);
}
