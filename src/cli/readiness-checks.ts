/** What a registry needs to be ready: its bytes and its database. */
import type { ComposedRegistry } from "../app.ts";
import { Readiness } from "../observe/readiness.ts";

/** Both checks are one small read. A storage that is known to be down is not even asked. */
export function readinessOf({
  metadata,
  store,
}: Pick<ComposedRegistry, "metadata" | "store">): Readiness {
  return new Readiness({
    now: Date.now,
    checks: [
      { name: `storagedriver_${store.name}`, check: () => store.upkeep.readMarker() },
      { name: `metadata_${metadata.name}`, check: () => metadata.upkeep.storeIdentity() },
    ],
  });
}
