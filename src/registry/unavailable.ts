/** What the registry stands on does not answer at the moment. */
import { MetadataUnavailable } from "../metadata/metadata-store.ts";
import { StorageUnavailable } from "../storage/blob-store.ts";

/** Where nobody knows better, ms: a store that is down is asked again as often. */
const retryAfterMs = 2_000;

/** When to come back, ms; `undefined` for any other failure. */
export function unavailableFor(error: unknown): number | undefined {
  const isUnavailable = error instanceof StorageUnavailable || error instanceof MetadataUnavailable;
  return isUnavailable ? (error.retryAfterMs ?? retryAfterMs) : undefined;
}
