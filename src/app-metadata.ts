/** Opens the database that was asked for. */
import { join } from "node:path";
import type { MetadataConfig, StorageConfig } from "./config/config.ts";
import type { MetadataStore } from "./metadata/metadata-store.ts";
import { openSqliteStore } from "./metadata/sqlite/sqlite-store.ts";
import type { BlobStore } from "./storage/blob-store.ts";

/** Where the database lies below the storage's root, unless it was said. */
const databasePath = join("longshore", "metadata.db");

const inMemory = ":memory:";

/**
 * SQLite begins without a pause: its thread loads its code while the caller goes on with its own.
 */
export async function openMetadata(
  metadata: MetadataConfig | undefined,
  storage: StorageConfig | BlobStore,
): Promise<MetadataStore> {
  if (metadata === undefined) return await openSqliteStore({ path: defaultPath(storage) });
  if ("sqlite" in metadata) return await openSqliteStore(metadata.sqlite);
  throw new Error("metadata.postgres: not in this version");
}

function defaultPath(storage: StorageConfig | BlobStore): string {
  if (storage === "memory") return inMemory;
  if ("root" in storage) return join(storage.root, databasePath);
  throw new Error(
    "metadata: is required with this storage: { sqlite: { path } } or { postgres: { url } }",
  );
}
