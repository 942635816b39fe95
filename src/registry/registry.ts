/** The use cases together: what `http/` calls, and what knows neither HTTP nor any adapter. */
import { Blobs } from "./blobs.ts";
import type { RegistryContext } from "./context.ts";
import { Listings } from "./listings.ts";
import { Manifests } from "./manifests.ts";
import { PullTimes } from "./pull-times.ts";
import { Uploads } from "./uploads.ts";

export type { Origin, ReferrerRecord } from "../metadata/records.ts";
export type { OpenedBlob } from "../storage/blob-store.ts";
export type { Blob } from "./blobs.ts";
export type { UploadBody, UploadProgress, UploadTarget } from "./uploads.ts";

export interface Registry {
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly manifests: Manifests;
  readonly listings: Listings;
  /** Writes what was gathered in memory. */
  close(): Promise<void>;
}

export function createUseCases(ctx: RegistryContext): Registry {
  const pullTimes = new PullTimes(ctx);
  return {
    blobs: new Blobs(ctx),
    uploads: new Uploads(ctx),
    manifests: new Manifests(ctx, pullTimes),
    listings: new Listings(ctx),
    close: () => pullTimes.close(),
  };
}
