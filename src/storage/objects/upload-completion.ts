/** Making one object of an upload's parts. */
import { PartsLeftOver, PartsUnknown, type PartsTarget } from "./object-bucket.ts";
import type { ObjectContext } from "./object-context.ts";
import { readPieces, type CopySource } from "./object-copy.ts";
import { lost } from "./upload-append.ts";
import type { UploadState } from "./upload-state.ts";

/** `longer`: the object has the upload's bytes, and behind them others that are nobody's. */
export type Completed = "exact" | "longer";

/**
 * Completes the multipart upload of a state to `object`, which has to come to `size` bytes. Once
 * that was done the vendor knows the multipart upload no more, and the object speaks for itself by
 * its size: whatever it was made of, it begins with the parts that the state names.
 */
export async function completeUpload(
  ctx: ObjectContext,
  id: string,
  state: UploadState,
  { object, size }: CopySource,
): Promise<Completed> {
  const { parts, tail } = state;
  if (parts === undefined || ctx.recent.has(object, size)) return "exact";
  const target: PartsTarget = { key: object, id: parts.id };
  const tags = parts.list.map(([tag]) => tag);
  const all = tail === undefined ? tags : [...tags, tail.tag];
  const completed =
    (await complete(ctx, target, all)) ??
    (await seen(ctx, { object, size })) ??
    (await completeWithTail(ctx, id, state, target));
  if (completed === undefined) throw lost(ctx, "parts that an upload had are gone");
  if (completed === "exact") ctx.recent.add(object, size);
  return completed;
}

/** `undefined`: the vendor knows of no such upload, or not of these parts. */
async function complete(
  { bucket }: ObjectContext,
  target: PartsTarget,
  tags: readonly string[],
): Promise<Completed | undefined> {
  const list = tags.map((tag, index) => ({ number: index + 1, tag }));
  try {
    await bucket.completeParts(target, list, {});
    return "exact";
  } catch (error) {
    if (error instanceof PartsLeftOver) return "longer";
    if (error instanceof PartsUnknown) return undefined;
    throw error;
  }
}

/** Somebody has completed it before, to read it or to take it over. */
async function seen(
  { bucket }: ObjectContext,
  { object, size }: CopySource,
): Promise<Completed | undefined> {
  const found = await bucket.head(object, {});
  if (found === undefined || found.size < size) return undefined;
  return found.size === size ? "exact" : "longer";
}

/**
 * An append that began with the tail, and of which nobody has heard more, has sent its first part
 * in the tail's place. The tail has its bytes in an object, too.
 */
async function completeWithTail(
  ctx: ObjectContext,
  id: string,
  { parts, tail }: UploadState,
  target: PartsTarget,
): Promise<Completed | undefined> {
  if (parts === undefined || tail === undefined) return undefined;
  const object = ctx.names.uploaded(id, tail.name);
  const pieces = await readPieces(ctx, object, { start: 0, end: tail.size - 1 });
  if (pieces === undefined) return undefined;
  try {
    const tags = parts.list.map(([tag]) => tag);
    const tag = await ctx.bucket.putPart(target, tags.length + 1, pieces.list, {});
    return await complete(ctx, target, [...tags, tag]);
  } catch (error) {
    if (error instanceof PartsUnknown) return undefined;
    throw error;
  } finally {
    pieces.free();
  }
}
