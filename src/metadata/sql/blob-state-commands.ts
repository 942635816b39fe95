/** Commands on whether a blob's bytes are there, and on taking them away (invariants I1, I4). */
import type { BlobKey } from "../../storage/blob-store.ts";
import type { CommandInput, CommandResult } from "../commands.ts";
import { holdBlobRow, laterThan } from "./blob-commands.ts";
import type { CommandContext } from "./context.ts";
import { holdsLease } from "./job-commands.ts";
import { first, run, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";

/** One statement on one row: it waits for who holds the row, and then looks at it again. */
export function* markBlobMissing(
  ctx: CommandContext,
  input: CommandInput<"markBlobMissing">,
): Plan<CommandResult<"markBlobMissing">> {
  const changed = yield* run(
    ctx.db
      .updateTable("blobs")
      .set({ state: "missing" })
      .where("id", "=", input.blobId)
      .where("state", "=", "live")
      .where("verified_at", "=", input.verifiedAt),
  );
  return { outcome: changed === 1 ? "marked" : "unchanged" };
}

export function* confirmBlob(
  ctx: CommandContext,
  input: CommandInput<"confirmBlob">,
): Plan<CommandResult<"confirmBlob">> {
  const blob = yield* holdBlobRow(ctx, input.digest, "update");
  if (blob === undefined) return { outcome: "unknown" };
  yield* send(
    ctx.db
      .updateTable("blobs")
      .set({ state: "live", claim: null, key: input.key, verified_at: laterThan(blob, ctx) })
      .where("id", "=", blob.id),
  );
  return { outcome: "confirmed" };
}

export function* claimBlob(
  ctx: CommandContext,
  input: CommandInput<"claimBlob">,
): Plan<CommandResult<"claimBlob">> {
  if (!(yield* holdsLease(ctx, input.lease))) return { outcome: "lease-lost" };
  // Held first, then asked by a new statement: who linked it, and was waited for, is seen.
  const blob = yield* holdBlobRow(ctx, input.digest, "update");
  if (blob === undefined) return { outcome: "unknown" };
  // The claim was made already, and its answer got lost.
  if (blob.claim === input.claim) return { outcome: "claimed", key: blob.key as BlobKey };
  const claimed = yield* first(
    ctx.db
      .updateTable("blobs")
      .set({ state: "deleting", claim: input.claim })
      .where("id", "=", blob.id)
      .where("state", "in", ["live", "missing"])
      .where((where) =>
        where.or([where("review_after", "is", null), where("review_after", "<=", ctx.now)]),
      )
      .where(({ not, exists, selectFrom }) =>
        not(exists(selectFrom("repository_blobs").select("blob").where("blob", "=", blob.id))),
      )
      // The layout mirror keeps a manifest's bytes at the content path of its digest.
      .where(({ not, exists, selectFrom }) =>
        not(exists(selectFrom("manifests").select("id").where("digest", "=", blob.digest))),
      )
      .returning("key"),
  );
  if (claimed === undefined) return { outcome: "in-use" };
  return { outcome: "claimed", key: claimed.key as BlobKey };
}

const deleteUnlessManifest = statement((db, place: { claim: string }) =>
  db
    .deleteFrom("blobs")
    .where("claim", "=", place.claim)
    .where("state", "=", "deleting")
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("manifests")
            .select("manifests.id")
            .whereRef("manifests.digest", "=", "blobs.digest"),
        ),
      ),
    ),
);

const dropClaim = statement((db, place: { claim: string }) =>
  db
    .updateTable("blobs")
    .set({ state: "live", claim: null })
    .where("claim", "=", place.claim)
    .where("state", "=", "deleting"),
);

export function* deleteClaimedBlob(
  ctx: CommandContext,
  input: CommandInput<"deleteClaimedBlob">,
): Plan<CommandResult<"deleteClaimedBlob">> {
  const { claim } = input;
  // Where a manifest of that digest has come since the claim, the mirror's bytes were set aside.
  const deleted = yield* run(deleteUnlessManifest(ctx, { claim }));
  if (deleted === 1) return { outcome: "deleted" };
  yield* send(dropClaim(ctx, { claim }));
  return { outcome: "lost" };
}
