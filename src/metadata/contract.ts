/**
 * The contract suite of `MetadataStore`: what every adapter promises, as tests. An adapter's test:
 *
 *     await metadataStoreContract("my store", async () => openMyStore());
 */
import { changeCases } from "./contract-changes.ts";
import { collectionCases } from "./contract-collection.ts";
import { commitCases } from "./contract-commit.ts";
import { concurrencyCases } from "./contract-concurrency.ts";
import { deleteBlobCases } from "./contract-delete-blob.ts";
import { deleteManifestCases } from "./contract-delete-manifest.ts";
import { jobCases } from "./contract-jobs.ts";
import { listCases } from "./contract-lists.ts";
import { mountCases } from "./contract-mount.ts";
import { putManifestCases } from "./contract-put-manifest.ts";
import { referenceCases } from "./contract-references.ts";
import { referrerCases } from "./contract-referrers.ts";
import { endOfLog, Scene, type ContractCases } from "./contract-scene.ts";
import { upkeepCases } from "./contract-upkeep.ts";
import { uploadCases } from "./contract-uploads.ts";
import type { MetadataStore } from "./metadata-store.ts";

const groups: Readonly<Record<string, ContractCases>> = {
  uploads: uploadCases,
  "committing an upload": commitCases,
  "mounting a blob": mountCases,
  "deleting a blob": deleteBlobCases,
  "collecting blobs": collectionCases,
  "putting a manifest": putManifestCases,
  "what a manifest refers to": referenceCases,
  "deleting manifests and tags": deleteManifestCases,
  lists: listCases,
  referrers: referrerCases,
  upkeep: upkeepCases,
  "background jobs": jobCases,
  "the change log": changeCases,
  "commands at once": concurrencyCases,
};

export interface ContractOptions {
  /** A second store on the database that was opened: another process, as far as it can tell. */
  readonly openSecond?: () => Promise<MetadataStore>;
}

/** Declares the suite. `openStore` gives a store on a new and empty database. */
export async function metadataStoreContract(
  name: string,
  openStore: () => Promise<MetadataStore>,
  options: ContractOptions = {},
): Promise<void> {
  // Only here, so that whoever merely imports this file does not become a test run.
  const { after, before, describe, test } = await import("node:test");
  describe(name, () => {
    const stores: MetadataStore[] = [];
    const log = { end: 0 };
    before(async () => {
      stores.push(await openStore());
      if (options.openSecond !== undefined) stores.push(await options.openSecond());
    });
    after(async () => {
      for (const store of stores.toReversed()) await store.close();
    });
    for (const [group, cases] of Object.entries(groups)) {
      describe(group, () => {
        for (const [number, [title, run]] of Object.entries(cases).entries()) {
          const scene = `${group.replaceAll(" ", "-")}-${number}`;
          test(title, async () => {
            const [store, other] = stores;
            if (store === undefined) throw new Error("the store was not opened");
            log.end = await endOfLog(store, log.end);
            await run(new Scene(scene, store, { other, logBegin: log.end }));
          });
        }
      });
    }
  });
}
