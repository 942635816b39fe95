/**
 * Migrations: forward only, each in one transaction, recorded in `migrations`. Never edit one that
 * was released; append.
 *
 * Nodes are brought up to date one by one, so each migration has to leave the database fit for the
 * code of the version before it: new columns may be null or have a default, nothing is renamed or
 * taken away that the older code still names. What is to go, goes a version later. `compatibleFrom`
 * says so; a node that finds a newer database goes on if the database says that it may.
 *
 * Each index is a page more that a push writes and syncs, so there are those which today's reads
 * need; the collector brings its own.
 */
import type { SqlDialect } from "./dialect.ts";

export interface Migration {
  readonly version: number;
  /** The oldest version of the code that can go on with the database afterwards. */
  readonly compatibleFrom: number;
  readonly statements: (dialect: SqlDialect) => readonly string[];
}

export const migrations: readonly Migration[] = [
  { version: 1, compatibleFrom: 1, statements: ({ types }) => firstSchema(types) },
  { version: 2, compatibleFrom: 1, statements: upkeepSchema },
  { version: 3, compatibleFrom: 1, statements: logOrder },
];

/**
 * Stands among the applied migrations while `longshore metadata copy` fills the database: half a
 * registry is not to be served. No code knows so high a version, older code neither.
 */
export const copyUnfinished = 1_000_000_000;

export interface AppliedMigration {
  readonly version: number;
  readonly compatible_from: number | null;
}

/** What is to be applied yet. Throws where the database is too new for this code. */
export function pendingMigrations(
  applied: readonly AppliedMigration[],
  known: readonly Migration[] = migrations,
): readonly Migration[] {
  if (applied.some(({ version }) => version === copyUnfinished)) {
    throw new Error(
      "the database is being filled by `longshore metadata copy`, or that was broken off: run it " +
        "again with the same --from and --to, and it goes on",
    );
  }
  const newest = Math.max(0, ...applied.map(({ version }) => version));
  const current = Math.max(...known.map(({ version }) => version));
  const newer = applied.filter(({ version }) => version > current);
  const needed = Math.max(0, ...newer.map((each) => each.compatible_from ?? each.version));
  if (needed > current) {
    throw new Error(
      `the database is of version ${newest}, made by a newer Longshore; this one knows ${current}`,
    );
  }
  return known.filter(({ version }) => version > newest);
}

/**
 * Where `seq` is not the order in which changes become visible, each gets a position when it is
 * first read. The sequence outlives the rows: no position comes twice.
 */
function logOrder({ logPosition, types }: SqlDialect): readonly string[] {
  if (logPosition === "seq") return [];
  return [
    `alter table changes add column position ${types.integer}`,
    `create unique index changes_position on changes (position) where position is not null`,
    `create index changes_unnumbered on changes (seq) where position is null`,
    `create sequence changes_positions`,
  ];
}

function upkeepSchema(): readonly string[] {
  return [
    // A blob in use is in none of it: a push pays nothing for this.
    `create index blobs_review on blobs (id) where review_after is not null`,
    `create unique index store_one on store ((1))`,
  ];
}

