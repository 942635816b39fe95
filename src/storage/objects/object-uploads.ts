/**
 * Uploads on an object store. What an upload has is what its state says; see `upload-state.ts`.
 *
 * Objects and parts that a new state does not need any more stay until that state was saved: the
 * next append or the upload's end deletes them. A crash, wherever it comes, leaves the old state
 * with all that it names, and at most some objects that no state names. Those are orphans, which
 * the sweeper finds by their upload's id when the upload is gone.
 */
import { StorageError } from "../blob-store.ts";
import type { AppendOptions, AppendResult, BlobKey, StoredUpload } from "../blob-store.ts";
import { receive, type Interruption } from "../receive.ts";
import { deleteObjects, isThere, type ObjectContext } from "./object-context.ts";
import { copyObject, copyToParts, readPieces, type CopySource } from "./object-copy.ts";
import { dataKey } from "./object-names.ts";
import type { Pieces } from "./part-buffers.ts";
import { PartWriter } from "./part-writer.ts";
import { AppendBase, contentOf, lost, nameOf } from "./upload-append.ts";
import { completeUpload } from "./upload-completion.ts";
import { formatState, parseState, stateSize } from "./upload-state.ts";
import type { StateLeftover, StateObject, UploadState } from "./upload-state.ts";

export interface Appended extends AppendResult {
  readonly interruption: Interruption | undefined;
}

/** An object that begins with all bytes of an upload. */
export interface UploadObject extends CopySource {
  readonly key: BlobKey;
  /** Behind them there are others, which are nobody's. */
  readonly isLonger: boolean;
}

export class ObjectUploads {
  readonly #ctx: ObjectContext;

  constructor(ctx: ObjectContext) {
    this.#ctx = ctx;
  }

  /** Nothing exists in the backend before the first byte. */
  create(): string {
    return formatState({});
  }

