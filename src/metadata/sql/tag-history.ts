/** Tags, and what they pointed to before. */
import type { Tag } from "../../oci/names.ts";
import type { CommandContext } from "./context.ts";
import { first, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import { reviewManifest } from "./reviews.ts";

/**
 * Only the newest entry of a tag is open: the others, of which there may be very many, are not
 * looked at.
 */
const closeNewest = statement((db, place: { repository: number; name: string; now: number }) =>
  db
    .updateTable("tag_history")
    .set({ until_at: place.now })
    .where("id", "=", (from) =>
      from
        .selectFrom("tag_history")
        .select("id")
        .where("repository", "=", place.repository)
        .where("name", "=", place.name)
        .orderBy("id", "desc")
        .limit(1),
    )
    .where("until_at", "is", null),
);

function* closeHistory(ctx: CommandContext, repository: number, name: string): Plan<void> {
  yield* send(closeNewest(ctx, { repository, name, now: ctx.now }));
}

const tagged = statement((db, place: { repository: number; name: string }) =>
  db
    .selectFrom("tags")
    .innerJoin("manifests", "manifests.id", "tags.manifest")
    .select(["manifests.id", "manifests.digest"])
    .where("tags.repository", "=", place.repository)
    .where("tags.name", "=", place.name),
);

interface TagPlaces extends Record<string, unknown> {
  repository: number;
  name: string;
  now: number;
}

const setTag = statement((db, place: TagPlaces & { manifest: number }) =>
  db
    .insertInto("tags")
    .values({
      repository: place.repository,
      name: place.name,
      manifest: place.manifest,
      updated_at: place.now,
    })
    .onConflict((conflict) =>
      conflict
        .columns(["repository", "name"])
        .doUpdateSet({ manifest: place.manifest, updated_at: place.now }),
    ),
);

const openHistory = statement((db, place: TagPlaces & { digest: string }) =>
  db.insertInto("tag_history").values({
    repository: place.repository,
    name: place.name,
    digest: place.digest,
    from_at: place.now,
    until_at: null,
  }),
);

/**
 * Points a tag at a manifest. Returns the digest it pointed to before, `undefined` for a new tag.
 * What it leaves becomes subject to review after the grace.
 */
export function* moveTag(
  ctx: CommandContext,
  target: { readonly repository: number; readonly name: Tag; readonly manifest: number },
  to: { readonly digest: string; readonly graceMs: number },
): Plan<string | undefined> {
  const { now } = ctx;
  const { repository, name, manifest } = target;
  const before = yield* first(tagged(ctx, { repository, name }));
  yield* send(setTag(ctx, { repository, name, manifest, now }));
  if (before?.id === manifest) return before.digest;
  if (before !== undefined) {
    yield* closeHistory(ctx, repository, name);
    yield* send(reviewManifest(ctx, { repository, id: before.id, reviewAfter: now + to.graceMs }));
  }
  yield* send(openHistory(ctx, { repository, name, digest: to.digest, now }));
  return before?.digest;
}

export function* removeTag(ctx: CommandContext, repository: number, name: string): Plan<void> {
  yield* send(
    ctx.db.deleteFrom("tags").where("repository", "=", repository).where("name", "=", name),
  );
  yield* closeHistory(ctx, repository, name);
}
