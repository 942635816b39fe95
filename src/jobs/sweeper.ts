/**
 * The sweeper: looks through the whole store for what the database does not know. A crash leaves it
 * between two steps of a commit, of an upload's end or of a removal; nothing else does.
 *
 * - At keys that are made of content the same bytes may be committed again at this very moment:
 *   they get a row under a claim first, which whoever commits them takes away.
 * - At keys that are used once, and for uploads, what is unknown now stays so for ever: a row is
 *   there before the first byte, and ids do not come twice.
 */
import { knownMax } from "../metadata/metadata-store.ts";
import type { ListedBlob, StoredUpload } from "../storage/blob-store.ts";
import { finishRemovals } from "./collector.ts";
import { forEach, forEachPage, LeaseLost, type Job } from "./job.ts";
import { removeClaimed } from "./removal.ts";

export async function sweep(job: Job): Promise<void> {
  const { store } = job;
  if (store.upkeep.removes) {
    await finishRemovals(job);
    await forEachPage(job, store.list(), knownMax, (page) => sweepBlobs(job, page));
  }
  await forEachPage(job, store.listUploads(), knownMax, (page) => sweepUploads(job, page));
}

/** What is younger than the grace may belong to somebody at work. */
function isOld({ now, settings }: Job, modifiedAt: number): boolean {
  return modifiedAt <= now() - settings.sweep.graceMs;
}

async function sweepBlobs(job: Job, page: readonly ListedBlob[]): Promise<void> {
  job.counts.seen += page.length;
  const old = page.filter(({ modifiedAt }) => isOld(job, modifiedAt));
  if (old.length === 0) return;
  const known = await job.metadata.upkeep.known({
    keys: old.map(({ key }) => key),
    digests: old.flatMap(({ source }) => ("digest" in source ? [source.digest] : [])),
    uploads: old.flatMap(({ source }) => ("upload" in source ? [source.upload] : [])),
  });
  const orphans = old.filter(({ key, source }) => {
    const owner = "digest" in source ? source.digest : source.upload;
    return !known.has(key) && !known.has(owner);
  });
  await forEach(job, orphans, (orphan) => removeOrphan(job, orphan));
}

async function removeOrphan(job: Job, { key, size, source }: ListedBlob): Promise<void> {
  const { counts, lease, metadata, newId, store } = job;
  const claim = newId();
  if ("upload" in source) {
    await store.remove(key, claim, async () => true);
    counts.removed += 1;
    counts.bytes += size;
    return;
  }
  const { digest } = source;
  const orphan = { digest, key, size, claim };
  const { outcome } = await metadata.execute("claimOrphan", { ...orphan, lease });
  if (outcome === "lease-lost") throw new LeaseLost(lease.name);
  if (outcome === "claimed") await removeClaimed(job, orphan, claim);
}

type ListedUpload = StoredUpload & { readonly modifiedAt: number };

async function sweepUploads(job: Job, page: readonly ListedUpload[]): Promise<void> {
  const { counts, metadata, store } = job;
  counts.seen += page.length;
  const old = page.filter(({ modifiedAt }) => isOld(job, modifiedAt));
  if (old.length === 0) return;
  const known = await metadata.upkeep.known({ uploads: old.map(({ id }) => id) });
  const orphans = old.filter(({ id }) => !known.has(id));
  await forEach(job, orphans, async ({ id, state }) => {
    await store.abort({ id, state });
    counts.removed += 1;
  });
}
