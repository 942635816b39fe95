/**
 * The collector: removes the bytes of blobs that nothing links any more and whose grace is over,
 * while everybody pushes and pulls. Which links and manifests go is not decided here.
 */
import { knownMax } from "../metadata/metadata-store.ts";
import type { ClaimedBlob, UnusedBlob } from "../metadata/records.ts";
import { forEach, LeaseLost, type Job } from "./job.ts";
import { removeClaimed, settleSetAside } from "./removal.ts";

/** Rows in a page: the database is asked again well before they have become old. */
const pageSize = knownMax;

export async function collect(job: Job): Promise<void> {
  if (!job.store.upkeep.removes) return;
  await finishRemovals(job);
  const { listUnused } = bound(job);
  await forEachRow(job, listUnused, (blob) => collectOne(job, blob));
}

/**
 * What removers before have left. Whoever holds the lease is alone; should one of them wake after
 * all, it finds its claim lost.
 */
export async function finishRemovals(job: Job): Promise<void> {
  const { newId } = job;
  await settleSetAside(job);
  const { listClaims } = bound(job);
  await forEachRow(job, listClaims, (blob) => removeClaimed(job, blob, newId()));
}

async function collectOne(job: Job, blob: UnusedBlob): Promise<void> {
  const { counts, lease, metadata, newId } = job;
  const { digest, size } = blob;
  const claim = newId();
  counts.seen += 1;
  const claimed = await metadata.execute("claimBlob", { digest, claim, lease });
  if (claimed.outcome === "lease-lost") throw new LeaseLost(lease.name);
  // Somebody has linked it since it was listed, or it is gone.
  if (claimed.outcome !== "claimed") return;
  await removeClaimed(job, { digest, size, key: claimed.key, claim }, claim);
}

type List<T> = (options: { after: number; limit: number }) => Promise<readonly T[]>;

function bound({ metadata: { upkeep } }: Job): {
  readonly listUnused: List<UnusedBlob>;
  readonly listClaims: List<ClaimedBlob>;
} {
  return {
    listUnused: (options) => upkeep.listUnused(options),
    listClaims: (options) => upkeep.listClaims(options),
  };
}

async function forEachRow<T extends UnusedBlob>(
  job: Job,
  list: List<T>,
  work: (row: T) => Promise<void>,
): Promise<void> {
  for (let after = 0; ;) {
    const page = await list({ after, limit: pageSize });
    await forEach(job, page, work);
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last.blobId;
    await job.pause();
  }
}
