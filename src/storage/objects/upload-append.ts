/** Where an append goes on: what of the upload stays, and what has to be read back or copied. */
import { UploadLost } from "../blob-store.ts";
import { PartsUnknown, type PartsTarget } from "./object-bucket.ts";
import type { ObjectContext } from "./object-context.ts";
import { copyToParts, readPieces, type CopySource } from "./object-copy.ts";
import { uploadedAt } from "./object-names.ts";
import type { Pieces } from "./part-buffers.ts";
import type { WriterBase, WriterParts } from "./part-writer.ts";
import { partsSize, stateSize } from "./upload-state.ts";
import type { StateLeftover, StatePart, UploadState } from "./upload-state.ts";

export interface AppendBaseOptions {
  readonly ctx: ObjectContext;
  /** The upload's id. */
  readonly id: string;
  readonly state: UploadState;
  /** Bytes that stay. */
  readonly offset: number;
  /** Makes one object of all that the state has. */
  readonly complete: () => Promise<CopySource>;
}

/** One append's view of the state that it begins with. */
export class AppendBase {
  readonly #options: AppendBaseOptions;

  constructor(options: AppendBaseOptions) {
    this.#options = options;
  }

  async open(): Promise<WriterBase> {
    const { offset, state } = this.#options;
    if (offset === 0) return { offset, carry: undefined, parts: undefined };
    if (state.whole !== undefined) {
      const carry = await this.#read(this.#object(state.whole.name), offset);
      return { offset, carry, parts: undefined };
    }
    return await this.#openParts();
  }

  async begin(): Promise<PartsTarget> {
    const { bucket } = this.#options.ctx;
    const key = this.#newObject();
    return { key, id: await bucket.beginParts(key, {}) };
  }

  /**
   * The upload was completed so that it could be read, and its object says so by its size: the
   * parts go on in a copy. Anything else that ended it took the bytes along.
   */
  async recover(parts: WriterParts, error: unknown): Promise<WriterParts> {
    const { ctx, state } = this.#options;
    if (!(error instanceof PartsUnknown) || state.parts === undefined) throw error;
    const object = this.#object(state.parts.name);
    const found = await ctx.bucket.head(object, {});
    if (found === undefined || found.size < stateSize(state)) {
      throw lost(ctx, "parts that an upload had are gone", error);
    }
    return await this.#copy({ object, size: partsSize(parts.list) });
  }

  /** What the state names and `next` does not. */
  superseded(next: UploadState): readonly StateLeftover[] {
    const names = new Set(contentOf(next).map(({ name }) => name));
    return contentOf(this.#options.state).filter(({ name }) => !names.has(name));
  }

  async #openParts(): Promise<WriterBase> {
    const { ctx, offset, state } = this.#options;
    const { parts, tail } = state;
    const list = parts === undefined ? [] : firstParts(parts.list, offset);
    const missing = offset - partsSize(list);
    const isAll = list.length === parts?.list.length;
    if (parts !== undefined && (isAll || missing === 0)) {
      const target = { key: this.#object(parts.name), id: parts.id };
      const tailed = missing > 0 && tail !== undefined;
      const carry = tailed ? await this.#read(this.#object(tail.name), missing) : undefined;
      return { offset, carry, parts: { target, list } };
    }
    // The offset lies within a part, which cannot be read before the upload is completed.
    const source = { ...(await this.#options.complete()), size: offset };
    if (offset >= ctx.bucket.limits.partBytesMin) {
      return { offset, carry: undefined, parts: await this.#copy(source) };
    }
    return { offset, carry: await this.#read(source.object, offset), parts: undefined };
  }

  async #copy(source: CopySource): Promise<WriterParts> {
    return await copyToParts(this.#options.ctx, source, this.#newObject());
  }

  async #read(object: string, size: number): Promise<Pieces> {
    const pieces = await readPieces(this.#options.ctx, object, { start: 0, end: size - 1 });
    if (pieces === undefined) throw lost(this.#options.ctx, "bytes that an upload had are gone");
    return pieces;
  }

  #newObject(): string {
    return this.#object(this.#options.ctx.newId());
  }

  #object(name: string): string {
    return this.#options.ctx.names.uploaded(this.#options.id, name);
  }
}

/** Everything that a state's content lies in. */
export function contentOf({ parts, tail, whole }: UploadState): readonly StateLeftover[] {
  const target = parts && { name: parts.name, id: parts.id };
  const objects = [whole, tail].filter((object) => object !== undefined);
  return [...objects.map(({ name }) => ({ name })), ...(target === undefined ? [] : [target])];
}

/** The name below its upload that a part's target has. */
export function nameOf(target: PartsTarget): string {
  const name = uploadedAt(target.key)?.name;
  if (name === undefined) throw new TypeError("not an object of an upload");
  return name;
}

export function lost(ctx: ObjectContext, message: string, cause?: unknown): UploadLost {
  return new UploadLost(ctx.bucket.name, message, { cause });
}

/** As many whole parts as `size` bytes have. */
function firstParts(list: readonly StatePart[], size: number): readonly StatePart[] {
  let sum = 0;
  const count = list.findIndex(([, partSize]) => {
    sum += partSize;
    return sum > size;
  });
  return count === -1 ? list : list.slice(0, count);
}
