/** Tags, and what they pointed to before. */
import type { Tag } from "../../oci/names.ts";
import type { CommandContext } from "./context.ts";
import { first, run, type Plan } from "./plan.ts";

function* closeHistory(ctx: CommandContext, repository: number, name: string): Plan<void> {
  yield* run(
    ctx.db
      .updateTable("tag_history")
      .set({ until_at: ctx.now })
      .where("repository", "=", repository)
      .where("name", "=", name)
      .where("until_at", "is", null),
  );
}

/**
 * Points a tag at a manifest. Returns the digest it pointed to before, `undefined` for a new tag.
 * What it leaves becomes subject to review after the grace.
 */
export function* moveTag(
  ctx: CommandContext,
  target: { readonly repository: number; readonly name: Tag; readonly manifest: number },
  to: { readonly digest: string; readonly graceMs: number },
): Plan<string | undefined> {
  const { db, now } = ctx;
  const { repository, name, manifest } = target;
  const before = yield* first(
    db
      .selectFrom("tags")
      .innerJoin("manifests", "manifests.id", "tags.manifest")
      .select(["manifests.id", "manifests.digest"])
      .where("tags.repository", "=", repository)
      .where("tags.name", "=", name),
  );
  yield* run(
    db
      .insertInto("tags")
      .values({ repository, name, manifest, updated_at: now })
      .onConflict((conflict) =>
        conflict.columns(["repository", "name"]).doUpdateSet({ manifest, updated_at: now }),
      ),
  );
  if (before?.id === manifest) return before.digest;
  if (before !== undefined) {
    yield* closeHistory(ctx, repository, name);
    yield* run(
      db
        .updateTable("manifests")
        .set({ review_after: now + to.graceMs })
        .where("id", "=", before.id),
    );
  }
  yield* run(
    db.insertInto("tag_history").values({
      repository,
      name,
      digest: to.digest,
      from_at: now,
      until_at: null,
    }),
  );
  return before?.digest;
}

export function* removeTag(ctx: CommandContext, repository: number, name: string): Plan<void> {
  yield* run(
    ctx.db
      .deleteFrom("tags")
      .where("repository", "=", repository)
      .where("name", "=", name),
  );
  yield* closeHistory(ctx, repository, name);
}
