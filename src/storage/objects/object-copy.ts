/** Putting a new object together from the bytes of another one, by as many requests at once. */
import type { CopyLimits, PartLimits, PartsTarget } from "./object-bucket.ts";
import { BucketError, PartsUnknown } from "./object-bucket.ts";
import type { ObjectContext } from "./object-context.ts";
import { Pieces } from "./part-buffers.ts";
import type { StatePart } from "./upload-state.ts";

const copiesByDefault: CopyLimits = {
  partBytes: 32 * 1024 * 1024,
  wholeBytesMax: 32 * 1024 * 1024,
  concurrency: 16,
};

/** The first `size` bytes of an object. */
export interface CopySource {
  readonly object: string;
  readonly size: number;
}

/**
 * Begins a multipart upload to `object` whose first parts are the source's bytes, each of them
 * large enough for others to follow where the source has that many. When this fails nothing is left
 * of it, unless the process dies: then a listing of multipart uploads finds it.
 */
export async function copyToParts(
  ctx: ObjectContext,
  source: CopySource,
  object: string,
): Promise<{ readonly target: PartsTarget; readonly list: readonly StatePart[] }> {
  const target: PartsTarget = { key: object, id: await ctx.bucket.beginParts(object, {}) };
  try {
    return { target, list: await copyParts(ctx, source, target) };
  } catch (error) {
    await ctx.bucket.abortParts(target, {}).catch(() => undefined);
    throw error;
  }
}

/**
 * Makes an object of the source's bytes. Until all of them are there it is what it was before, or
 * absent. Where a vendor has one list of parts per object, the first of several copies that are
 * made at once ends the others.
 */
export async function copyObject(
  ctx: ObjectContext,
  source: CopySource,
  object: string,
): Promise<void> {
  const { bucket } = ctx;
  if (source.size === 0) {
    await bucket.put(object, [], {});
    return;
  }
  const { list, target } = await copyToParts(ctx, source, object);
  const parts = list.map(([tag], index) => ({ number: index + 1, tag }));
  try {
    await bucket.completeParts(target, parts, {});
  } catch (error) {
    if (!(error instanceof PartsUnknown)) throw error;
    // Another copy was first, or the answer to a first try was lost.
    const made = await bucket.head(object, {});
    if (made?.size !== source.size) throw error;
  }
}

async function copyParts(
  ctx: ObjectContext,
  source: CopySource,
  target: PartsTarget,
): Promise<readonly StatePart[]> {
  const { limits } = ctx.bucket;
  const copies = limits.copies ?? copiesByDefault;
  const partBytes = Math.max(copies.partBytes, limits.partBytes);
  const bytesMax = source.size <= copies.wholeBytesMax ? source.size : partBytes;
  const spans = evenly(source.size, bytesMax, limits);
  const copy = async (span: Span, number: number): Promise<StatePart | undefined> => {
    const from = { key: source.object, span };
    const tag = await ctx.bucket.copyPart(target, number, from, {});
    return tag === undefined ? undefined : [tag, span.end - span.start + 1];
  };
  const [firstSpan] = spans;
  const first = firstSpan && (await copy(firstSpan, 1));
  if (first === undefined) return await relayParts(ctx, source, target);
  const list = await eachOf(spans.slice(1), copies.concurrency, async (span, index) => {
    const part = await copy(span, index + 2);
    if (part !== undefined) return part;
    throw new BucketError(ctx.bucket.name, "a part could not be copied", { transient: false });
  });
  return [first, ...list];
}

/** The same for a vendor that cannot copy: one part at a time passes through this process. */
async function relayParts(
  ctx: ObjectContext,
  source: CopySource,
  target: PartsTarget,
): Promise<readonly StatePart[]> {
  const { limits } = ctx.bucket;
  const list: StatePart[] = [];
  for (const span of evenly(source.size, limits.partBytes, limits)) {
    const pieces = await readPieces(ctx, source.object, span);
    try {
      const tag = await ctx.bucket.putPart(target, list.length + 1, pieces?.list ?? [], {});
      list.push([tag, pieces?.size ?? 0]);
    } finally {
      pieces?.free();
    }
  }
  return list;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** The bytes of a span, in memory: `undefined` when there is no such object. */
export async function readPieces(
  ctx: ObjectContext,
  object: string,
  span: Span,
): Promise<Pieces | undefined> {
  const size = span.end - span.start + 1;
  const found = await ctx.bucket.get(object, span, {});
  if (found === undefined) return undefined;
  const pieces = new Pieces(ctx.buffers);
  try {
    for await (const chunk of found.body) pieces.copy(chunk);
    if (pieces.size === size) return pieces;
    const message = `${pieces.size} bytes came, ${size} were asked for`;
    throw new BucketError(ctx.bucket.name, message, { transient: found.size === size });
  } catch (error) {
    pieces.free();
    throw error;
  }
}

/** Spans of about one size: at most `bytesMax`, unless that is too small for a part. */
function evenly(size: number, bytesMax: number, limits: PartLimits): readonly Span[] {
  const wanted = Math.ceil(size / bytesMax);
  const count = Math.max(1, Math.min(wanted, Math.floor(size / limits.partBytesMin)));
  // The first few are a byte larger, so that the last one is not smaller than a part may be.
  const each = Math.floor(size / count);
  const larger = size - each * count;
  const startOf = (index: number): number => index * each + Math.min(index, larger);
  return Array.from({ length: count }, (_, index) => ({
    start: startOf(index),
    end: startOf(index + 1) - 1,
  }));
}

/** Runs `work` on each item, so many at a time; results in the items' order. */
async function eachOf<T, R>(
  items: readonly T[],
  concurrency: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const runner = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const index = next;
      next += 1;
      const item = items[index];
      if (item === undefined) return;
      try {
        results[index] = await work(item, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const runners = Array.from({ length: Math.min(concurrency, items.length) }, runner);
  // Each comes to its end, so that nothing is sent to a target that is given up.
  const ends = await Promise.allSettled(runners);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return results;
}
