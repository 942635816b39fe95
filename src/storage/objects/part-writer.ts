/**
 * Receiving a body into parts: one fills while the one before it is sent.
 *
 * A part is only sent when enough has come after it to be a part, too. So the end of a body joins
 * the last part where it is small, and only an append that brings less than the smallest part
 * leaves a tail that needs an object of its own. Of one upload there are never more bytes in memory
 * than two parts.
 */
import { StorageError } from "../blob-store.ts";
import type { Intake } from "../receive.ts";
import type { PartsTarget } from "./object-bucket.ts";
import type { ObjectContext } from "./object-context.ts";
import { Pieces } from "./part-buffers.ts";
import type { StatePart } from "./upload-state.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Where a body is appended. */
export interface WriterBase {
  /** Bytes before those that are written. */
  readonly offset: number;
  /** Bytes that lie in the store, and have to be sent again before the body's. */
  readonly carry: Pieces | undefined;
  /** What the upload's parts are; `undefined`: it has none, and begins some when it needs them. */
  readonly parts: WriterParts | undefined;
}

/**
 * What is left when all parts were sent. Without a tag: all of the upload, which has no parts. With
 * a tag: its tail, which was sent as the last part, and cannot be read back from there. Nothing is
 * left where the parts have it all.
 */
export type WriterRest = { readonly pieces: Pieces; readonly tag: string | undefined } | undefined;

export interface WriterParts {
  readonly target: PartsTarget;
  readonly list: readonly StatePart[];
}

/** The upload as it was before the body. */
export interface WriterPlace {
  /** Prepares the place, when the first byte has come: it may cost several requests. */
  open(): Promise<WriterBase>;
  /** Begins a multipart upload. */
  begin(): Promise<PartsTarget>;
  /** The same parts in another place, after the vendor has said that there is no such target. */
  recover(parts: WriterParts, error: unknown): Promise<WriterParts>;
}

export interface PartWriterOptions {
  readonly ctx: ObjectContext;
  readonly base: WriterPlace;
  readonly observe: ((chunk: Uint8Array) => void) | undefined;
}

export class PartWriter implements Intake {
  readonly #options: PartWriterOptions;
  /** What the next bytes are received into. */
  #next: ArrayBuffer;
  #pending: Pieces;
  #isOpen = false;
  #size = 0;
  #target: PartsTarget | undefined;
  #list: StatePart[] = [];
  /** Parts that were sent to `#target` by this writer. */
  #sent = 0;
  #sending: Promise<void> | undefined;
  #failure: { readonly cause: unknown } | undefined;

  constructor(options: PartWriterOptions) {
    const { buffers } = options.ctx;
    this.#options = options;
    this.#next = buffers.take();
    this.#pending = new Pieces(buffers);
  }

  /** The offset behind the last byte. */
  get size(): number {
    return this.#size;
  }

  /** Whether anything is there to be written. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get parts(): WriterParts | undefined {
    return this.#target && { target: this.#target, list: this.#list };
  }

  room(): Bytes {
    return new Uint8Array(this.#next);
  }

  filled(bytes: Bytes): Promise<void> | undefined {
    this.#next = bytes.buffer;
    if (bytes.byteLength === 0) return undefined;
    if (this.#isOpen) return this.#take(bytes);
    return this.open().then(() => this.#take(bytes));
  }

  async open(): Promise<void> {
    const { carry, offset, parts } = await this.#options.base.open();
    this.#isOpen = true;
    this.#size = offset;
    if (carry !== undefined) this.#pending = carry;
    if (parts === undefined) return;
    this.#target = parts.target;
    this.#list = [...parts.list];
  }

  /** Sends what is left, and returns what needs an object of its own. */
  async finish(): Promise<WriterRest> {
    await this.#idle();
    const pieces = this.#pending;
    if (this.#target === undefined) return { pieces, tag: undefined };
    if (pieces.size === 0) return undefined;
    const { partBytesMin, partsMax } = this.#options.ctx.bucket.limits;
    if (this.#pending.size >= partBytesMin) {
      this.#send(this.#pending.size);
      await this.#idle();
      return undefined;
    }
    if (this.#list.length >= partsMax) throw this.#tooLarge();
    return { pieces, tag: await this.#sendPart(this.#list.length + 1, pieces) };
  }

  /** Nothing is sent any more when this resolves. */
  async close(): Promise<void> {
    await this.#sending;
    this.#pending.free();
    this.#options.ctx.buffers.give(this.#next);
  }

  #take(bytes: Bytes): Promise<void> | undefined {
    this.#options.observe?.(bytes);
    this.#size += bytes.byteLength;
    this.#next = this.#pending.add(bytes);
    const { partBytes, partBytesMin } = this.#options.ctx.bucket.limits;
    if (this.#pending.size >= partBytes + partBytesMin) {
      return this.#idle().then(() => this.#send(partBytes));
    }
    // Two parts are in memory, or one and a half where many uploads share it.
    const enough = this.#options.ctx.buffers.areScarce ? partBytes / 2 : partBytes;
    return this.#pending.size < enough ? undefined : this.#sending && this.#idle();
  }

  #send(size: number): void {
    const { bucket } = this.#options.ctx;
    const number = this.#list.length + 1;
    if (number > bucket.limits.partsMax) throw this.#tooLarge();
    const pieces = this.#pending.takeFirst(size);
    this.#sending = this.#sendAndFree(number, pieces);
  }

  /** Does not reject: who waits next is told. */
  async #sendAndFree(number: number, pieces: Pieces): Promise<void> {
    try {
      const tag = await this.#sendPart(number, pieces);
      this.#list.push([tag, pieces.size]);
    } catch (cause) {
      this.#failure = { cause };
    } finally {
      this.#sending = undefined;
      pieces.free();
    }
  }

  async #sendPart(number: number, pieces: Pieces): Promise<string> {
    const { base, ctx } = this.#options;
    this.#target ??= await base.begin();
    try {
      return await ctx.bucket.putPart(this.#target, number, pieces.list, {});
    } catch (error) {
      // What this writer has sent there already is in no other place.
      if (this.#sent > 0) throw error;
      const recovered = await base.recover({ target: this.#target, list: this.#list }, error);
      this.#target = recovered.target;
      this.#list = [...recovered.list];
      const next = this.#list.length + 1;
      return await ctx.bucket.putPart(recovered.target, next, pieces.list, {});
    } finally {
      this.#sent += 1;
    }
  }

  /** Waits for the part that is being sent. Throws if it, or one before it, has failed. */
  async #idle(): Promise<void> {
    await this.#sending;
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  #tooLarge(): StorageError {
    const { limits, name } = this.#options.ctx.bucket;
    const message =
      `content is larger than ${limits.partsMax} parts of ${limits.partBytes} bytes; ` +
      "a larger chunksize allows for more";
    return new StorageError(name, message);
  }
}
