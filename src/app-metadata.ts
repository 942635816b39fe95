/** Opens the database that was asked for. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { MetadataConfig, PostgresConfig, StorageConfig } from "./config/config.ts";
import type { MetadataStore } from "./metadata/metadata-store.ts";
import type { PostgresOptions } from "./metadata/postgres/postgres-options.ts";
import type { Timing } from "./metadata/postgres/retries.ts";
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
  timing: Timing,
): Promise<MetadataStore> {
  if (metadata === undefined) return await openSqliteStore({ path: defaultPath(storage) });
  if ("sqlite" in metadata) return await openSqliteStore(metadata.sqlite);
  return await openPostgres(metadata.postgres, timing);
}

/** Where the database is that was asked for, with its password. */
export async function metadataPlace(
  metadata: MetadataConfig | undefined,
  storage: StorageConfig,
): Promise<
  { readonly sqlite: { readonly path: string } } | { readonly postgres: PostgresOptions }
> {
  if (metadata === undefined) return { sqlite: { path: defaultPath(storage) } };
  if ("sqlite" in metadata) return metadata;
  return { postgres: await withPassword(metadata.postgres) };
}

async function openPostgres(config: PostgresConfig, timing: Timing): Promise<MetadataStore> {
  const { openPostgresStore } = await import("./metadata/postgres/postgres-store.ts");
  return await openPostgresStore(await withPassword(config), timing);
}

async function withPassword({
  passwordFile,
  ...options
}: PostgresConfig): Promise<PostgresOptions> {
  if (passwordFile === undefined) return options;
  return { ...options, password: await readPassword(passwordFile) };
}

async function readPassword(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new Error(`metadata.postgres.passwordfile: ${file} cannot be read${code}`, {
      cause: error,
    });
  }
}

function defaultPath(storage: StorageConfig | BlobStore): string {
  if (storage === "memory") return inMemory;
  if ("root" in storage) return join(storage.root, databasePath);
  throw new Error(
    "metadata: is required with this storage: { sqlite: { path } } or { postgres: { url } }",
  );
}
