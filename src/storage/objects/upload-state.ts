/**
 * What an upload has, as text that lies in the metadata between requests. It names exactly the
 * bytes that count: objects and parts that it does not name are leftovers of attempts that nobody
 * was told of.
 */
import { StorageError } from "../blob-store.ts";

/** Bytes that lie in an object of their own. */
export interface StateObject {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/** `[tag, size in bytes]`; its number is its place in the list, from 1. */
export type StatePart = readonly [tag: string, size: number];

/** A multipart upload to the object `name`, and the parts of it that count. */
export interface StateParts {
  readonly name: string;
  /** The vendor's. */
  readonly id: string;
  readonly list: readonly StatePart[];
}

/**
 * A tail lies in the store twice: as the last part, which ends the upload as it is, and as an
 * object, from which an append that goes on reads it back, since parts cannot be read.
 */
export interface StateTail extends StateObject {
  readonly tag: string;
}

/** Something that is superseded: an object, or a multipart upload and the object made of it. */
export interface StateLeftover {
  readonly name: string;
  /** The multipart upload's. */
  readonly id?: string;
}

export interface UploadState {
  /** Makes each takeover's state differ from all others. */
  readonly nonce?: string;
  /** Content that is no larger than one part, all of it. */
  readonly whole?: StateObject;
  /** Larger content, but for its tail. */
  readonly parts?: StateParts;
  /** Bytes after the parts, too few to be a part that others follow. */
  readonly tail?: StateTail;
  /** Superseded by this state: to be deleted once it was saved. */
  readonly drop?: readonly StateLeftover[];
  /**
   * What a listing found: a multipart upload to `key` that nobody has completed. Whoever aborts
   * this state must not touch the object `key`: it may have been completed and committed since.
   */
  readonly incomplete?: { readonly key: string; readonly id: string };
}

/**
 * Nodes of two versions may work on one upload while one of them is being replaced. A version that
 * a node does not know is refused, and never guessed.
 */
const version = 1;

export function formatState(state: UploadState): string {
  return JSON.stringify({ version, ...state });
}

/** Throws a `StorageError` for anything but what `formatState` made. */
export function parseState(store: string, text: string): UploadState {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new StorageError(store, "an upload's state is not of this store", { cause });
  }
  if (isRecord(parsed) && parsed["version"] === version) return parsed;
  throw new StorageError(store, "an upload's state is of another store, or of a newer version");
}

/** Bytes of all parts. */
export function partsSize(list: readonly StatePart[] | undefined): number {
  return list?.reduce((sum, [, size]) => sum + size, 0) ?? 0;
}

/** Bytes of the upload. */
export function stateSize({ parts, tail, whole }: UploadState): number {
  return whole?.size ?? partsSize(parts?.list) + (tail?.size ?? 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
