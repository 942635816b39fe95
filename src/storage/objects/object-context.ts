/** What the parts of the object store share. */
import type { ObjectBucket } from "./object-bucket.ts";
import type { ObjectNames } from "./object-names.ts";
import type { PartBuffers } from "./part-buffers.ts";
import type { RecentObjects } from "./recent-objects.ts";

export interface ObjectContext {
  readonly bucket: ObjectBucket;
  readonly names: ObjectNames;
  readonly buffers: PartBuffers;
  readonly recent: RecentObjects;
  /** A word (letters, digits, `-` and `_`) that never comes again, on any node. */
  readonly newId: () => string;
}

/** Sees whether an object of this size is there, unless this process has made it itself. */
export async function isThere(ctx: ObjectContext, object: string, size: number): Promise<boolean> {
  if (ctx.recent.has(object, size)) return true;
  const found = await ctx.bucket.head(object, {});
  return found?.size === size;
}

/** Deletes objects, which nothing refers to any more. */
export async function deleteObjects(ctx: ObjectContext, objects: readonly string[]): Promise<void> {
  if (objects.length === 0) return;
  ctx.recent.forget(objects);
  await ctx.bucket.delete(objects, {});
}
