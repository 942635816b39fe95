/** Reads: single statements, compiled once. */
import { sql, type Kysely } from "kysely";
import type { SqlDialect } from "./dialect.ts";
import { prepare } from "./prepared.ts";
import type { PreparedReads, ReferrerPlaces } from "./rows.ts";
import type { Database } from "./schema.ts";
import { prepareUpkeepReads } from "./upkeep-reads.ts";

type Db = Kysely<Database>;

/**
 * A repository's id as one value. In a join PostgreSQL may begin at the other end, with all the
 * repositories that link a common blob; and it is unsure of the order in which rows come, and sorts
 * all of them for each page.
 */
function repositoryId(db: Db, name: string) {
  return db.selectFrom("repositories").select("repositories.id").where("name", "=", name);
}

const manifestColumns = [
  "manifests.repository as repositoryId",
  "manifests.id as manifestId",
  "manifests.digest",
  "manifests.media_type as mediaType",
  "manifests.size",
  "manifests.review_after as reviewAfter",
] as const;

function manifestByTag(db: Db) {
  return prepare((place: { repository: string; tag: string }) =>
    db
      .selectFrom("repositories")
      .innerJoin("tags", "tags.repository", "repositories.id")
      .innerJoin("manifests", "manifests.id", "tags.manifest")
      .select(manifestColumns)
      .where("repositories.name", "=", place.repository)
      .where("tags.name", "=", place.tag),
  );
}

function manifestByDigest(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("manifests")
      .select(manifestColumns)
      .where("manifests.repository", "=", repositoryId(db, place.repository))
      .where("manifests.digest", "=", place.digest),
  );
}

function manifestBytesByTag(db: Db) {
  return prepare((place: { repository: string; tag: string }) =>
    db
      .selectFrom("repositories")
      .innerJoin("tags", "tags.repository", "repositories.id")
      .innerJoin("manifests", "manifests.id", "tags.manifest")
      .innerJoin("payloads", "payloads.digest", "manifests.digest")
      .select([...manifestColumns, "payloads.bytes"])
      .where("repositories.name", "=", place.repository)
      .where("tags.name", "=", place.tag),
  );
}

function manifestBytesByDigest(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("manifests")
      .innerJoin("payloads", "payloads.digest", "manifests.digest")
      .select([...manifestColumns, "payloads.bytes"])
      .where("manifests.repository", "=", repositoryId(db, place.repository))
      .where("manifests.digest", "=", place.digest),
  );
}

const blobColumns = [
  "repository_blobs.repository as repositoryId",
  "blobs.id as blobId",
  "blobs.digest",
  "blobs.size",
  "blobs.key",
  "blobs.verified_at as verifiedAt",
  "repository_blobs.review_after as reviewAfter",
] as const;

function blobByDigest(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .select(blobColumns)
      .where("blobs.digest", "=", place.digest)
      .where("blobs.state", "=", "live")
      .where("repository_blobs.repository", "=", repositoryId(db, place.repository)),
  );
}

/** By any digest of the content. */
function blobByAnyDigest(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .select(blobColumns)
      .where("blobs.state", "=", "live")
      .where("repository_blobs.repository", "=", repositoryId(db, place.repository))
      .where("blobs.id", "=", blobOfDigest(db, place.digest)),
  );
}

/** One content has one row, whichever of its digests is asked for. */
function blobOfDigest(db: Db, digest: string) {
  return db
    .selectFrom("blobs")
    .select("id")
    .where("digest", "=", digest)
    .unionAll(db.selectFrom("blob_aliases").select("blob as id").where("digest", "=", digest))
    .limit(1);
}

function blobAnywhere(db: Db) {
  return prepare((place: { digest: string }) =>
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .select(blobColumns)
      .where("blobs.state", "=", "live")
      .where("blobs.id", "=", blobOfDigest(db, place.digest))
      .limit(1),
  );
}

function upload(db: Db) {
  return prepare((place: { repository: string; id: string }) =>
    db
      .selectFrom("uploads")
      .innerJoin("repositories", "repositories.id", "uploads.repository")
      .selectAll("uploads")
      .where("uploads.id", "=", place.id)
      .where("repositories.name", "=", place.repository),
  );
}

/**
 * Gives one row without a tag for a repository that has none after `after`: so one statement tells
 * both.
 */
