/**
 * The contract suite of `BlobStore`: what every adapter promises, as tests. An adapter's own test
 * is
 *
 *     await blobStoreContract("my store", async () => createMyStore());
 */
import type { BlobStore } from "./blob-store.ts";
import { commitCases } from "./contract-commit.ts";
import { openCases } from "./contract-open.ts";
import { removeCases } from "./contract-remove.ts";
import { uploadCases } from "./contract-upload.ts";

/** Declares the suite. `createStore` gives a new and empty store to each test, which closes it. */
export async function blobStoreContract(
  name: string,
  createStore: () => Promise<BlobStore>,
): Promise<void> {
  // Only here, so that whoever merely imports this file does not become a test run.
  const { describe, test } = await import("node:test");
  const groups = { open: openCases, upload: uploadCases, commit: commitCases, remove: removeCases };
  for (const [group, cases] of Object.entries(groups)) {
    describe(`${name}: ${group}`, () => {
      for (const [title, run] of Object.entries(cases)) {
        test(title, async () => {
          const store = await createStore();
          try {
            await run(store);
          } finally {
            await store.close();
          }
        });
      }
    });
  }
}
