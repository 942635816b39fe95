/** Opens the storage that was asked for. A vendor's package is loaded only where it is used. */
import type { StorageConfig } from "./config/config.ts";
import type { BlobStore } from "./storage/blob-store.ts";
import { createFilesystemStore } from "./storage/filesystem.ts";
import { createMemoryStore } from "./storage/memory.ts";

export interface StorageSurroundings {
  /** Milliseconds UTC. */
  readonly now: () => number;
}

export async function openStorage(
  storage: StorageConfig,
  surroundings: StorageSurroundings,
): Promise<BlobStore> {
  if (storage === "memory") return createMemoryStore(surroundings);
  if ("root" in storage) return await createFilesystemStore({ root: storage.root });
  throw new Error("storage: object stores are not in this version");
}
