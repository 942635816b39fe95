/**
 * The contract suite of `BlobStore`: what every adapter promises, as tests. An adapter's own test
 * is
 *
 *     await blobStoreContract("my store", async () => createMyStore());
 */
import type { BlobStore } from "./blob-store.ts";
import { commitCases } from "./contract-commit.ts";
import { openCases } from "./contract-open.ts";
import { partCases } from "./contract-parts.ts";
import { removeCases } from "./contract-remove.ts";
import type { ContractCase } from "./contract-support.ts";
import { upkeepCases } from "./contract-upkeep.ts";
import { uploadCases } from "./contract-upload.ts";

export interface ContractOptions {
  /**
   * Opens another store on the backend of `first`, as another node would. Without it, the cases
   * that need two go without. It is closed before `first` is.
   */
  readonly openSecond?: (first: BlobStore) => Promise<BlobStore>;
  /**
   * So many bytes are more than the store puts into one piece: content of several times this size
   * is made of several pieces where the store makes such. Default 256 KiB.
   */
  readonly partBytes?: number;
}

/** Declares the suite. `createStore` gives a new and empty store to each test, which closes it. */
export async function blobStoreContract(
  name: string,
  createStore: () => Promise<BlobStore>,
  options: ContractOptions = {},
): Promise<void> {
  // Only here, so that whoever merely imports this file does not become a test run.
  const { describe, test } = await import("node:test");
  const groups = {
    open: openCases,
    upload: uploadCases,
    parts: partCases,
    commit: commitCases,
    remove: removeCases,
    upkeep: upkeepCases,
  };
  for (const [group, cases] of Object.entries(groups)) {
    describe(`${name}: ${group}`, () => {
      for (const [title, run] of Object.entries(cases)) {
        test(title, () => runCase(run, createStore, options));
      }
    });
  }
}

async function runCase(
  run: ContractCase,
  createStore: () => Promise<BlobStore>,
  { openSecond, partBytes = 256 * 1024 }: ContractOptions,
): Promise<void> {
  const opened = [await createStore()];
  const [store] = opened;
  if (store === undefined) return;
  const second = async (): Promise<BlobStore> => {
    const another = await openSecond?.(store);
    if (another !== undefined) opened.push(another);
    return another ?? store;
  };
  try {
    await run(store, { partBytes, second });
  } finally {
    for (const each of opened.toReversed()) await each.close();
  }
}
