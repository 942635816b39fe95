/** What the cases of the contract suite are made of. */
import { createHash } from "node:crypto";
import { digestOf } from "../oci/digest.ts";
import type { Digest, DigestAlgorithm } from "../oci/digest.ts";
import type { BlobKey, BlobStore, OpenedBlob, StoredUpload } from "./blob-store.ts";

/** What a case can be told beside its store. */
export interface ContractScene {
  /** Content of a few times this size, in bytes, is made of several pieces. */
  readonly partBytes: number;
  /** Another store on the same backend; the same one where there is no other. */
  readonly second: () => Promise<BlobStore>;
}

export type ContractCase = (store: BlobStore, scene: ContractScene) => Promise<void>;

/** Named by the sentence that each one holds. Every case has a store of its own. */
export type ContractCases = Readonly<Record<string, ContractCase>>;

export const mebibyte: number = 1024 * 1024;

/** Bytes that differ from place to place, the same for the same seed. */
export function someBytes(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = seed;
  for (let index = 0; index < words.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[index] = state;
  }
  return new Uint8Array(words.buffer).slice(0, size);
}

export function digest(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
  return digestOf(algorithm, createHash(algorithm).update(bytes).digest("hex"));
}

/**
 * A body that gives these chunks when it is asked for them, and then ends, or fails with `error`.
 */
export function bodyOf(
  chunks: readonly Uint8Array[],
  end?: { readonly error: unknown },
): ReadableStream<Uint8Array> {
  const left = chunks.map((chunk) => new Uint8Array(chunk)).toReversed();
  return new ReadableStream(
    {
      pull(controller) {
        const chunk = left.pop();
        if (chunk !== undefined) controller.enqueue(chunk);
        else if (end === undefined) controller.close();
        else controller.error(end.error);
      },
    },
    { highWaterMark: 0 },
  );
}

/** The same as a byte stream, as a request's body is one. It fails in the end. */
export function byteBodyOf(
  chunks: readonly Uint8Array[],
  error: unknown,
): ReadableStream<Uint8Array> {
  const left = chunks.map((chunk) => new Uint8Array(chunk)).toReversed();
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      const chunk = left.pop();
      if (chunk === undefined) controller.error(error);
      else controller.enqueue(chunk);
    },
  });
}

export async function begin(store: BlobStore, id: string): Promise<StoredUpload> {
  return { id, state: await store.create(id) };
}

/** Begins an upload and appends all of `bytes`. */
export async function uploaded(
  store: BlobStore,
  id: string,
  bytes: Uint8Array,
): Promise<StoredUpload> {
  const upload = await begin(store, id);
  const { state } = await store.append(upload, bodyOf([bytes]), { offset: 0 });
  return { id, state };
}

/** Uploads and commits `bytes`, and drops the upload, but for what was committed. */
export async function committed(
  store: BlobStore,
  bytes: Uint8Array,
  algorithm?: DigestAlgorithm,
): Promise<BlobKey> {
  const name = digest(bytes, algorithm);
  const upload = await uploaded(store, `of-${name.replace(":", "-").slice(0, 60)}`, bytes);
  const key = await store.commit(upload, name, bytes.byteLength);
  await store.abort(upload, { keep: key });
  return key;
}

/** Everything of what was opened. */
export async function allOf(opened: OpenedBlob | undefined): Promise<Uint8Array | undefined> {
  if (opened === undefined) return undefined;
  return opened.body instanceof Uint8Array ? opened.body : await readAll(opened.body);
}

export async function contentOf(store: BlobStore, key: BlobKey): Promise<Uint8Array | undefined> {
  return await allOf(await store.open(key));
}

export async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  // Copies, for a chunk's memory may be used again for the next one.
  for await (const chunk of stream) chunks.push(chunk.slice());
  return Buffer.concat(chunks);
}

export async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A short way to say "the same bytes" whose failure does not print megabytes. */
export function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array): boolean {
  return actual !== undefined && Buffer.compare(actual, expected) === 0;
}
