/** Reads: single statements, compiled once. */
import { sql, type Kysely } from "kysely";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName, Tag } from "../../oci/names.ts";
import type { BlobKey } from "../../storage/blob-store.ts";
import type {
  BlobRecord,
  ChangeRecord,
  ManifestRecord,
  Page,
  ReferrerRecord,
} from "../records.ts";
import { prepare, type PreparedQuery } from "./prepared.ts";
import type { Database } from "./schema.ts";
import type { UploadRow } from "./upload-commands.ts";
import type { Selectable } from "kysely";

type Db = Kysely<Database>;

const manifestColumns = [
  "manifests.repository as repositoryId",
  "manifests.id as manifestId",
  "manifests.digest",
  "manifests.media_type as mediaType",
  "manifests.size",
  "manifests.review_after as reviewAfter",
] as const;

export interface ManifestRow {
  repositoryId: number;
  manifestId: number;
  digest: string;
  mediaType: string;
  size: number;
  reviewAfter: number | null;
  bytes?: Uint8Array | null;
}

export function toManifestRecord(row: ManifestRow): ManifestRecord {
  return {
    repositoryId: row.repositoryId,
    manifestId: row.manifestId,
    digest: row.digest as Digest,
    mediaType: row.mediaType,
    size: row.size,
    reviewAfter: row.reviewAfter ?? undefined,
    bytes: (row.bytes as Uint8Array<ArrayBuffer> | null | undefined) ?? undefined,
  };
}

interface BlobRow {
  repositoryId: number;
  blobId: number;
  digest: string;
  size: number;
  key: string;
  reviewAfter: number | null;
}

export function toBlobRecord(row: BlobRow): BlobRecord {
  return {
    repositoryId: row.repositoryId,
    blobId: row.blobId,
    digest: row.digest as Digest,
    size: row.size,
    key: row.key as BlobKey,
    reviewAfter: row.reviewAfter ?? undefined,
  };
}

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
      .selectFrom("repositories")
      .innerJoin("manifests", "manifests.repository", "repositories.id")
      .select(manifestColumns)
      .where("repositories.name", "=", place.repository)
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
      .selectFrom("repositories")
      .innerJoin("manifests", "manifests.repository", "repositories.id")
      .innerJoin("payloads", "payloads.digest", "manifests.digest")
      .select([...manifestColumns, "payloads.bytes"])
      .where("repositories.name", "=", place.repository)
      .where("manifests.digest", "=", place.digest),
  );
}

const blobColumns = [
  "repository_blobs.repository as repositoryId",
  "blobs.id as blobId",
  "blobs.digest",
  "blobs.size",
  "blobs.key",
  "repository_blobs.review_after as reviewAfter",
] as const;

function blobByDigest(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .innerJoin("repositories", "repositories.id", "repository_blobs.repository")
      .select(blobColumns)
      .where("blobs.digest", "=", place.digest)
      .where("blobs.state", "=", "live")
      .where("repositories.name", "=", place.repository),
  );
}

/** By any digest of the content. */
function blobByAnyDigest(db: Db) {
  return prepare((place: { repository: string; digest: string }) =>
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .innerJoin("repositories", "repositories.id", "repository_blobs.repository")
      .select(blobColumns)
      .where("blobs.state", "=", "live")
      .where("repositories.name", "=", place.repository)
      .where("blobs.id", "in", blobsOfDigest(db, place.digest)),
  );
}

function blobsOfDigest(db: Db, digest: string) {
  return db
    .selectFrom("blobs")
    .select("id")
    .where("digest", "=", digest)
    .union(db.selectFrom("blob_aliases").select("blob as id").where("digest", "=", digest));
}

