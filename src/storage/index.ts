/**
 * `longshore/storage`: what a store of one's own is made of, and held to.
 *
 *     import { blobStoreContract, type BlobStore } from "longshore/storage";
 *     await blobStoreContract("mine", async () => new MyStore());   // a test file of node:test
 *
 * A vendor's object store needs less: an `ObjectBucket`, of which `createObjectStore` makes a
 * `BlobStore`, and `makeResilient` one that retries.
 *
 * @module
 */
export type * from "./blob-store.ts";
export { StorageError, StorageUnavailable, UploadInterrupted, UploadLost } from "./blob-store.ts";
export { blobStoreContract, type ContractOptions } from "./contract.ts";
export type * from "./objects/object-bucket.ts";
export { BucketError, PartsUnknown } from "./objects/object-bucket.ts";
export { createObjectStore, type ObjectStoreOptions } from "./objects/object-store.ts";
export { makeResilient, type ResilienceOptions } from "./objects/resilient-bucket.ts";
export type * from "./objects/resilient-bucket-settings.ts";
