/** Commands of background work: promises renewed, pulls recorded. */
import type { CommandInput, CommandResult } from "../commands.ts";
import type { CommandContext } from "./context.ts";
import { run, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import { reviewLink, reviewManifest } from "./reviews.ts";

/** One statement on one row: where a deletion was quicker it finds nothing. */
export function* touch(
  ctx: CommandContext,
  input: CommandInput<"touch">,
): Plan<CommandResult<"touch">> {
  const { repositoryId: repository, target } = input;
  const reviewAfter = ctx.now + input.graceMs;
  const query =
    "blobId" in target
      ? reviewLink(ctx, { repository, id: target.blobId, reviewAfter })
      : reviewManifest(ctx, { repository, id: target.manifestId, reviewAfter });
  const changed = yield* run(query);
  return { outcome: changed === 1 ? "touched" : "unknown" };
}

const recordPull = statement((db, place: { manifestId: number; at: number }, { hold }) => {
  // Held: a manifest that is being deleted has no pull, which must not fail all the others.
  const known = hold(
    db
      .selectFrom("manifests")
      .select((row) => ["id", row.cast<number>(row.val(place.at), "bigint").as("pulled_at")])
      .where("id", "=", place.manifestId),
    "manifests",
    "key",
  );
  return (
    db
      .insertInto("manifest_pulls")
      .columns(["manifest", "pulled_at"])
      .expression(known)
      // Nodes write in any order: the last pull is the latest one.
      .onConflict((conflict) =>
        conflict
          .column("manifest")
          .doUpdateSet({ pulled_at: place.at })
          .where("manifest_pulls.pulled_at", "<", place.at),
      )
  );
});

export function* recordPulls(
  ctx: CommandContext,
  input: CommandInput<"recordPulls">,
): Plan<CommandResult<"recordPulls">> {
  // In one order, so that no two nodes wait for each other.
  const pulls = input.pulls.toSorted((a, b) => a.manifestId - b.manifestId);
  for (const { manifestId, at } of pulls) yield* send(recordPull(ctx, { manifestId, at }));
  return { outcome: "recorded" };
}
