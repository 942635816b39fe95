/** Commands of background work: promises renewed, pulls recorded. */
import type { CommandInput, CommandResult } from "../commands.ts";
import type { CommandContext } from "./context.ts";
import { run, type Plan } from "./plan.ts";

export function* touch(
  ctx: CommandContext,
  input: CommandInput<"touch">,
): Plan<CommandResult<"touch">> {
  const { db, now } = ctx;
  const reviewAfter = { review_after: now + input.graceMs };
  const { target } = input;
  const { repositoryId } = input;
  const query =
    "blobId" in target
      ? db
          .updateTable("repository_blobs")
          .set(reviewAfter)
          .where("repository", "=", repositoryId)
          .where("blob", "=", target.blobId)
      : db
          .updateTable("manifests")
          .set(reviewAfter)
          .where("repository", "=", repositoryId)
          .where("id", "=", target.manifestId);
  const changed = yield* run(query);
  return { outcome: changed === 1 ? "touched" : "unknown" };
}

export function* recordPulls(
  ctx: CommandContext,
  input: CommandInput<"recordPulls">,
): Plan<CommandResult<"recordPulls">> {
  const { db } = ctx;
  for (const { manifestId, at } of input.pulls) {
    const known = db
      .selectFrom("manifests")
      .select((row) => ["id", row.val(at).as("pulled_at")])
      .where("id", "=", manifestId);
    yield* run(
      db
        .insertInto("manifest_pulls")
        .columns(["manifest", "pulled_at"])
        .expression(known)
        // Nodes write in any order: the last pull is the latest one.
        .onConflict((conflict) =>
          conflict
            .column("manifest")
            .doUpdateSet({ pulled_at: at })
            .where("manifest_pulls.pulled_at", "<", at),
        ),
    );
  }
  return { outcome: "recorded" };
}
