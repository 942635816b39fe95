/** Opens the storage that was asked for. A vendor's package is loaded only where it is used. */
import type { ObjectStorage, StorageConfig } from "./config/config.ts";
import { StorageUnavailable, type BlobStore } from "./storage/blob-store.ts";
import { createFilesystemStore } from "./storage/filesystem.ts";
import { createMemoryStore } from "./storage/memory.ts";
import type { ObjectBucket } from "./storage/objects/object-bucket.ts";
import type { BucketObserver } from "./storage/objects/resilient-bucket-settings.ts";

export interface StorageSurroundings {
  /** Milliseconds UTC. */
  readonly now: () => number;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** A word that never comes again, on any node. */
  readonly newId: () => string;
  readonly observer: BucketObserver | undefined;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, on the way to an object store. */
  readonly proxyEnv: Readonly<Record<string, string | undefined>> | undefined;
  readonly log: (message: string, fields: object) => void;
  readonly report: (problem: string, error: unknown) => void;
}

export async function openStorage(
  storage: StorageConfig,
  surroundings: StorageSurroundings,
): Promise<BlobStore> {
  if (storage === "memory") return createMemoryStore(surroundings);
  if ("root" in storage) return await createFilesystemStore({ root: storage.root });
  return await openObjectStore(storage, surroundings);
}

async function openObjectStore(
  storage: ObjectStorage,
  surroundings: StorageSurroundings,
): Promise<BlobStore> {
  const { clock, newId, now, observer, random } = surroundings;
  const { distributionKeys, resilience, rootDirectory } = storage;
  const [bucket, { createObjectStore }, { makeResilient }, { afterTimeout }] = await Promise.all([
    openBucket(storage, surroundings),
    import("./storage/objects/object-store.ts"),
    import("./storage/objects/resilient-bucket.ts"),
    import("./storage/objects/resilient-bucket-settings.ts"),
  ]);
  const timing = { now: clock, after: afterTimeout, random };
  const store = createObjectStore({
    bucket: makeResilient(bucket, { timing, settings: resilience, observer }),
    rootDirectory,
    distributionKeys,
    newId,
    now,
  });
  try {
    await ask(store, surroundings);
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/**
 * A bucket that is not there, or not ours, is better found out at the start than by clients. One
 * that does not answer will: a node that did not start for it would stay away longer than it.
 */
async function ask(store: BlobStore, { report }: StorageSurroundings): Promise<void> {
  try {
    await store.upkeep.readMarker();
  } catch (error) {
    if (!(error instanceof StorageUnavailable)) throw error;
    report("the storage does not answer; until it does, clients are told to come back", error);
  }
}

async function openBucket(
  storage: ObjectStorage,
  { log, newId, now, proxyEnv }: StorageSurroundings,
): Promise<ObjectBucket> {
  if ("s3" in storage) {
    const { createS3Bucket } = await import("./storage/s3/s3-bucket.ts");
    return await createS3Bucket(storage.s3, { log, proxyEnv });
  }
  if ("azure" in storage) {
    const { createAzureBucket } = await import("./storage/azure/azure-bucket.ts");
    return await createAzureBucket(storage.azure, { now, newId, proxyEnv });
  }
  const { createGcsBucket } = await import("./storage/gcs/gcs-bucket.ts");
  return await createGcsBucket(storage.gcs, { now, proxyEnv });
}
