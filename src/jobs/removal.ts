/**
 * Taking bytes away, safely at any time and from any number of nodes (invariant I4): set aside, ask
 * the database, then drop or put back. A node that stands still between two of these steps and
 * wakes later finds its claim lost, and puts back what it took.
 */
import type { Digest } from "../oci/digest.ts";
import type { BlobKey, SetAside } from "../storage/blob-store.ts";
import { forEach, type Job } from "./job.ts";

/** Content of which a row in state `deleting` speaks. */
export interface ClaimedContent {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly key: BlobKey;
  readonly claim: string;
}

/**
 * Removes content under a claim. `aside` is this remover's alone: the claim may be that of another
 * one, who is taken for dead and may wake.
 */
export async function removeClaimed(
  job: Job,
  content: ClaimedContent,
  aside: string,
): Promise<void> {
  let unwanted = false;
  await job.store.remove(content.key, aside, async () => {
    unwanted = await isUnwanted(job, content);
    return unwanted;
  });
  await noteRemoval(job, content, unwanted);
}

/** Content that a remover has set aside and left there: what it began is brought to its end. */
export async function settleSetAside(job: Job): Promise<void> {
  const { newId, store } = job;
  const asides: SetAside[] = [];
  for await (const aside of store.upkeep.listSetAside()) asides.push(aside);
  await forEach(job, asides, async (aside) => {
    let unwanted: boolean | undefined;
    await aside.settle(newId(), async () => {
      unwanted = await isUnwanted(job, aside);
      return unwanted;
    });
    // Its remover lives, and was faster.
    if (unwanted === undefined) return;
    await noteRemoval(job, { ...aside, size: 0 }, unwanted);
  });
}

/**
 * Deletes the row if the claim still counts. Otherwise the content is unwanted only if no row
 * speaks of it: its remover had come that far. Whoever commits the same content from now on brings
 * its own bytes, and sees them in place after its row is there.
 */
async function isUnwanted(
  { metadata }: Job,
  { claim, digest, key }: Omit<ClaimedContent, "size">,
): Promise<boolean> {
  const { outcome } = await metadata.execute("deleteClaimedBlob", { claim });
  if (outcome === "deleted") return true;
  return (await metadata.upkeep.known({ keys: [key], digests: [digest] })).size === 0;
}

async function noteRemoval(
  { counts, metadata, store }: Job,
  { digest, key, size }: Omit<ClaimedContent, "claim">,
  removed: boolean,
): Promise<void> {
  if (removed) {
    counts.removed += 1;
    counts.bytes += size;
    return;
  }
  counts.kept += 1;
  // Under a key that is used once the row says where its bytes lie, and that may be elsewhere now.
  if (store.keys === "commit") return;
  // While they were set aside a reader may have called the bytes missing.
  if ((await store.stat(key)) !== undefined) await metadata.execute("confirmBlob", { digest, key });
}
