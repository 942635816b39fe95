import { sql, type Selectable } from "kysely";
/** Commands on blobs and the links by which repositories hold them (invariants I1, I2, I4). */
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/names.ts";
import type { BlobKey } from "../../storage/blob-store.ts";
import type { CommandInput, CommandResult } from "../commands.ts";
import { ensureRepository, findRepository, recordChange, type CommandContext } from "./context.ts";
import type { RowLock } from "./locks.ts";
import { blobKind } from "./manifest-edges.ts";
import { all, first, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import type { Database } from "./schema.ts";

type BlobRow = Selectable<Database["blobs"]>;

/** Blobs carry no media type of their own. */
const blobMediaType = "application/octet-stream";

/** How many manifests an answer names that refuse a deletion: enough to act on, bounded. */
const namedReferrersMax = 100;

function blobByDigest(lock: RowLock) {
  return statement((db, place: { digest: string }, { hold }) =>
    hold(db.selectFrom("blobs").selectAll().where("digest", "=", place.digest), "blobs", lock),
  );
}

function blobByAlias(lock: RowLock) {
  return statement((db, place: { digest: string }, { hold }) =>
    hold(
      db
        .selectFrom("blob_aliases")
        .innerJoin("blobs", "blobs.id", "blob_aliases.blob")
        .selectAll("blobs")
        .where("blob_aliases.digest", "=", place.digest),
      "blobs",
      lock,
    ),
  );
}

const blobs = {
  share: { byDigest: blobByDigest("share"), byAlias: blobByAlias("share") },
  update: { byDigest: blobByDigest("update"), byAlias: blobByAlias("update") },
};

/** The blob row of a digest, whatever its algorithm; it stays as it is until the command ends. */
export function* holdBlobRow(
  ctx: CommandContext,
  digest: Digest,
  lock: "share" | "update",
): Plan<BlobRow | undefined> {
  const { byAlias, byDigest } = blobs[lock];
  const canonical = yield* first(byDigest(ctx, { digest }));
  if (canonical !== undefined || digest.startsWith("sha256:")) return canonical;
  return yield* first(byAlias(ctx, { digest }));
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
const manifestsWaitingFor = statement(
  (db, place: { repository: number; blob: number }, { lateralJoins }) => {
    const aliases = db.selectFrom("blob_aliases").select("digest").where("blob", "=", place.blob);
    const canonical = db.selectFrom("blobs").select("digest").where("id", "=", place.blob);
    const digests = canonical.unionAll(aliases);
    const waiting = db
      .selectFrom("manifest_missing")
      .select(["digest", "manifest", "kind"])
      .where("repository", "=", place.repository);
    if (!lateralJoins) return waiting.where("digest", "in", digests);
    return db
      .selectFrom(digests.as("digests"))
      .innerJoinLateral(
        // The offset keeps it from becoming a plain join, which might read all of the repository's.
        waiting.where("digest", "=", sql.ref<string>("digests.digest")).offset(0).as("waiting"),
        (join) => join.onTrue(),
      )
      .selectAll("waiting");
  },
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
  yield* send(insertLink(ctx, { repository, blob, now, reviewAfter: now + link.graceMs }));
  for (const edge of yield* all(manifestsWaitingFor(ctx, { repository, blob }))) {
    yield* send(
      db
        .insertInto("manifest_blobs")
        .values({ manifest: edge.manifest, blob, kind: blobKind(edge.kind) })
        .onConflict((conflict) => conflict.doNothing()),
    );
    // Where a manifest is expected one may still come, in the blob's place.
    if (edge.kind === "manifest") continue;
    yield* send(
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
    // Whichever index it is: a commit of the same content conflicts with both of them.
    .onConflict((conflict) => conflict.doNothing())
    .returning("id"),
);

const blobByKey = statement((db, place: { key: string }) =>
  db.selectFrom("blobs").select("digest").where("key", "=", place.key),
);

const reviveBlob = statement((db, place: BlobPlaces & { id: number }) =>
  db
    .updateTable("blobs")
    .set({
      key: place.key,
      size: place.size,
      state: "live",
      claim: null,
      verified_at: place.now,
      review_after: null,
    })
    .where("id", "=", place.id),
);

/** The live row for committed bytes: a new one, or the one there is, revived where need be. */
function* upsertBlob(
  ctx: CommandContext,
  held: BlobRow | undefined,
  { digest, key, size }: CommandInput<"commitUpload">,
): Plan<number> {
  let found = held;
  while (found === undefined) {
    const inserted = yield* first(insertBlob(ctx, { digest, key, size, now: ctx.now }));
    if (inserted !== undefined) return inserted.id;
    // Another repository's commit, or the sweeper, was quicker: it has ended by now. The sweeper's
    // row may even be gone again.
    found = yield* holdBlobRow(ctx, digest, "update");
    if (found !== undefined) break;
    const other = yield* first(blobByKey(ctx, { key }));
    if (other !== undefined && other.digest !== digest) {
      throw new Error(`the key ${key} is that of ${other.digest}`);
    }
  }
  yield* send(reviveBlob(ctx, { id: found.id, digest, key, size, now: laterThan(found, ctx) }));
  return found.id;
}

const endUpload = statement((db, place: { id: string; epoch: number }) =>
  db
    .deleteFrom("uploads")
    .where("id", "=", place.id)
    .where("writer_epoch", "=", place.epoch)
    .returning(["repository"])
    .returning((from) =>
      from
        .selectFrom("repositories")
        .select("name")
        .whereRef("repositories.id", "=", "uploads.repository")
        .as("repositoryName"),
    ),
);

const setAlias = statement((db, place: { digest: string; blob: number }) =>
  db
    .insertInto("blob_aliases")
    .values({ digest: place.digest, blob: place.blob })
    .onConflict((conflict) => conflict.column("digest").doUpdateSet({ blob: place.blob })),
);

export function* commitUpload(
  ctx: CommandContext,
  input: CommandInput<"commitUpload">,
): Plan<CommandResult<"commitUpload">> {
  // Held, so that what is decided by its state, `reuse` above all, is still true at the end: no
  // collector claims it in between. A row that is not there yet cannot be held: see `upsertBlob`.
  const found = yield* holdBlobRow(ctx, input.digest, "update");
  const isThere = found?.state === "live" && found.key === input.key;
  if (input.reuse && !isThere) return { outcome: "moved" };
  // Whoever took the lease meanwhile has raised the epoch, and then this finds nothing.
  const upload = yield* first(endUpload(ctx, { id: input.id, epoch: input.epoch }));
  if (upload === undefined) return { outcome: "lost" };
  const { repository: repositoryId, repositoryName } = upload;
  if (repositoryName === null) throw new Error(`upload ${input.id} belongs to no repository`);
  const blob = yield* upsertBlob(ctx, found, input);
  for (const digest of input.aliases) yield* send(setAlias(ctx, { digest, blob }));
  yield* linkBlob(ctx, { repository: repositoryId, blob, graceMs: input.graceMs });
  yield* recordChange(ctx, input.origin, {
    kind: "blob.push",
    repositoryId,
    repository: repositoryName as RepositoryName,
    digest: input.digest,
    mediaType: blobMediaType,
    size: input.size,
  });
  return { outcome: "committed", repositoryId, blobId: blob };
}

const anyLink = statement((db, place: { blob: number }) =>
  db.selectFrom("repository_blobs").select("repository").where("blob", "=", place.blob).limit(1),
);

const linkFrom = statement((db, place: { blob: number; from: string }) =>
  db
    .selectFrom("repository_blobs")
    .select("repository")
    .where("blob", "=", place.blob)
    .where("repository", "=", (from) =>
      from.selectFrom("repositories").select("id").where("name", "=", place.from),
    ),
);

/** Whether `from`, or any repository where it is not given, links the blob. */
function* linkedSource(
  ctx: CommandContext,
  { id: blob }: BlobRow,
  from: RepositoryName | undefined,
): Plan<boolean> {
  const query = from === undefined ? anyLink(ctx, { blob }) : linkFrom(ctx, { blob, from });
  return (yield* first(query)) !== undefined;
}

export function* mountBlob(
  ctx: CommandContext,
  input: CommandInput<"mountBlob">,
): Plan<CommandResult<"mountBlob">> {
  // Held: it stays live until the new link can be seen. The link by which it is known here may go
  // at any moment, and it does not matter: that is as if it went just afterwards.
  const blob = yield* holdBlobRow(ctx, input.digest, "share");
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
  // Held, so that no other repository links it, or lets go of it, while it is looked whether this
  // was its last link.
  const blob = yield* holdBlobRow(ctx, input.digest, "update");
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
    yield* send(
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
    yield* send(
      db.deleteFrom("manifest_blobs").where("manifest", "=", user.id).where("blob", "=", blob.id),
    );
  }
  yield* send(
    db
      .deleteFrom("repository_blobs")
      .where("repository", "=", repository.id)
      .where("blob", "=", blob.id),
  );
  yield* send(
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