function firstSchema(types: SqlDialect["types"]): readonly string[] {
  const { id, integer, text, bytes } = types;
  return [
    `create table repositories (
       id ${id}, name ${text} not null unique, state ${text} not null, created_at ${integer} not null)`,
    `create table blobs (
       id ${id}, digest ${text} not null unique, size ${integer} not null, key ${text} not null unique,
       state ${text} not null, claim ${text}, created_at ${integer} not null,
       verified_at ${integer} not null, review_after ${integer})`,
    `create unique index blobs_claim on blobs (claim) where claim is not null`,
    `create table blob_aliases (
       digest ${text} not null primary key,
       blob ${integer} not null references blobs (id) on delete cascade)`,
    `create index blob_aliases_blob on blob_aliases (blob)`,
    `create table repository_blobs (
       repository ${integer} not null references repositories (id),
       blob ${integer} not null references blobs (id),
       linked_at ${integer} not null, review_after ${integer},
       primary key (repository, blob))${types.clustered}`,
    `create index repository_blobs_blob on repository_blobs (blob)`,
    `create table payloads (digest ${text} not null primary key, bytes ${bytes} not null)`,
    `create table manifests (
       id ${id}, repository ${integer} not null references repositories (id), digest ${text} not null,
       media_type ${text} not null, artifact_type ${text}, subject ${text}, size ${integer} not null,
       annotations ${text}, config_media_type ${text}, pushed_at ${integer} not null,
       review_after ${integer}, unique (repository, digest))`,
    `create index manifests_subject on manifests (repository, subject, digest)
       where subject is not null`,
    `create index manifests_subject_type on manifests
       (repository, subject, coalesce(artifact_type, config_media_type, ''), digest)
       where subject is not null`,
    `create index manifests_digest on manifests (digest)`,
    `create table manifest_pulls (
       manifest ${integer} not null primary key references manifests (id) on delete cascade,
       pulled_at ${integer} not null)`,
    ...edgeTables(types),
    `create table tags (
       repository ${integer} not null references repositories (id), name ${text} not null,
       manifest ${integer} not null references manifests (id), updated_at ${integer} not null,
       primary key (repository, name))${types.clustered}`,
    `create index tags_manifest on tags (manifest)`,
    `create table tag_history (
       id ${id}, repository ${integer} not null references repositories (id), name ${text} not null,
       digest ${text} not null, from_at ${integer} not null, until_at ${integer})`,
    `create index tag_history_name on tag_history (repository, name, id)`,
    ...logTables(types),
  ];
}

function edgeTables(types: SqlDialect["types"]): readonly string[] {
  const { integer, text } = types;
  return [
    `create table manifest_blobs (
       manifest ${integer} not null references manifests (id) on delete cascade,
       blob ${integer} not null references blobs (id), kind ${text} not null,
       primary key (manifest, blob, kind))${types.clustered}`,
    `create index manifest_blobs_blob on manifest_blobs (blob)`,
    `create table manifest_children (
       manifest ${integer} not null references manifests (id) on delete cascade,
       child ${integer} not null references manifests (id),
       primary key (manifest, child))${types.clustered}`,
    `create index manifest_children_child on manifest_children (child)`,
    `create table manifest_missing (
       repository ${integer} not null references repositories (id), digest ${text} not null,
       manifest ${integer} not null references manifests (id) on delete cascade,
       kind ${text} not null,
       primary key (repository, digest, manifest, kind))${types.clustered}`,
    `create index manifest_missing_manifest on manifest_missing (manifest)`,
  ];
}

function logTables(types: SqlDialect["types"]): readonly string[] {
  const { id, integer, text } = types;
  return [
    `create table uploads (
       id ${text} not null primary key, repository ${integer} not null,
       "offset" ${integer} not null, algorithm ${text} not null, digests_so_far ${text} not null,
       store_state ${text} not null, writer ${text}, writer_epoch ${integer} not null,
       writer_until ${integer}, created_at ${integer} not null,
       updated_at ${integer} not null)${types.clustered}`,
    `create table changes (
       seq ${id}, at ${integer} not null, kind ${text} not null, cause ${text} not null,
       repository_id ${integer} not null, repository ${text} not null, from_repository ${text},
       digest ${text}, media_type ${text}, size ${integer}, refs ${text}, tag ${text},
       old_digest ${text}, actor ${text}, request ${text}, version ${integer} not null)`,
    `create table cursors (
       reader ${text} not null primary key, written ${integer} not null, synced ${integer} not null)`,
    `create table leases (
       name ${text} not null primary key, holder ${text} not null, epoch ${integer} not null,
       until_at ${integer} not null)`,
    `create table store (id ${text} not null primary key, epoch ${integer} not null)`,
  ];
}
