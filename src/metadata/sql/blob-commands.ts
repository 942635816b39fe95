import type { Selectable } from "kysely";
/** Commands on blobs and the links by which repositories hold them (invariants I1, I2, I4). */
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/names.ts";
import type { BlobKey } from "../../storage/blob-store.ts";
import type { CommandInput, CommandResult } from "../commands.ts";
import { ensureRepository, findRepository, recordChange, type CommandContext } from "./context.ts";
import { blobKind } from "./manifest-edges.ts";
import { all, first, only, run, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import type { Database } from "./schema.ts";

type BlobRow = Selectable<Database["blobs"]>;

/** Blobs carry no media type of their own. */
const blobMediaType = "application/octet-stream";

/** How many manifests an answer names that refuse a deletion: enough to act on, bounded. */
const namedReferrersMax = 100;

const blobByDigest = statement((db, place: { digest: string }) =>
  db.selectFrom("blobs").selectAll().where("digest", "=", place.digest),
);

const blobByAlias = statement((db, place: { digest: string }) =>
  db
    .selectFrom("blob_aliases")
    .innerJoin("blobs", "blobs.id", "blob_aliases.blob")
    .selectAll("blobs")
    .where("blob_aliases.digest", "=", place.digest),
);

/** The blob row of a digest, whatever its algorithm. */
export function* findBlobRow(ctx: CommandContext, digest: Digest): Plan<BlobRow | undefined> {
  const canonical = yield* first(blobByDigest(ctx, { digest }));
  if (canonical !== undefined || digest.startsWith("sha256:")) return canonical;
  return yield* first(blobByAlias(ctx, { digest }));
}

interface LinkPlaces extends Record<string, unknown> {
  repository: number;
  blob: number;
  now: number;
  reviewAfter: number;
}

const insertLink = statement((db, place: LinkPlaces) =>
  db
    .insertInto("repository_blobs")
    .values({
      repository: place.repository,
      blob: place.blob,
      linked_at: place.now,
      review_after: place.reviewAfter,
    })
    .onConflict((conflict) =>
      conflict.columns(["repository", "blob"]).doUpdateSet({ review_after: place.reviewAfter }),
    ),
);

/** Those that refer to a blob by any of its digests. */
const manifestsWaitingFor = statement((db, place: { repository: number; blob: number }) =>
  db
    .selectFrom("manifest_missing")
    .selectAll()
    .where("repository", "=", place.repository)
    .where("digest", "in", (from) =>
      from
        .selectFrom("blobs")
        .select("digest")
        .where("id", "=", place.blob)
        .unionAll(from.selectFrom("blob_aliases").select("digest").where("blob", "=", place.blob)),
    ),
);

/**
 * Links a blob into a repository, or renews the link's promise; and gives it to those manifests of
 * the repository that were pushed before it and refer to it (foreign layers, sparse content), by
 * whichever digest.
 */
function* linkBlob(
  ctx: CommandContext,
  link: { readonly repository: number; readonly blob: number; readonly graceMs: number },
): Plan<void> {
  const { db, now } = ctx;
  const { blob, repository } = link;
  yield* run(insertLink(ctx, { repository, blob, now, reviewAfter: now + link.graceMs }));
  for (const edge of yield* all(manifestsWaitingFor(ctx, { repository, blob }))) {
    yield* run(
      db
        .insertInto("manifest_blobs")
        .values({ manifest: edge.manifest, blob, kind: blobKind(edge.kind) })
        .onConflict((conflict) => conflict.doNothing()),
    );
    // Where a manifest is expected one may still come, in the blob's place.
    if (edge.kind === "manifest") continue;
    yield* run(
      db
        .deleteFrom("manifest_missing")
        .where("repository", "=", repository)
        .where("digest", "=", edge.digest)
        .where("manifest", "=", edge.manifest)
        .where("kind", "=", edge.kind),
    );
  }
}

interface BlobPlaces extends Record<string, unknown> {
  digest: string;
  size: number;
  key: string;
  now: number;
}

const insertBlob = statement((db, place: BlobPlaces) =>
  db
    .insertInto("blobs")
    .values({
      digest: place.digest,
      size: place.size,
      key: place.key,
      state: "live",
      claim: null,
      created_at: place.now,
      verified_at: place.now,
      review_after: null,
    })
    .returning("id"),
);

/** The live row for committed bytes: a new one, or the one there is, revived where need be. */
function* upsertBlob(
  ctx: CommandContext,
  found: BlobRow | undefined,
  { digest, key, size }: CommandInput<"commitUpload">,
): Plan<number> {
  const { db, now } = ctx;
  if (found === undefined) {
    return (yield* only(insertBlob(ctx, { digest, key, size, now }))).id;
  }
  const revive = found.state === "live" ? {} : { state: "live" as const, claim: null };
  const verified_at = laterThan(found, ctx);
  yield* run(
    db
      .updateTable("blobs")
      .set({ ...revive, key, size, verified_at, review_after: null })
      .where("id", "=", found.id),
  );
  return found.id;
}

const endUpload = statement((db, place: { id: string; epoch: number }) =>
  db
    .deleteFrom("uploads")
    .where("id", "=", place.id)
    .where("writer_epoch", "=", place.epoch)
    .returning(["repository"]),
);

const repositoryById = statement((db, place: { id: number }) =>
  db.selectFrom("repositories").select(["id", "name"]).where("id", "=", place.id),
);

export function* commitUpload(
  ctx: CommandContext,
  input: CommandInput<"commitUpload">,
): Plan<CommandResult<"commitUpload">> {
  const { db } = ctx;
  const found = yield* findBlobRow(ctx, input.digest);
  const isThere = found?.state === "live" && found.key === input.key;
  if (input.reuse && !isThere) return { outcome: "moved" };
  const upload = yield* first(endUpload(ctx, { id: input.id, epoch: input.epoch }));
  if (upload === undefined) return { outcome: "lost" };
  const repository = yield* only(repositoryById(ctx, { id: upload.repository }));
  const blob = yield* upsertBlob(ctx, found, input);
  for (const alias of input.aliases) {
    yield* run(
      db
        .insertInto("blob_aliases")
        .values({ digest: alias, blob })
        .onConflict((conflict) => conflict.column("digest").doUpdateSet({ blob })),
    );
  }
  yield* linkBlob(ctx, {
    repository: repository.id,
    blob,
    graceMs: input.graceMs,
  });
  yield* recordChange(ctx, input.origin, {
    kind: "blob.push",
    repositoryId: repository.id,
    repository: repository.name as RepositoryName,
    digest: input.digest,
    mediaType: blobMediaType,
    size: input.size,
  });
  return { outcome: "committed" };
}

/** Whether `from`, or any repository where it is not given, links the blob. */
function* linkedSource(
  ctx: CommandContext,
  blob: BlobRow,
  from: RepositoryName | undefined,
): Plan<boolean> {
  let query = ctx.db
    .selectFrom("repository_blobs")
    .innerJoin("repositories", "repositories.id", "repository_blobs.repository")
    .select("repository_blobs.repository")
    .where("repository_blobs.blob", "=", blob.id)
    .limit(1);
  if (from !== undefined) query = query.where("repositories.name", "=", from);
  return (yield* first(query)) !== undefined;
}

export function* mountBlob(
  ctx: CommandContext,
  input: CommandInput<"mountBlob">,
): Plan<CommandResult<"mountBlob">> {
  const blob = yield* findBlobRow(ctx, input.digest);
  if (blob?.state !== "live") return { outcome: "unknown" };
  if (!(yield* linkedSource(ctx, blob, input.from))) return { outcome: "unknown" };
  const repository = yield* ensureRepository(ctx, input.repository);
  yield* linkBlob(ctx, {
    repository: repository.id,
    blob: blob.id,
    graceMs: input.graceMs,
  });
  yield* recordChange(ctx, input.origin, {
    kind: "blob.mount",
    repositoryId: repository.id,
    repository: input.repository,
    fromRepository: input.from,
    digest: blob.digest,
    mediaType: blobMediaType,
    size: blob.size,
  });
  return {
    outcome: "mounted",
    blob: {
      repositoryId: repository.id,
      blobId: blob.id,
      digest: blob.digest as Digest,
      size: blob.size,
      key: blob.key as BlobKey,
      verifiedAt: blob.verified_at,
      reviewAfter: ctx.now + input.graceMs,
    },
  };
}

/** The manifests of a repository that use a blob. */
function usersOfBlob(ctx: CommandContext, repository: number, blob: number) {
  return ctx.db
    .selectFrom("manifest_blobs")
    .innerJoin("manifests", "manifests.id", "manifest_blobs.manifest")
    .where("manifest_blobs.blob", "=", blob)
    .where("manifests.repository", "=", repository)
    .select(["manifests.id", "manifests.digest", "manifest_blobs.kind"])
    .orderBy("manifests.digest");
}

export function* deleteBlob(
  ctx: CommandContext,
  input: CommandInput<"deleteBlob">,
): Plan<CommandResult<"deleteBlob">> {
  const { db, now } = ctx;
  const repository = yield* findRepository(ctx, input.repository);
  const blob = yield* findBlobRow(ctx, input.digest);
  if (repository === undefined || blob === undefined) return { outcome: "unknown" };
  const link = db
    .selectFrom("repository_blobs")
    .select("blob")
    .where("repository", "=", repository.id)
    .where("blob", "=", blob.id);
  if ((yield* first(link)) === undefined) return { outcome: "unknown" };
  const users = usersOfBlob(ctx, repository.id, blob.id);
  if (!input.force) {
    const named = yield* all(users.limit(namedReferrersMax));
    if (named.length > 0) {
      const manifests = [...new Set(named.map((user) => user.digest as Digest))];
      return { outcome: "referenced", manifests };
    }
  }
  for (const user of yield* all(users)) {
    yield* run(
      db
        .insertInto("manifest_missing")
        .values({
          repository: repository.id,
          digest: blob.digest,
          manifest: user.id,
          kind: user.kind,
        })
        .onConflict((conflict) => conflict.doNothing()),
    );
    yield* run(
      db.deleteFrom("manifest_blobs").where("manifest", "=", user.id).where("blob", "=", blob.id),
    );
  }
  yield* run(
    db
      .deleteFrom("repository_blobs")
      .where("repository", "=", repository.id)
      .where("blob", "=", blob.id),
  );
  yield* run(
    db
      .updateTable("blobs")
      .set({ review_after: now + input.graceMs })
      .where("id", "=", blob.id)
      .where(({ not, exists, selectFrom }) =>
        not(exists(selectFrom("repository_blobs").select("blob").where("blob", "=", blob.id))),
      ),
  );
  yield* recordChange(ctx, input.origin, {
    kind: "blob.delete",
    repositoryId: repository.id,
    repository: input.repository,
    digest: blob.digest,
    mediaType: blobMediaType,
    size: blob.size,
  });
  return { outcome: "deleted" };
}

/** A time of verification that no reader of the row has seen before. */
export function laterThan(blob: BlobRow, { now }: CommandContext): number {
  return Math.max(now, blob.verified_at + 1);
}
