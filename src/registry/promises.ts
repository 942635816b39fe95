/**
 * Promises (invariant I4): a HEAD, a mount or a commit says "it is there", and its client acts on
 * that later. What nothing uses yet must therefore stay for the grace. The promise is renewed only
 * when half of it is gone, so that a HEAD is a read and costs a write twice a day at most.
 */
import type { BlobRecord, ManifestRecord } from "../metadata/records.ts";
import type { RegistryContext } from "./context.ts";

function isDue(ctx: RegistryContext, reviewAfter: number | undefined): boolean {
  return reviewAfter !== undefined && reviewAfter < ctx.now() + ctx.settings.graceMs / 2;
}

/** False when the link has gone in the meantime: then nothing may be promised. */
export async function promiseBlob(ctx: RegistryContext, blob: BlobRecord): Promise<boolean> {
  if (!isDue(ctx, blob.reviewAfter)) return true;
  const { repositoryId, blobId } = blob;
  const { graceMs } = ctx.settings;
  const done = await ctx.metadata.execute("touch", { repositoryId, target: { blobId }, graceMs });
  return done.outcome === "touched";
}

export async function promiseManifest(
  ctx: RegistryContext,
  manifest: ManifestRecord,
): Promise<boolean> {
  if (!isDue(ctx, manifest.reviewAfter)) return true;
  const { repositoryId, manifestId } = manifest;
  const { graceMs } = ctx.settings;
  const target = { manifestId };
  const done = await ctx.metadata.execute("touch", { repositoryId, target, graceMs });
  return done.outcome === "touched";
}