  /**
   * A state with the first `size` bytes of another one, of which it shares nothing. Completing the
   * old multipart upload ends it for whoever still writes to it.
   */
  async takeOver(id: string, from: StoredUpload, size: number): Promise<string> {
    const old = this.#parse(from);
    const nonce = this.#ctx.newId();
    this.#mustHave(old, size);
    if (size === 0) return formatState({ nonce });
    const { object } = await this.#object(from.id, old);
    if (size >= this.#ctx.bucket.limits.partBytesMin && old.parts !== undefined) {
      const name = this.#ctx.newId();
      const to = this.#ctx.names.uploaded(id, name);
      const copied = await copyToParts(this.#ctx, { object, size }, to);
      return formatState({ nonce, parts: { name, id: copied.target.id, list: copied.list } });
    }
    const pieces = await this.#read(object, size);
    try {
      return formatState({ nonce, whole: await this.#put(id, pieces) });
    } finally {
      pieces.free();
    }
  }

  async append(
    upload: StoredUpload,
    body: ReadableStream<Uint8Array>,
    { observe, offset, signal }: AppendOptions,
  ): Promise<Appended> {
    const state = this.#parseOrRefuse(upload, offset, body);
    const base = new AppendBase({
      ctx: this.#ctx,
      id: upload.id,
      state,
      offset,
      complete: () => this.#object(upload.id, state),
    });
    const writer = new PartWriter({ ctx: this.#ctx, base, observe });
    // The state was saved, for it was handed in: what it superseded can go.
    const dropping = this.#drop(upload.id, state.drop ?? []).then(
      () => [],
      () => state.drop ?? [],
    );
    try {
      const interruption = await receive(body, signal, writer);
      const isUnchanged = !writer.isOpen && offset === stateSize(state) && hasContent(state);
      if (isUnchanged) return { size: offset, state: upload.state, interruption };
      if (!writer.isOpen) await writer.open();
      const content = await this.#finish(upload.id, writer);
      const drop = [...(await dropping), ...base.superseded(content)];
      const next = { ...nonceOf(state), ...content, ...(drop.length > 0 ? { drop } : {}) };
      return { size: writer.size, state: formatState(next), interruption };
    } finally {
      await Promise.all([writer.close(), dropping]);
    }
  }

  /**
   * The object that begins with all bytes of an upload. A multipart upload is completed for it:
   * whoever appends afterwards goes on in a new one.
   */
  async whole(upload: StoredUpload, size: number): Promise<UploadObject> {
    const state = this.#parse(upload);
    this.#mustHave(state, size);
    return await this.#object(upload.id, state);
  }

  /** The key of an object that has all bytes of an upload and no others. */
  async commit(upload: StoredUpload, size: number): Promise<BlobKey> {
    const { isLonger, key, object } = await this.whole(upload, size);
    if (!isLonger) return key;
    const exact = dataKey(upload.id, this.#ctx.newId());
    await copyObject(this.#ctx, { object, size }, this.#ctx.names.object(exact));
    return exact;
  }

  /** Bytes that the state says the upload has; `undefined` when it was never written. */
  size(upload: StoredUpload): number | undefined {
    const state = this.#parse(upload);
    return hasContent(state) ? stateSize(state) : undefined;
  }

  async abort(upload: StoredUpload, keep: BlobKey | undefined): Promise<void> {
    const state = this.#parse(upload);
    const { drop = [], incomplete } = state;
    if (incomplete !== undefined) {
      const { id, key } = incomplete;
      await this.#ctx.bucket.abortParts({ id, key: this.#ctx.names.object(key as BlobKey) }, {});
    }
    const leftovers = [...drop, ...contentOf(state)];
    const isKept = ({ name }: StateLeftover): boolean => dataKey(upload.id, name) === keep;
    await this.#drop(
      upload.id,
      leftovers.filter((leftover) => !isKept(leftover)),
    );
  }

  async #finish(id: string, writer: PartWriter): Promise<UploadState> {
    const rest = await writer.finish();
    const stored = rest && (await this.#put(id, rest.pieces));
    if (writer.parts === undefined) return stored === undefined ? {} : { whole: stored };
    const { list, target } = writer.parts;
    const parts = { name: nameOf(target), id: target.id, list };
    if (stored === undefined || rest?.tag === undefined) return { parts };
    return { parts, tail: { ...stored, tag: rest.tag } };
  }

  async #put(id: string, pieces: Pieces): Promise<StateObject> {
    const { bucket, names, newId, recent } = this.#ctx;
    const name = newId();
    const object = names.uploaded(id, name);
    await bucket.put(object, pieces.list, {});
    recent.add(object, pieces.size);
    return { name, size: pieces.size };
  }

  async #read(object: string, size: number): Promise<Pieces> {
    const pieces = await readPieces(this.#ctx, object, { start: 0, end: size - 1 });
    if (pieces === undefined) throw lost(this.#ctx, "bytes that an upload had are gone");
    return pieces;
  }

  async #object(id: string, state: UploadState): Promise<UploadObject> {
    const { names } = this.#ctx;
    const size = stateSize(state);
    const stored = state.whole ?? state.parts;
    if (stored === undefined) throw lost(this.#ctx, "it was never written");
    const key = dataKey(id, stored.name);
    const object = names.object(key);
    if (state.parts !== undefined) {
      const completed = await completeUpload(this.#ctx, id, state, { object, size });
      return { key, object, size, isLonger: completed === "longer" };
    }
    if (await isThere(this.#ctx, object, size)) return { key, object, size, isLonger: false };
    throw lost(this.#ctx, "bytes that an upload had are gone");
  }

  /** Multipart uploads are ended before their objects go, lest one is completed in between. */
  async #drop(id: string, leftovers: readonly StateLeftover[]): Promise<void> {
    const objects = leftovers.map(({ name }) => this.#ctx.names.uploaded(id, name));
    const ending = leftovers.map(async ({ id: partsId }, index) => {
      const key = objects[index];
      if (partsId === undefined || key === undefined) return;
      await this.#ctx.bucket.abortParts({ key, id: partsId }, {});
    });
    await Promise.all(ending);
    await deleteObjects(this.#ctx, objects);
  }

  #parse({ state }: StoredUpload): UploadState {
    return parseState(this.#ctx.bucket.name, state);
  }

  #parseOrRefuse(
    upload: StoredUpload,
    offset: number,
    body: ReadableStream<Uint8Array>,
  ): UploadState {
    try {
      const state = this.#parse(upload);
      this.#mustHave(state, offset);
      return state;
    } catch (error) {
      // Nobody will read the body: its source is told.
      body.cancel(error).catch(() => undefined);
      throw error;
    }
  }

  #mustHave(state: UploadState, size: number): void {
    const has = stateSize(state);
    if (has >= size) return;
    throw new StorageError(this.#ctx.bucket.name, `an upload has ${has} bytes and not ${size}`);
  }
}

function hasContent({ parts, whole }: UploadState): boolean {
  return whole !== undefined || parts !== undefined;
}

function nonceOf({ nonce }: UploadState): UploadState {
  return nonce === undefined ? {} : { nonce };
}
