/**
 * The tables, as Kysely sees them. `migrations.ts` makes them.
 *
 *     repositories --< tags >-- manifests --< manifest_blobs >-- blobs --< repository_blobs
 *                                    |  \--< manifest_children >-- manifests
 *                                    |   \-< manifest_missing      (what is referred to, not here)
 *                                 payloads                          blob_aliases >-- blobs
 *
 * Integer ids join everything and are never reused; a digest is stored once, as text. Time is
 * milliseconds UTC.
 */
import type { Generated } from "kysely";

/**
 * `draft` has never had a manifest: it may hold blobs and uploads, is not listed, and its tags are
 * unknown. `deleting` is a tombstone under a name that no client can send.
 */
export type RepositoryState = "draft" | "live" | "deleting";

/**
 * `deleting` belongs to the collector that holds `claim`; `missing` is a row whose bytes are gone.
 */
export type BlobState = "live" | "deleting" | "missing";

export interface Database {
  repositories: {
    id: Generated<number>;
    name: string;
    state: RepositoryState;
    created_at: number;
  };
  blobs: {
    id: Generated<number>;
    /** sha256 of the bytes: computed for every upload, whatever its client asked for. */
    digest: string;
    size: number;
    key: string;
    state: BlobState;
    claim: string | null;
    created_at: number;
    verified_at: number;
    /** When the collector may look at it; null while linked. */
    review_after: number | null;
  };
  blob_aliases: { digest: string; blob: number };
  repository_blobs: {
    repository: number;
    blob: number;
    linked_at: number;
    review_after: number | null;
  };
  payloads: { digest: string; bytes: Uint8Array };
  manifests: {
    id: Generated<number>;
    repository: number;
    digest: string;
    media_type: string;
    artifact_type: string | null;
    subject: string | null;
    size: number;
    annotations: string | null;
    config_media_type: string | null;
    pushed_at: number;
    review_after: number | null;
  };
  manifest_pulls: { manifest: number; pulled_at: number };
  manifest_blobs: { manifest: number; blob: number; kind: "config" | "layer" };
  manifest_children: { manifest: number; child: number };
  manifest_missing: {
    repository: number;
    digest: string;
    manifest: number;
    kind: "config" | "layer" | "manifest";
  };
  tags: { repository: number; name: string; manifest: number; updated_at: number };
  tag_history: {
    id: Generated<number>;
    repository: number;
    name: string;
    digest: string;
    from_at: number;
    until_at: number | null;
  };
  uploads: {
    id: string;
    repository: number;
    offset: number;
    algorithm: string;
    /** Space-separated digests of the first `offset` bytes; empty when they must be read again. */
    digests_so_far: string;
    store_state: string;
    writer: string | null;
    writer_epoch: number;
    writer_until: number | null;
    created_at: number;
    updated_at: number;
  };
  changes: {
    seq: Generated<number>;
    /**
     * The order in which readers follow the log; null until it is numbered. PostgreSQL has this
     * column, where a lower `seq` may become visible after a higher one. In SQLite `seq` is both.
     */
    position: Generated<number | null>;
    at: number;
    kind: string;
    cause: string;
    repository_id: number;
    repository: string;
    from_repository: string | null;
    digest: string | null;
    media_type: string | null;
    size: number | null;
    /** JSON: [{mediaType, digest, size}]. */
    refs: string | null;
    tag: string | null;
    old_digest: string | null;
    actor: string | null;
    /** JSON: {id, addr, host, method, useragent}. */
    request: string | null;
    version: number;
  };
  cursors: { reader: string; written: number; synced: number };
  leases: { name: string; holder: string; epoch: number; until_at: number };
  store: { id: string; epoch: number };
  migrations: {
    version: number;
    applied_at: number;
    /** The oldest version of this code that can go on with the database; null: none. */
    compatible_from: number | null;
  };
}
