/** The contracts of the bucket and of the store, for the adapter of Google Cloud Storage. */
import { randomUUID } from "node:crypto";
import { after } from "node:test";
import type { BlobStore } from "../../src/storage/blob-store.ts";
import { blobStoreContract } from "../../src/storage/contract.ts";
import { createGcsBucket } from "../../src/storage/gcs/gcs-bucket.ts";
import { objectBucketContract } from "../../src/storage/objects/contract-bucket.ts";
import type { ObjectBucket } from "../../src/storage/objects/object-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { FakeGcs } from "./fake-gcs.ts";

export interface GcsSuiteOptions {
  /** How large parts are made, and the smallest that another one may follow. */
  readonly partBytes: number;
  readonly partBytesMin: number;
  readonly distributionKeys?: boolean;
}

export async function gcsContracts(name: string, options: GcsSuiteOptions): Promise<void> {
  const { distributionKeys = false, partBytes, partBytesMin } = options;
  const server = new FakeGcs({ bucket: "images", pageSize: 5, partBytesMin });
  const endpoint = await server.listen();
  after(() => server.close());
  const open = async (): Promise<ObjectBucket> =>
    await createGcsBucket(
      { bucket: "images", endpoint, anonymous: true, chunkBytes: partBytes },
      { now: Date.now, partBytesMin },
    );
  const roots = new WeakMap<BlobStore, string>();
  const openStore = async (rootDirectory: string): Promise<BlobStore> => {
    const store = createObjectStore({
      bucket: await open(),
      rootDirectory,
      newId: randomUUID,
      now: Date.now,
      distributionKeys,
    });
    roots.set(store, rootDirectory);
    return store;
  };
  if (!distributionKeys) await objectBucketContract(name, open);
  await blobStoreContract(name, () => openStore(`/${randomUUID()}`), {
    openSecond: async (first) => await openStore(roots.get(first) ?? ""),
    partBytes,
  });
}
