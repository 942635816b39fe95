/** The contracts of buckets and of the object store on real S3 servers. */
import { randomUUID } from "node:crypto";
import { after } from "node:test";
import type { BlobStore } from "../../src/storage/blob-store.ts";
import { blobStoreContract } from "../../src/storage/contract.ts";
import { objectBucketContract } from "../../src/storage/objects/contract-bucket.ts";
import type { ObjectBucket } from "../../src/storage/objects/object-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { createS3Bucket } from "../../src/storage/s3/s3-bucket.ts";
import type { S3Server } from "../servers/s3.ts";
import { startCeph, startSwift } from "../servers/servers.ts";
import { TestBucket } from "./support/bucket.ts";

/** The smallest that S3 allows, so that little content has many parts. */
const partBytes = 5 * 1024 * 1024;

interface ContractOptions {
  readonly distributionKeys?: boolean;
  /** See `BucketContractOptions`. */
  readonly isRewriting?: boolean;
}

async function contract(
  name: string,
  start: () => Promise<S3Server>,
  { distributionKeys = false, isRewriting = false }: ContractOptions = {},
): Promise<void> {
  const server = await start();
  const bucket = await TestBucket.create(server);
  after(async () => {
    bucket.close();
    await server.stop();
  });
  const { accessKey, endpoint, region, secretKey } = server;
  const access = { accessKey, secretKey, endpoint, region, forcePathStyle: true };
  const openBucket = async (): Promise<ObjectBucket> =>
    await createS3Bucket({ ...access, bucket: bucket.name, chunkSize: partBytes });
  const roots = new WeakMap<BlobStore, string>();
  const open = async (rootDirectory: string): Promise<BlobStore> => {
    const store = createObjectStore({
      bucket: await openBucket(),
      rootDirectory,
      newId: randomUUID,
      now: Date.now,
      distributionKeys,
    });
    roots.set(store, rootDirectory);
    return store;
  };
  if (!distributionKeys) await objectBucketContract(name, openBucket, { isRewriting });
  await blobStoreContract(name, async () => await open(`/${randomUUID()}`), {
    openSecond: async (first) => await open(roots.get(first) ?? ""),
    partBytes,
  });
}

await contract("S3 on Ceph", startCeph);
await contract("S3 on Swift", startSwift, { isRewriting: true });
await contract("S3 on Ceph with Distribution's keys", startCeph, { distributionKeys: true });
