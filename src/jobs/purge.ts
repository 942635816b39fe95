/**
 * Ends uploads that nobody has gone on with for long. The row goes first, where nobody writes; then
 * what the store holds. A crash in between leaves something for the sweeper.
 */
import { knownMax } from "../metadata/metadata-store.ts";
import type { UploadRecord } from "../metadata/records.ts";
import { forEach, type Job } from "./job.ts";

const pageSize = knownMax;

export async function purge(job: Job): Promise<void> {
  const { metadata, settings } = job;
  const idleMs = settings.purge.ageMs;
  for (let after = ""; ;) {
    const page = await metadata.upkeep.listIdleUploads({ idleMs, after, limit: pageSize });
    await forEach(job, page, (upload) => purgeOne(job, upload, idleMs));
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last.id;
    await job.pause();
  }
}

async function purgeOne(job: Job, upload: UploadRecord, idleMs: number): Promise<void> {
  const { counts, metadata, settings, store } = job;
  const { id, offset, repository, state } = upload;
  counts.seen += 1;
  if (!settings.purge.dryRun) {
    const { outcome } = await metadata.execute("deleteUpload", { repository, id, idleMs });
    if (outcome === "unknown") {
      counts.kept += 1;
      return;
    }
    await store.abort({ id, state });
  }
  counts.removed += 1;
  counts.bytes += offset;
}
