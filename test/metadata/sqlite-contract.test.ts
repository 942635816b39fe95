import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { metadataStoreContract } from "../../src/metadata/contract.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";

const folder = await mkdtemp(join(tmpdir(), "longshore-metadata-"));
after(() => rm(folder, { recursive: true }));

const file = { path: join(folder, "metadata.db") };
await metadataStoreContract("SQLite in a file", () => openSqliteStore(file), {
  openSecond: () => openSqliteStore(file),
});
