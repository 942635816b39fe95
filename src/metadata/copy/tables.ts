/**
 * What a copy moves: every table but those that belong to one database (`migrations`) or to running
 * nodes (`leases`), in an order in which no row comes before one that it refers to. `store` is not
 * here: the copy gets an epoch of its own.
 */
import type { Database } from "../sql/schema.ts";

export type ColumnKind = "integer" | "text" | "bytes";

export interface CopiedTable {
  readonly name: keyof Database;
  readonly columns: Readonly<Record<string, ColumnKind>>;
  /** By which it is read in pages: the primary key. */
  readonly key: readonly string[];
  /** Columns that may hold much: pages are also bounded by these. */
  readonly large: readonly string[];
  /** The column whose numbers are given by the database, and never twice. */
  readonly numbered?: string;
}

interface Options {
  readonly key: readonly string[];
  readonly large?: readonly string[];
  readonly numbered?: string;
}

function table<Name extends keyof Database>(
  name: Name,
  columns: Readonly<Record<keyof Database[Name] & string, ColumnKind>>,
  { key, large = [], numbered }: Options,
): CopiedTable {
  return { name, columns, key, large, ...(numbered === undefined ? {} : { numbered }) };
}

/** `position` is not among them: it is `seq` in SQLite, and takes its place (`CopyDatabase`). */
const changeColumns = {
  seq: "integer",
  at: "integer",
  kind: "text",
  cause: "text",
  repository_id: "integer",
  repository: "text",
  from_repository: "text",
  digest: "text",
  media_type: "text",
  size: "integer",
  refs: "text",
  tag: "text",
  old_digest: "text",
  actor: "text",
  request: "text",
  version: "integer",
} as const satisfies Record<Exclude<keyof Database["changes"], "position">, ColumnKind>;

export const copiedTables: readonly CopiedTable[] = [
  table(
    "repositories",
    { id: "integer", name: "text", state: "text", created_at: "integer" },
    { key: ["id"], numbered: "id" },
  ),
  table(
    "blobs",
    {
      id: "integer",
      digest: "text",
      size: "integer",
      key: "text",
      state: "text",
      claim: "text",
      created_at: "integer",
      verified_at: "integer",
      review_after: "integer",
    },
    { key: ["id"], numbered: "id" },
  ),
  table("blob_aliases", { digest: "text", blob: "integer" }, { key: ["digest"] }),
  table(
    "repository_blobs",
    { repository: "integer", blob: "integer", linked_at: "integer", review_after: "integer" },
    { key: ["repository", "blob"] },
  ),
  table("payloads", { digest: "text", bytes: "bytes" }, { key: ["digest"], large: ["bytes"] }),
  table(
    "manifests",
    {
      id: "integer",
      repository: "integer",
      digest: "text",
      media_type: "text",
      artifact_type: "text",
      subject: "text",
      size: "integer",
      annotations: "text",
      config_media_type: "text",
      pushed_at: "integer",
      review_after: "integer",
    },
    { key: ["id"], large: ["annotations"], numbered: "id" },
  ),
  table("manifest_pulls", { manifest: "integer", pulled_at: "integer" }, { key: ["manifest"] }),
  table(
    "manifest_blobs",
    { manifest: "integer", blob: "integer", kind: "text" },
    { key: ["manifest", "blob", "kind"] },
  ),
  table(
    "manifest_children",
    { manifest: "integer", child: "integer" },
    { key: ["manifest", "child"] },
  ),
  table(
    "manifest_missing",
    { repository: "integer", digest: "text", manifest: "integer", kind: "text" },
    { key: ["repository", "digest", "manifest", "kind"] },
  ),
  table(
    "tags",
    { repository: "integer", name: "text", manifest: "integer", updated_at: "integer" },
    { key: ["repository", "name"] },
  ),
  table(
    "tag_history",
    {
      id: "integer",
      repository: "integer",
      name: "text",
      digest: "text",
      from_at: "integer",
      until_at: "integer",
    },
    { key: ["id"], numbered: "id" },
  ),
  table(
    "uploads",
    {
      id: "text",
      repository: "integer",
      offset: "integer",
      algorithm: "text",
      digests_so_far: "text",
      store_state: "text",
      writer: "text",
      writer_epoch: "integer",
      writer_until: "integer",
      created_at: "integer",
      updated_at: "integer",
    },
    { key: ["id"], large: ["store_state"] },
  ),
  {
    name: "changes",
    columns: changeColumns,
    key: ["seq"],
    large: ["refs", "request"],
    numbered: "seq",
  },
  table("cursors", { reader: "text", written: "integer", synced: "integer" }, { key: ["reader"] }),
];

/** Tables of ours that are not copied row by row, and why is said above. */
export const leftTables: readonly (keyof Database)[] = ["leases", "migrations", "store"];
