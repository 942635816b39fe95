/**
 * The metadata store on SQLite: reads on the calling thread, from a connection that can only read;
 * commands on a thread of their own, so that waiting for the disk stalls nobody.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { MetadataStore } from "../metadata-store.ts";
import { SqlStore } from "../sql/sql-store.ts";
import { Connection, inMemory } from "./connection.ts";
import { refuseNetworkFilesystem } from "./network-filesystem.ts";
import { ThreadWriter } from "./writers.ts";

const name = "sqlite";

/** Opens the database, makes it where there is none, and brings it up to date. */
export async function openSqliteStore(options: {
  /** A file's path, or `:memory:`. */
  readonly path: string;
}): Promise<MetadataStore> {
  const { path } = options;
  if (path === inMemory) {
    // Brings the query builder into this thread, which a database in a file does not need here.
    const { openMemoryEngine } = await import("./memory-engine.ts");
    const { connection: reader, reads, writer } = openMemoryEngine();
    return new SqlStore(name, { reader, reads, writer });
  }
  // Without a pause up to here: the thread loads its code while the caller goes on with its own.
  prepareFolder(dirname(path));
  const writer = new ThreadWriter(path);
  const reads = await writer.ready;
  try {
    const reader = new Connection(path, { readOnly: true });
    return new SqlStore(name, { reader, reads, writer });
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/**
 * Makes the folder, and its entry durable: a database that a power cut takes away was never opened.
 */
function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  refuseNetworkFilesystem(folder);
  for (const path of [folder, dirname(folder)]) {
    const descriptor = openSync(path, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}