function blobAnywhere(db: Db) {
  return prepare((place: { digest: string }) =>
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .select(blobColumns)
      .where("blobs.state", "=", "live")
      .where("blobs.id", "in", blobsOfDigest(db, place.digest))
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

/** Gives one row without a tag for a repository that has none after `after`: so one statement tells both. */
function tags(db: Db) {
  return prepare((place: { repository: string; after: string; limit: number }) =>
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

const referrerColumns = [
  "manifests.digest",
  "manifests.media_type as mediaType",
  "manifests.size",
  "manifests.artifact_type as artifactType",
  "manifests.config_media_type as configMediaType",
  "manifests.annotations",
] as const;

function referrers(db: Db) {
  return prepare((place: { repository: string; subject: string; after: string; limit: number }) =>
    db
      .selectFrom("manifests")
      .innerJoin("repositories", "repositories.id", "manifests.repository")
      .select(referrerColumns)
      .where("repositories.name", "=", place.repository)
      .where("manifests.subject", "=", place.subject)
      .where("manifests.digest", ">", place.after)
      .orderBy("manifests.digest")
      .limit(place.limit),
  );
}

interface ReferrerPlaces extends Record<string, unknown> {
  repository: string;
  subject: string;
  artifactType: string;
  after: string;
  limit: number;
}

function referrersOfType(db: Db) {
  const artifactType = sql<string>`coalesce(manifests.artifact_type, manifests.config_media_type, '')`;
  return prepare((place: ReferrerPlaces) =>
    db
      .selectFrom("manifests")
      .innerJoin("repositories", "repositories.id", "manifests.repository")
      .select(referrerColumns)
      .where("repositories.name", "=", place.repository)
      .where("manifests.subject", "=", place.subject)
      .where(artifactType, "=", place.artifactType)
      .where("manifests.digest", ">", place.after)
      .orderBy("manifests.digest")
      .limit(place.limit),
  );
}

export interface ReferrerRow {
  digest: string;
  mediaType: string;
  size: number;
  artifactType: string | null;
  configMediaType: string | null;
  annotations: string | null;
}

function toReferrerRecord(row: ReferrerRow): ReferrerRecord {
  return {
    digest: row.digest as Digest,
    mediaType: row.mediaType,
    size: row.size,
    artifactType: row.artifactType ?? row.configMediaType ?? undefined,
    annotationsJson: row.annotations ?? undefined,
  };
}

/** JSON around the values of a referrer's descriptor, and its size, in bytes. */
const descriptorBytesMax = 100;

/** Takes no more rows than fit: a referrer's annotations may be as large as a manifest. */
export function toReferrerPage(
  rows: Iterable<ReferrerRow>,
  page: { readonly limit: number; readonly bytesMax: number },
): Page<ReferrerRecord> {
  const items: ReferrerRecord[] = [];
  let bytes = 0;
  for (const row of rows) {
    const record = toReferrerRecord(row);
    const { annotationsJson = "", artifactType = "", digest, mediaType } = record;
    bytes += descriptorBytesMax + digest.length + mediaType.length;
    bytes += JSON.stringify(artifactType).length + Buffer.byteLength(annotationsJson);
    const fits = items.length < page.limit && (items.length === 0 || bytes <= page.bytesMax);
    if (!fits) return { items, more: true };
    items.push(record);
  }
  return { items, more: false };
}

function changes(db: Db) {
  return prepare((place: { after: number; limit: number }) =>
    db
      .selectFrom("changes")
      .selectAll()
      .where("seq", ">", place.after)
      .orderBy("seq")
      .limit(place.limit),
  );
}

type ChangeRow = Selectable<Database["changes"]>;

export function toChangeRecord(row: ChangeRow): ChangeRecord {
  return {
    seq: row.seq,
    position: row.seq,
    at: row.at,
    kind: row.kind as ChangeRecord["kind"],
    cause: row.cause as ChangeRecord["cause"],
    repositoryId: row.repository_id,
    repository: row.repository as RepositoryName,
    fromRepository: (row.from_repository as RepositoryName | null) ?? undefined,
    digest: (row.digest as Digest | null) ?? undefined,
    mediaType: row.media_type ?? undefined,
    size: row.size ?? undefined,
    references: row.refs === null ? [] : (JSON.parse(row.refs) as ChangeRecord["references"]),
    tag: (row.tag as Tag | null) ?? undefined,
    oldDigest: (row.old_digest as Digest | null) ?? undefined,
    actor: row.actor ?? undefined,
    request:
      row.request === null ? undefined : (JSON.parse(row.request) as ChangeRecord["request"]),
    version: row.version,
  };
}

/** Every read of the store, compiled for one dialect. */
export interface PreparedReads {
  readonly manifestByTag: PreparedQuery<{ repository: string; tag: string }, ManifestRow>;
  readonly manifestByDigest: PreparedQuery<{ repository: string; digest: string }, ManifestRow>;
  readonly manifestBytesByTag: PreparedQuery<{ repository: string; tag: string }, ManifestRow>;
  readonly manifestBytesByDigest: PreparedQuery<
    { repository: string; digest: string },
    ManifestRow
  >;
  readonly blobByDigest: PreparedQuery<{ repository: string; digest: string }, BlobRow>;
  readonly blobByAnyDigest: PreparedQuery<{ repository: string; digest: string }, BlobRow>;
  readonly blobAnywhere: PreparedQuery<{ digest: string }, BlobRow>;
  readonly upload: PreparedQuery<{ repository: string; id: string }, UploadRow>;
  readonly tags: PreparedQuery<
    { repository: string; after: string; limit: number },
    { name: string | null }
  >;
  readonly repositories: PreparedQuery<{ after: string; limit: number }, { name: string }>;
  readonly referrers: PreparedQuery<
    { repository: string; subject: string; after: string; limit: number },
    ReferrerRow
  >;
  readonly referrersOfType: PreparedQuery<ReferrerPlaces, ReferrerRow>;
  readonly changes: PreparedQuery<{ after: number; limit: number }, ChangeRow>;
}

export function prepareReads(db: Db): PreparedReads {
  return {
    manifestByTag: manifestByTag(db),
    manifestByDigest: manifestByDigest(db),
    manifestBytesByTag: manifestBytesByTag(db),
    manifestBytesByDigest: manifestBytesByDigest(db),
    blobByDigest: blobByDigest(db),
    blobByAnyDigest: blobByAnyDigest(db),
    blobAnywhere: blobAnywhere(db),
    upload: upload(db),
    tags: tags(db),
    repositories: repositories(db),
    referrers: referrers(db),
    referrersOfType: referrersOfType(db),
    changes: changes(db),
  };
}
