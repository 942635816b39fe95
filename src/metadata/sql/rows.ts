/**
 * Rows as the reads give them, and the records they become. Loads no query builder: readers need
 * none.
 */
import type { Selectable } from "kysely";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName, Tag } from "../../oci/names.ts";
import type { BlobKey } from "../../storage/blob-store.ts";
import type {
  BlobRecord,
  ChangeRecord,
  ManifestRecord,
  Page,
  ReferrerRecord,
  StoreIdentity,
  UploadRecord,
} from "../records.ts";
import type { PreparedQuery } from "./prepared.ts";
import type { Database } from "./schema.ts";

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

export interface BlobRow {
  repositoryId: number;
  blobId: number;
  digest: string;
  size: number;
  key: string;
  verifiedAt: number;
  reviewAfter: number | null;
}

export function toBlobRecord(row: BlobRow): BlobRecord {
  return {
    repositoryId: row.repositoryId,
    blobId: row.blobId,
    digest: row.digest as Digest,
    size: row.size,
    key: row.key as BlobKey,
    verifiedAt: row.verifiedAt,
    reviewAfter: row.reviewAfter ?? undefined,
  };
}

export type UploadRow = Selectable<Database["uploads"]>;

export function toUploadRecord(row: UploadRow, repository: RepositoryName): UploadRecord {
  return {
    id: row.id,
    repositoryId: row.repository,
    repository,
    offset: row.offset,
    algorithm: row.algorithm,
    digestsSoFar: row.digests_so_far === "" ? [] : (row.digests_so_far.split(" ") as Digest[]),
    state: row.store_state,
    writer: row.writer ?? undefined,
    writerEpoch: row.writer_epoch,
    createdAt: row.created_at,
  };
}

export interface ReferrerRow {
  digest: string;
  mediaType: string;
  size: number;
  artifactType: string | null;
  annotationsBytes: number | null;
  /** Null also where they are too large to come with their row. */
  annotations: string | null;
}

/** JSON around the values of a referrer's descriptor, and its size, in bytes. */
const descriptorBytesMax = 100;

/** Takes no more rows than fit: a referrer's annotations may be as large as a manifest. */
export async function toReferrerPage(
  rows: readonly ReferrerRow[],
  page: { readonly limit: number; readonly bytesMax: number },
  annotationsOf: (digest: string) => Promise<string | undefined>,
): Promise<Page<ReferrerRecord>> {
  const items: ReferrerRecord[] = [];
  let bytes = 0;
  for (const row of rows) {
    const { annotationsBytes, digest, mediaType, size } = row;
    const artifactType = row.artifactType ?? undefined;
    // Quoting makes a text twice as long at most.
    bytes += descriptorBytesMax + digest.length + 2 * mediaType.length;
    bytes += 2 * (artifactType?.length ?? 0) + (annotationsBytes ?? 0);
    const fits = items.length < page.limit && (items.length === 0 || bytes <= page.bytesMax);
    if (!fits) return { items, more: true };
    const annotationsJson =
      annotationsBytes === null ? undefined : (row.annotations ?? (await annotationsOf(digest)));
    items.push({ digest: digest as Digest, mediaType, size, artifactType, annotationsJson });
  }
  return { items, more: false };
}

type ChangeRow = Omit<Selectable<Database["changes"]>, "position"> & { position: number };

export function toChangeRecord(row: ChangeRow): ChangeRecord {
  return {
    seq: row.seq,
    position: row.position,
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

export interface ReferrerPlaces extends Record<string, unknown> {
  repository: string;
  subject: string;
  artifactType: string;
  after: string;
  limit: number;
}

export interface UnusedRow {
  blobId: number;
  digest: string;
  size: number;
  key: string;
}

/** Places of `known`: `key0`, `digest0`, `upload0` and so on; null where there are fewer. */
export type KnownPlaces = Record<string, string | null>;

export interface PreparedUpkeepReads {
  /** The database's clock, ms UTC. */
  readonly clock: PreparedQuery<Record<string, never>, { readonly now: number }>;
  readonly known: PreparedQuery<KnownPlaces, { readonly name: string }>;
  readonly unused: PreparedQuery<{ after: number; limit: number; now: number }, UnusedRow>;
  readonly claims: PreparedQuery<
    { after: number; limit: number },
    UnusedRow & { readonly claim: string | null }
  >;
  readonly idleUploads: PreparedQuery<
    { after: string; limit: number; now: number; idleSince: number },
    UploadRow & { readonly repositoryName: string }
  >;
  readonly identity: PreparedQuery<Record<string, never>, StoreIdentity>;
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
  readonly annotationsOf: PreparedQuery<
    { repository: string; digest: string },
    { annotations: string | null }
  >;
  readonly referrersOfType: PreparedQuery<ReferrerPlaces, ReferrerRow>;
  readonly changes: PreparedQuery<{ after: number; limit: number }, ChangeRow>;
  readonly upkeep: PreparedUpkeepReads;
}
