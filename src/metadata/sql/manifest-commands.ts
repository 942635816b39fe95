import type { Insertable } from "kysely";
/**
 * Commands on manifests and tags. What a manifest refers to is checked where it is stored
 * (invariant I2).
 */
import type { Digest } from "../../oci/digest.ts";
import type { CommandInput, CommandResult } from "../commands.ts";
import type { ReferenceRecord } from "../records.ts";
import {
  ensureRepository,
  findRepository,
  recordChange,
  type CommandContext,
  type RepositoryRow,
} from "./context.ts";
import { writeEdges, resolveMissingManifest, resolveReferences } from "./manifest-edges.ts";
import { all, first, only, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import { reviewLink, reviewManifest } from "./reviews.ts";
import type { Database } from "./schema.ts";
import { moveTag, removeTag } from "./tag-history.ts";

/** How many manifests an answer names that refuse a deletion: enough to act on, bounded. */
const namedReferrersMax = 100;

interface PutInput extends CommandInput<"putManifest"> {}

const insertPayload = statement((db, place: { digest: string; bytes: Uint8Array }) =>
  db
    .insertInto("payloads")
    .values({ digest: place.digest, bytes: place.bytes })
    .onConflict((conflict) => conflict.column("digest").doNothing()),
);

type ManifestRow = Required<Omit<Insertable<Database["manifests"]>, "id">>;

const insertManifest = statement((db, place: ManifestRow) => {
  const described = {
    media_type: place.media_type,
    artifact_type: place.artifact_type,
    subject: place.subject,
    annotations: place.annotations,
    config_media_type: place.config_media_type,
    pushed_at: place.pushed_at,
    review_after: place.review_after,
  };
  return db
    .insertInto("manifests")
    .values({
      repository: place.repository,
      digest: place.digest,
      size: place.size,
      ...described,
    })
    .onConflict((conflict) => conflict.columns(["repository", "digest"]).doUpdateSet(described))
    .returning("id");
});

function* upsertManifest(
  ctx: CommandContext,
  input: PutInput,
  repository: RepositoryRow,
): Plan<number> {
  const { bytes, digest, manifest } = input;
  const { annotations } = manifest;
  yield* send(insertPayload(ctx, { digest, bytes }));
  const row = yield* only(
    insertManifest(ctx, {
      repository: repository.id,
      digest,
      size: bytes.byteLength,
      media_type: manifest.mediaType,
      artifact_type: manifest.artifactType ?? null,
      subject: manifest.subject?.digest ?? null,
      annotations: annotations === undefined ? null : JSON.stringify(annotations),
      config_media_type: manifest.configMediaType ?? null,
      pushed_at: ctx.now,
      review_after: ctx.now + input.graceMs,
    }),
  );
  return row.id;
}

export function* putManifest(
  ctx: CommandContext,
  input: PutInput,
): Plan<CommandResult<"putManifest">> {
  const { db } = ctx;
  const found = yield* findRepository(ctx, input.repository);
  // No repository has the id 0: where there is none yet, nothing is found in it.
  const resolved = yield* resolveReferences(ctx, found?.id ?? 0, input.manifest.references);
  const optional = new Set<string>(input.optional);
  const missing = resolved.missing.filter(({ digest }) => !optional.has(digest));
  if (missing.length > 0) {
    return { outcome: "missing", digests: [...new Set(missing.map(({ digest }) => digest))] };
  }
  const repository = found ?? (yield* ensureRepository(ctx, input.repository));
  if (repository.state === "draft") {
    yield* send(
      db.updateTable("repositories").set({ state: "live" }).where("id", "=", repository.id),
    );
  }
  const manifestId = yield* upsertManifest(ctx, input, repository);
  yield* writeEdges(ctx, { repository: repository.id, manifest: manifestId, resolved });
  yield* resolveMissingManifest(ctx, repository.id, manifestId, input.digest);
  const change = {
    kind: "manifest.push" as const,
    repositoryId: repository.id,
    repository: input.repository,
    digest: input.digest,
    mediaType: input.manifest.mediaType,
    size: input.bytes.byteLength,
    references: input.manifest.references.map(({ descriptor }): ReferenceRecord => {
      const { digest, mediaType, size } = descriptor;
      return { digest, mediaType, size };
    }),
  };
  if (input.tags.length === 0) yield* recordChange(ctx, input.origin, change);
  for (const tag of input.tags) {
    const target = { repository: repository.id, name: tag, manifest: manifestId };
    const oldDigest = yield* moveTag(ctx, target, { digest: input.digest, graceMs: input.graceMs });
    yield* recordChange(ctx, input.origin, { ...change, tag, oldDigest });
  }
  return { outcome: "stored" };
}

interface StoredManifest {
  readonly id: number;
  readonly digest: string;
  readonly media_type: string;
  readonly size: number;
}

function* referringIndexes(ctx: CommandContext, manifest: number): Plan<readonly Digest[]> {
  const rows = yield* all(
    ctx.db
      .selectFrom("manifest_children")
      .innerJoin("manifests", "manifests.id", "manifest_children.manifest")
      .select("manifests.digest")
      .where("manifest_children.child", "=", manifest)
      .orderBy("manifests.digest")
      .limit(namedReferrersMax),
  );
  return rows.map((row) => row.digest as Digest);
}

/** Its indexes will refer to what is not there any more: only where the operator allows it. */
function* orphanParents(
  ctx: CommandContext,
  repository: number,
  manifest: StoredManifest,
): Plan<void> {
  const { db } = ctx;
  const parents = yield* all(
    db.selectFrom("manifest_children").select("manifest").where("child", "=", manifest.id),
  );
  for (const parent of parents) {
    yield* send(
      db
        .insertInto("manifest_missing")
        .values({
          repository,
          digest: manifest.digest,
          manifest: parent.manifest,
          kind: "manifest",
        })
        .onConflict((conflict) => conflict.doNothing()),
    );
  }
  yield* send(db.deleteFrom("manifest_children").where("child", "=", manifest.id));
}

/** What only this manifest used becomes subject to review after the grace. */
function* releaseReferences(
  ctx: CommandContext,
  repository: number,
  manifest: number,
  graceMs: number,
): Plan<void> {
  const { db, now } = ctx;
  const reviewAfter = now + graceMs;
  const blobs = yield* all(
    db.selectFrom("manifest_blobs").select("blob as id").where("manifest", "=", manifest),
  );
  const children = yield* all(
    db.selectFrom("manifest_children").select("child as id").where("manifest", "=", manifest),
  );
  for (const { id } of blobs) yield* send(reviewLink(ctx, { repository, id, reviewAfter }));
  for (const { id } of children) yield* send(reviewManifest(ctx, { repository, id, reviewAfter }));
}

function* eraseManifest(
  ctx: CommandContext,
  repository: number,
  manifest: StoredManifest,
  graceMs: number,
): Plan<readonly string[]> {
  const { db } = ctx;
  const tags = yield* all(
    db.selectFrom("tags").select("name").where("manifest", "=", manifest.id).orderBy("name"),
  );
  for (const { name } of tags) yield* removeTag(ctx, repository, name);
  yield* releaseReferences(ctx, repository, manifest.id, graceMs);
  yield* send(db.deleteFrom("manifests").where("id", "=", manifest.id));
  // Whoever stores the same bytes for another repository holds the digest's lock, as this does: the
  // rows of all who had it before are seen here, and nobody relies on the bytes unseen.
  yield* send(
    db
      .deleteFrom("payloads")
      .where("digest", "=", manifest.digest)
      .where(({ not, exists, selectFrom }) =>
        not(exists(selectFrom("manifests").select("id").where("digest", "=", manifest.digest))),
      ),
  );
  return tags.map(({ name }) => name);
}

export function* deleteManifest(
  ctx: CommandContext,
  input: CommandInput<"deleteManifest">,
): Plan<CommandResult<"deleteManifest">> {
  const repository = yield* findRepository(ctx, input.repository);
  if (repository === undefined) return { outcome: "unknown" };
  const manifest = yield* first(
    ctx.db
      .selectFrom("manifests")
      .select(["id", "digest", "media_type", "size"])
      .where("repository", "=", repository.id)
      .where("digest", "=", input.digest),
  );
  if (manifest === undefined) return { outcome: "unknown" };
  const manifests = yield* referringIndexes(ctx, manifest.id);
  if (manifests.length > 0) {
    if (!input.force) return { outcome: "referenced", manifests };
    yield* orphanParents(ctx, repository.id, manifest);
  }
  const tags = yield* eraseManifest(ctx, repository.id, manifest, input.graceMs);
  const { digest, media_type: mediaType, size } = manifest;
  const change = { repositoryId: repository.id, repository: input.repository };
  const deletion = { ...change, kind: "manifest.delete" as const, digest, mediaType, size };
  yield* recordChange(ctx, input.origin, deletion);
  for (const tag of tags) {
    const untagging = { ...change, kind: "tag.delete" as const, tag, oldDigest: digest };
    yield* recordChange(ctx, input.origin, untagging);
  }
  return { outcome: "deleted" };
}

export function* deleteTag(
  ctx: CommandContext,
  input: CommandInput<"deleteTag">,
): Plan<CommandResult<"deleteTag">> {
  const repository = yield* findRepository(ctx, input.repository);
  if (repository === undefined) return { outcome: "unknown" };
  const tagged = yield* first(
    ctx.db
      .selectFrom("tags")
      .innerJoin("manifests", "manifests.id", "tags.manifest")
      .select(["manifests.id", "manifests.digest"])
      .where("tags.repository", "=", repository.id)
      .where("tags.name", "=", input.tag),
  );
  if (tagged === undefined) return { outcome: "unknown" };
  yield* removeTag(ctx, repository.id, input.tag);
  yield* send(
    ctx.db
      .updateTable("manifests")
      .set({ review_after: ctx.now + input.graceMs })
      .where("id", "=", tagged.id),
  );
  yield* recordChange(ctx, input.origin, {
    kind: "tag.delete",
    repositoryId: repository.id,
    repository: input.repository,
    tag: input.tag,
    oldDigest: tagged.digest,
  });
  return { outcome: "deleted" };
}
