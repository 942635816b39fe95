/** Commands on whether a blob's bytes are there, and on taking them away (invariants I1, I4). */
import type { BlobKey } from "../../storage/blob-store.ts";
import type { CommandInput, CommandResult } from "../commands.ts";
import { findBlobRow, laterThan } from "./blob-commands.ts";
import type { CommandContext } from "./context.ts";
import { holdsLease } from "./job-commands.ts";
import { first, run, type Plan } from "./plan.ts";

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
  const blob = yield* findBlobRow(ctx, input.digest);
  if (blob === undefined) return { outcome: "unknown" };
  yield* run(
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
  const blob = yield* findBlobRow(ctx, input.digest);
  if (blob === undefined) return { outcome: "unknown" };
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

export function* deleteClaimedBlob(
  ctx: CommandContext,
  input: CommandInput<"deleteClaimedBlob">,
): Plan<CommandResult<"deleteClaimedBlob">> {
  const changed = yield* run(
    ctx.db.deleteFrom("blobs").where("claim", "=", input.claim).where("state", "=", "deleting"),
  );
  return { outcome: changed === 1 ? "deleted" : "lost" };
}
