/** The memory that bodies are received into, used again and again. */

type Bytes = Uint8Array<ArrayBuffer>;

/** As much as Node takes from a socket at once. */
const bufferBytes = 64 * 1024;
/** Less than this is copied to the end of the buffer before it, so that tiny chunks fill it too. */
const smallBytes = 16 * 1024;
/** So many spare buffers are kept in any case (4 MiB), since fresh memory costs page faults. */
const keptBuffersMin = 64;

/** In use by so many (64 MiB) they are scarce: enough for three uploads that never wait. */
const plentyBuffers = 1024;

/** The buffers of all uploads of a store. */
export class PartBuffers {
  readonly #kept: ArrayBuffer[] = [];
  #taken = 0;

  /** Whether uploads should do with less. */
  get areScarce(): boolean {
    return this.#taken > plentyBuffers;
  }

  take(): ArrayBuffer {
    this.#taken += 1;
    return this.#kept.pop() ?? new ArrayBuffer(bufferBytes);
  }

  /**
   * While a part is sent the next one fills, so that as much is kept as is in use: it is needed in
   * a moment. When the uploads have ended it goes.
   */
  give(buffer: ArrayBuffer): void {
    this.#taken -= 1;
    // One that a cancelled body kept is empty.
    if (buffer.byteLength === bufferBytes) this.#kept.push(buffer);
    // Frees it now, where the collector would let megabytes pile up.
    while (this.#kept.length > Math.max(keptBuffersMin, this.#taken)) this.#kept.pop()?.transfer(0);
  }
}

/** Bytes in order, in buffers of the pool, of which each piece has its own. */
export class Pieces {
  readonly #buffers: PartBuffers;
  #list: Bytes[] = [];
  #size = 0;

  constructor(buffers: PartBuffers) {
    this.#buffers = buffers;
  }

  /** Bytes. */
  get size(): number {
    return this.#size;
  }

  get list(): readonly Bytes[] {
    return this.#list;
  }

  /** Takes over `bytes`, which begin a buffer of the pool. Returns the buffer to go on with. */
  add(bytes: Bytes): ArrayBuffer {
    this.#size += bytes.byteLength;
    if (this.#addToLast(bytes)) return bytes.buffer;
    this.#list.push(bytes);
    return this.#buffers.take();
  }

  /** Copies `bytes`, which are somebody else's. */
  copy(bytes: Uint8Array): void {
    for (let position = 0; position < bytes.byteLength; position += bufferBytes) {
      const part = bytes.subarray(position, position + bufferBytes);
      const own = new Uint8Array(this.#buffers.take(), 0, part.byteLength);
      own.set(part);
      this.#buffers.give(this.add(own));
    }
  }

  /** Takes the first `size` bytes out. */
  takeFirst(size: number): Pieces {
    const first = new Pieces(this.#buffers);
    let count = 0;
    for (const piece of this.#list) {
      if (first.#size + piece.byteLength > size) break;
      first.#size += piece.byteLength;
      count += 1;
    }
    first.#list = this.#list.slice(0, count);
    this.#list = this.#list.slice(count);
    this.#size -= first.#size;
    const [split] = this.#list;
    const missing = size - first.#size;
    if (split !== undefined && missing > 0) {
      // One piece belongs to both: what comes first is copied, so that each has its own memory.
      first.copy(split.subarray(0, missing));
      this.#list[0] = split.subarray(missing);
      this.#size -= missing;
    }
    return first;
  }

  /** Gives the memory back. Nobody may use the pieces any more. */
  free(): void {
    for (const { buffer } of this.#list) this.#buffers.give(buffer);
    this.#list = [];
    this.#size = 0;
  }

  #addToLast(bytes: Bytes): boolean {
    const last = this.#list.at(-1);
    if (last === undefined || bytes.byteLength > smallBytes) return false;
    const end = last.byteOffset + last.byteLength;
    if (end + bytes.byteLength > last.buffer.byteLength) return false;
    const longer = new Uint8Array(last.buffer, last.byteOffset, last.byteLength + bytes.byteLength);
    longer.set(bytes, last.byteLength);
    this.#list[this.#list.length - 1] = longer;
    return true;
  }
}
