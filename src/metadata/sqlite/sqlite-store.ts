/**
 * The metadata store on SQLite: reads on the calling thread, from a connection that can only read;
 * commands on a thread of their own, so that waiting for the disk stalls nobody.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";
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
  prepareFolder(dirname(resolve(path)));
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
 * Makes the folder, and the entry of each one that was made: a database that a power cut takes away
 * was never opened.
 */
export function prepareFolder(folder: string): void {
  const made = mkdirSync(folder, { recursive: true });
  refuseNetworkFilesystem(folder);
  syncFolder(folder);
  const uppermost = dirname(made ?? folder);
  for (let path = dirname(folder); path.length >= uppermost.length; path = dirname(path)) {
    syncFolder(path);
    if (path === dirname(path)) return;
  }
}

/** One may make a folder where one may not read: then the operator's own sync has to do. */
function syncFolder(folder: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(folder, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EACCES") return;
    throw error;
  }
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
