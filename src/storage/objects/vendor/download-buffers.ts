/** The memory that downloads are read into, used again and again. */

type Bytes = Uint8Array<ArrayBuffer>;

/** What a download begins with, and what one whose reader stalls holds twice. */
const smallBytes = 64 * 1024;
/** What one that is read quickly gets: a fifth of the CPU, since every read passes many hands. */
const largeBytes = 256 * 1024;
/** So many large ones at a time (16 MiB); further downloads go on with small ones. */
const largeMax = 64;
/** Spare ones are kept up to this many of each size: fresh memory costs more than the reading. */
const keptMax = 16;

export class DownloadBuffers {
  readonly #small: Bytes[] = [];
  readonly #large: Bytes[] = [];
  #largeTaken = 0;

  takeSmall(): Bytes {
    return this.#small.pop() ?? new Uint8Array(smallBytes);
  }

  /** A small one when there are too many large ones. */
  takeLarge(): Bytes {
    if (this.#largeTaken >= largeMax) return this.takeSmall();
    this.#largeTaken += 1;
    return this.#large.pop() ?? new Uint8Array(largeBytes);
  }

  /** Nobody reads from it, or into it, any more. */
  give(buffer: Bytes): void {
    this.forget(buffer);
    const kept = buffer.byteLength === largeBytes ? this.#large : this.#small;
    if (kept.length < keptMax) kept.push(buffer);
  }

  /** Somebody may still read into it: it is left to the collector. */
  forget(buffer: Bytes): void {
    if (buffer.byteLength === largeBytes) this.#largeTaken -= 1;
  }
}
