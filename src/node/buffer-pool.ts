/** Buffers for streamed answers: reused, and bounded over all answers of a server together. */

/** One small buffer is always given; what a slow reader holds. */
export const bufferBytesMin: number = 64 * 1024;
/** Beyond this a larger read saves nothing more (measured). */
export const bufferBytesMax: number = 1024 * 1024;
/**
 * Buffers nobody uses at the moment are kept up to this much, since fresh memory costs page faults.
 */
const keptBytesMax = 8 * 1024 * 1024;

export class BufferPool {
  readonly #lendableBytesMax: number;
  readonly #kept = new Map<number, ArrayBuffer[]>();
  #keptBytes = 0;
  #lentBytes = 0;

  constructor(lendableBytesMax: number) {
    this.#lendableBytesMax = lendableBytesMax;
  }

  /** Bytes of all buffers that are lent at the moment. */
  get lentBytes(): number {
    return this.#lentBytes;
  }

  /**
   * A buffer of `size` bytes (a power of two), or of less: never more than an eighth of what the
   * budget has left, so that readers who stall with large buffers leave something for the others;
   * and never less than the smallest.
   */
  take(size: number): ArrayBuffer {
    const share = (this.#lendableBytesMax - this.#lentBytes) / 8;
    let granted = size;
    while (granted > share && granted > bufferBytesMin) granted /= 2;
    this.#lentBytes += granted;
    const buffer = this.#kept.get(granted)?.pop();
    if (buffer === undefined) return new ArrayBuffer(granted);
    this.#keptBytes -= granted;
    return buffer;
  }

  /** Takes a buffer back that nobody reads or writes any more. */
  give(buffer: ArrayBuffer): void {
    const size = buffer.byteLength;
    this.#lentBytes -= size;
    if (this.#keptBytes + size > keptBytesMax) {
      // Frees the memory now, where the collector would let megabytes pile up.
      buffer.transfer(0);
      return;
    }
    this.#keptBytes += size;
    const kept = this.#kept.get(size);
    if (kept === undefined) this.#kept.set(size, [buffer]);
    else kept.push(buffer);
  }

  /** Writes off a buffer of `size` bytes that somebody may still be reading or writing. */
  forget(size: number): void {
    this.#lentBytes -= size;
  }
}

/** The buffers of one answer: one that is being filled, one that is being written. */
export class BufferLoan {
  readonly #pool: BufferPool;
  #bytes = 0;
  #written: ArrayBuffer | undefined;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  take(size: number): ArrayBuffer {
    const buffer = this.#pool.take(size);
    this.#bytes += buffer.byteLength;
    return buffer;
  }

  giveBack(buffer: ArrayBuffer): void {
    this.#bytes -= buffer.byteLength;
    this.#pool.give(buffer);
  }

  writing(buffer: ArrayBuffer): void {
    this.#written = buffer;
  }

  /** What was being written has been flushed. */
  giveWritten(): void {
    if (this.#written !== undefined) this.giveBack(this.#written);
    this.#written = undefined;
  }

  /**
   * What has not been given back by now may still be in somebody's hands, and is not used again.
   */
  end(): void {
    this.#pool.forget(this.#bytes);
    this.#bytes = 0;
  }
}
