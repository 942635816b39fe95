/**
 * The body of an object, taken up again where it breaks off or stalls. Objects never change under
 * their key, so that the rest is the same object's.
 */
import { StorageError, StorageUnavailable, type ByteSpan } from "../blob-store.ts";
import { BucketError } from "./object-bucket.ts";
import type { Tries } from "./resilient-bucket-tries.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A body, and what ends it when nobody wants it any more. */
export interface OpenedBody {
  /** Bytes. */
  readonly size: number;
  readonly body: ReadableStream<Bytes>;
  readonly controller: AbortController;
}

export interface ResumableBody {
  readonly store: string;
  /** For errors. */
  readonly key: string;
  /** Of the body's first byte in the object. */
  readonly start: number;
  readonly first: OpenedBody;
  readonly signal: AbortSignal | undefined;
  readonly reopen: (rest: ByteSpan) => Promise<OpenedBody | undefined>;
}

/**
 * Gives exactly the bytes that were announced, or fails: with `StorageUnavailable` when the store
 * does not give them, with `StorageError` when what it gives is not them.
 */
export function resumable(tries: Tries, options: ResumableBody): ReadableStream<Bytes> {
  const source = new ResumedSource(tries, options);
  // Nothing is read ahead: the time in which nobody asks for bytes is not the store's.
  return new ReadableStream<Bytes>(source, { highWaterMark: 0 });
}

class ResumedSource {
  readonly #tries: Tries;
  readonly #options: ResumableBody;
  #opened: OpenedBody;
  #reader: ReadableStreamDefaultReader<Bytes>;
  #received = 0;
  /** Where the current try began, and how long it has been waited for. */
  #openedAt = 0;
  #waitedMs = 0;
  /** Where the last useless try began, and how many there were in a row. */
  #stuckAt = 0;
  #stuck = 0;
  #stopListening: () => void = () => undefined;

  constructor(tries: Tries, options: ResumableBody) {
    this.#tries = tries;
    this.#options = options;
    this.#opened = options.first;
    this.#reader = options.first.body.getReader();
  }

  start(stream: ReadableStreamDefaultController<Bytes>): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    const aborted = (): void => {
      stream.error(signal.reason);
      this.#end(signal.reason);
    };
    signal.addEventListener("abort", aborted, { once: true });
    this.#stopListening = () => signal.removeEventListener("abort", aborted);
    if (signal.aborted) aborted();
  }

  async pull(stream: ReadableStreamDefaultController<Bytes>): Promise<void> {
    try {
      const bytes = await this.#next();
      if (this.#options.signal?.aborted === true) return;
      if (bytes !== undefined) {
        stream.enqueue(bytes);
        return;
      }
      this.#stopListening();
      stream.close();
    } catch (error) {
      this.#end(error);
      throw error;
    }
  }

  cancel(reason: unknown): void {
    this.#end(reason);
  }

  /** The next bytes, from as many answers as it takes; none at the end. */
  async #next(): Promise<Bytes | undefined> {
    const { first, signal } = this.#options;
    for (;;) {
      const { broken, bytes } = await this.#read();
      if (signal?.aborted === true) return undefined;
      if (bytes !== undefined) {
        this.#received += bytes.byteLength;
        if (this.#received > first.size) throw this.#wrong(`gives more than ${first.size} bytes`);
        return bytes;
      }
      // Whatever its end came to: all is there.
      if (this.#received === first.size) {
        if (broken !== undefined) this.#drop(broken);
        return undefined;
      }
      await this.#resume(broken ?? this.#cutShort());
    }
  }

  async #read(): Promise<{ readonly bytes?: Bytes | undefined; readonly broken?: unknown }> {
    const { settings, timing } = this.#tries;
    const earnedMs = ((this.#received - this.#openedAt) / settings.bytesPerSecondMin) * 1000;
    const patienceMs = settings.idleMs + earnedMs - this.#waitedMs;
    const begunAt = timing.now();
    const { controller } = this.#opened;
    try {
      const limitMs = Math.max(0, Math.min(settings.idleMs, patienceMs));
      const read = this.#reader.read();
      const { value } = await this.#tries.within(limitMs, read, { controller, signal: undefined });
      this.#waitedMs += timing.now() - begunAt;
      return { bytes: value };
    } catch (error) {
      return { broken: error };
    }
  }

  /** Takes the body up where it stands. */
  async #resume(error: unknown): Promise<void> {
    const { first, key, start } = this.#options;
    const { settings } = this.#tries;
    this.#drop(error);
    if (this.#received - this.#stuckAt >= settings.resumeProgressBytes) this.#stuck = 0;
    this.#stuckAt = this.#received;
    this.#stuck += 1;
    if (this.#stuck > settings.resumes) {
      throw this.#tries.giveUp("get", `of ${key} came to a stop`, error);
    }
    const rest = { start: start + this.#received, end: start + first.size - 1 };
    const opened = await this.#reopen(rest, error);
    if (opened === undefined) throw this.#wrong(`is gone after ${this.#received} bytes`);
    this.#opened = opened;
    this.#reader = opened.body.getReader();
    this.#openedAt = this.#received;
    this.#waitedMs = 0;
    if (opened.size !== first.size - this.#received) {
      throw this.#wrong(`gives ${opened.size} bytes where others are missing`);
    }
  }

  /**
   * The answer has begun, so that nobody can be told to come back later: a store that is down is
   * waited for, too.
   */
  async #reopen(rest: ByteSpan, error: unknown): Promise<OpenedBody | undefined> {
    const { settings, timing } = this.#tries;
    const { signal } = this.#options;
    const until = timing.now() + settings.resumeMs;
    let retry = { error, atLeastMs: 0 };
    for (let tries = this.#stuck + 1; ; tries += 1) {
      await this.#tries.pause({ operation: "get", cause: "body", ...retry, tries, until, signal });
      try {
        return await this.#options.reopen(rest);
      } catch (refusal) {
        if (!(refusal instanceof StorageUnavailable)) throw refusal;
        retry = { error: refusal, atLeastMs: refusal.retryAfterMs ?? 0 };
      }
    }
  }

  #cutShort(): BucketError {
    const bytes = `${this.#received} of ${this.#options.first.size} bytes`;
    return new BucketError(this.#options.store, `the body ended after ${bytes}`, {
      transient: true,
    });
  }

  #wrong(what: string): StorageError {
    return new StorageError(this.#options.store, `${this.#options.key} ${what}`);
  }

  #end(reason: unknown): void {
    this.#stopListening();
    this.#drop(reason);
  }

  /** Ends what is still coming; that it fails too is no news. */
  #drop(reason: unknown): void {
    this.#opened.controller.abort(reason);
    this.#reader.cancel(reason).catch(() => undefined);
  }
}
