import { randomUUID } from "node:crypto";
import type { BlobStore } from "../../src/storage/blob-store.ts";
import { blobStoreContract } from "../../src/storage/contract.ts";
import { objectBucketContract } from "../../src/storage/objects/contract-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { MemoryBucket, type MemoryBucketOptions } from "./memory-bucket.ts";

/** Stores by the bucket that each of them is on, so that a second one can be opened there. */
async function contract(
  name: string,
  options: MemoryBucketOptions & { readonly distributionKeys?: boolean },
): Promise<void> {
  const buckets = new WeakMap<BlobStore, MemoryBucket>();
  const open = (bucket: MemoryBucket): BlobStore => {
    const { distributionKeys } = options;
    const newId = (): string => randomUUID();
    const rootDirectory = "/some/root/";
    const store = createObjectStore({
      bucket,
      newId,
      now: Date.now,
      rootDirectory,
      distributionKeys,
    });
    buckets.set(store, bucket);
    return store;
  };
  await blobStoreContract(name, async () => open(new MemoryBucket(options)), {
    openSecond: async (first) => {
      const { backend } = buckets.get(first) ?? {};
      return open(new MemoryBucket({ ...options, ...(backend && { objects: backend }) }));
    },
  });
}

await objectBucketContract("memory bucket", async () => new MemoryBucket());
await objectBucketContract("memory bucket with Ceph's rules", async () => {
  return new MemoryBucket({ leavesNoPartOut: true });
});
await contract("object store", {});
await contract("object store that cannot copy, with Ceph's rules", {
  copies: false,
  leavesNoPartOut: true,
});
await contract("object store with Distribution's keys", { distributionKeys: true });
