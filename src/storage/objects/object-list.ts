/** Walking through what lies in a root. */
import type { BlobKey, BlobStore, ListedBlob, StoredUpload } from "../blob-store.ts";
import type { ObjectInfo, StartedParts } from "./object-bucket.ts";
import type { ObjectContext } from "./object-context.ts";
import { digestAt, uploadedAt } from "./object-names.ts";
import { formatState } from "./upload-state.ts";

type ListedUpload = StoredUpload & { readonly modifiedAt: number };

/**
 * Content. Under keys of their own, what uploads have that are still on their way is listed, too:
 * only the metadata knows which of it is committed. With Distribution's keys it is what lies at its
 * paths.
 */
export async function* listBlobs(
  ctx: ObjectContext,
  keys: BlobStore["keys"],
  after: BlobKey | undefined,
): AsyncGenerator<ListedBlob> {
  const prefix = keys === "commit" ? ctx.names.data : ctx.names.blobs;
  const start = after === undefined ? undefined : ctx.names.object(after);
  for await (const { key: object, modifiedAt, size } of objects(ctx, prefix, start)) {
    const key = ctx.names.keyOf(object);
    // Somebody else's.
    if (key === undefined) continue;
    const digest = digestAt(key);
    const upload = uploadedAt(key)?.id;
    if (digest !== undefined) yield { key, size, modifiedAt, source: { digest } };
    else if (upload !== undefined) yield { key, size, modifiedAt, source: { upload } };
  }
}

/**
 * Multipart uploads that were begun and not completed, among them those whose id no state knows:
 * whoever began them died before it could say so. With Distribution's keys the objects of uploads
 * are listed as well, and an upload to Distribution's path has its content's digest for an id, as
 * no upload of the registry's has it: it is a copy that somebody is making, or has died over.
 */
export async function* listUploads(
  ctx: ObjectContext,
  keys: BlobStore["keys"],
  after: string | undefined,
): AsyncGenerator<ListedUpload> {
  const { blobs, data } = ctx.names;
  const sources = [startedUploads(ctx, data)];
  if (keys === "content") sources.push(uploadedObjects(ctx), startedUploads(ctx, blobs));
  for await (const upload of merged(sources)) {
    if (after === undefined || upload.id > after) yield upload;
  }
}

async function* startedUploads(ctx: ObjectContext, prefix: string): AsyncGenerator<ListedUpload> {
  let after: StartedParts | undefined;
  for (;;) {
    const { items, more } = await ctx.bucket.listParts(prefix, after, {});
    for (const { id, key: object, startedAt } of items) {
      const key = ctx.names.keyOf(object);
      const owner = key && (uploadedAt(key)?.id ?? digestAt(key)?.replace(":", "-"));
      if (key === undefined || owner === undefined) continue;
      const state = formatState({ incomplete: { key, id } });
      yield { id: owner, state, modifiedAt: startedAt };
    }
    after = items.at(-1);
    if (!more || after === undefined) return;
  }
}

async function* uploadedObjects(ctx: ObjectContext): AsyncGenerator<ListedUpload> {
  for await (const { key, modifiedAt } of objects(ctx, ctx.names.data, undefined)) {
    const { id, name } = uploadedAt(key) ?? {};
    if (id === undefined || name === undefined) continue;
    yield { id, state: formatState({ drop: [{ name }] }), modifiedAt };
  }
}

async function* objects(
  ctx: ObjectContext,
  prefix: string,
  start: string | undefined,
): AsyncGenerator<ObjectInfo> {
  let after = start;
  for (;;) {
    const { items, more } = await ctx.bucket.list(prefix, after, {});
    yield* items;
    after = items.at(-1)?.key;
    if (!more || after === undefined) return;
  }
}

/** Several listings as one, in order of the ids. */
async function* merged(
  sources: readonly AsyncGenerator<ListedUpload>[],
): AsyncGenerator<ListedUpload> {
  const heads = await Promise.all(sources.map(async (source) => await source.next()));
  for (;;) {
    let first: { readonly index: number; readonly upload: ListedUpload } | undefined;
    for (const [index, head] of heads.entries()) {
      if (head.done === true) continue;
      const upload = head.value;
      if (first === undefined || upload.id < first.upload.id) first = { index, upload };
    }
    if (first === undefined) return;
    yield first.upload;
    const source = sources[first.index];
    if (source !== undefined) heads[first.index] = await source.next();
  }
}