function tags({ builder: db, lateralJoins }: SqlDialect) {
  return lateralJoins
    ? prepare((place: TagPlaces) =>
        db
          .selectFrom("repositories")
          .leftJoinLateral(
            (from) =>
              from
                .selectFrom("tags")
                .select("tags.name")
                .whereRef("tags.repository", "=", "repositories.id")
                .where("tags.name", ">", place.after)
                .orderBy("tags.name")
                .limit(place.limit)
                .as("tags"),
            (join) => join.onTrue(),
          )
          .select("tags.name")
          .where("repositories.name", "=", place.repository)
          .where("repositories.state", "=", "live")
          .orderBy("tags.name"),
      )
    : prepare((place: TagPlaces) =>
        db
          .selectFrom("repositories")
          .leftJoin("tags", (join) =>
            join.onRef("tags.repository", "=", "repositories.id").on("tags.name", ">", place.after),
          )
          .select("tags.name")
          .where("repositories.name", "=", place.repository)
          .where("repositories.state", "=", "live")
          .orderBy("tags.name")
          .limit(place.limit),
      );
}

interface TagPlaces extends Record<string, unknown> {
  repository: string;
  after: string;
  limit: number;
}

function repositories(db: Db) {
  return prepare((place: { after: string; limit: number }) =>
    db
      .selectFrom("repositories")
      .select("name")
      .where("name", ">", place.after)
      .where("state", "=", "live")
      .orderBy("name")
      .limit(place.limit),
  );
}

/**
 * Annotations up to this many bytes come with their row, larger ones one by one: a page has up to a
 * thousand rows, and each may have 4 MiB of them.
 */
const annotationsInRowMax = 8192;

const referrerColumns = [
  "manifests.digest",
  "manifests.media_type as mediaType",
  "manifests.size",
  sql<string | null>`coalesce(artifact_type, config_media_type)`.as("artifactType"),
  sql<number | null>`octet_length(annotations)`.as("annotationsBytes"),
  sql<string | null>`case when octet_length(annotations) <= ${sql.lit(annotationsInRowMax)}
    then annotations end`.as("annotations"),
] as const;

function referrers(db: Db) {
  return prepare((place: { repository: string; subject: string; after: string; limit: number }) =>
    db
      .selectFrom("manifests")
      .select(referrerColumns)
      .where("manifests.repository", "=", repositoryId(db, place.repository))
      .where("manifests.subject", "=", place.subject)
      .where("manifests.digest", ">", place.after)
      .orderBy("manifests.digest")
      .limit(place.limit),
  );
}

function annotationsOf(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("manifests")
      .select("manifests.annotations")
      .where("manifests.repository", "=", repositoryId(db, place.repository))
      .where("manifests.digest", "=", place.digest),
  );
}

function referrersOfType(db: Db) {
  const artifactType = sql<string>`coalesce(artifact_type, config_media_type, '')`;
  return prepare((place: ReferrerPlaces) =>
    db
      .selectFrom("manifests")
      .select(referrerColumns)
      .where("manifests.repository", "=", repositoryId(db, place.repository))
      .where("manifests.subject", "=", place.subject)
      .where(artifactType, "=", place.artifactType)
      .where("manifests.digest", ">", place.after)
      .orderBy("manifests.digest")
      .limit(place.limit),
  );
}

function changes({ builder: db, logPosition }: SqlDialect) {
  const position = db.dynamic.ref<"seq" | "position">(logPosition);
  return prepare((place: { after: number; limit: number }) =>
    db
      .selectFrom("changes")
      .selectAll()
      .select(sql<number>`${sql.ref(logPosition)}`.as("position"))
      .where(position, ">", place.after)
      .orderBy(position)
      .limit(place.limit),
  );
}

export function prepareReads(dialect: SqlDialect): PreparedReads {
  const db = dialect.builder;
  return {
    manifestByTag: manifestByTag(db),
    manifestByDigest: manifestByDigest(db),
    manifestBytesByTag: manifestBytesByTag(db),
    manifestBytesByDigest: manifestBytesByDigest(db),
    blobByDigest: blobByDigest(db),
    blobByAnyDigest: blobByAnyDigest(db),
    blobAnywhere: blobAnywhere(db),
    upload: upload(db),
    tags: tags(dialect),
    repositories: repositories(db),
    referrers: referrers(db),
    annotationsOf: annotationsOf(db),
    referrersOfType: referrersOfType(db),
    changes: changes(dialect),
    upkeep: prepareUpkeepReads(dialect),
  };
}
