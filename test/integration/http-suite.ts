/**
 * The whole HTTP suite (test/http) again, on one kind of storage with each database. Its files are
 * loaded into this process once for each: so their tests are counted and told as any others.
 */
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { metadataKinds, type StorageKind } from "./support/places.ts";

/** Files whose tests make a registry of their own. `npm test` runs them. */
const once: Readonly<Record<string, string>> = {
  "elsewhere.test.ts": "brings a store that signs as it is told",
  "healing.test.ts": "damages files in a folder",
  "unavailable.test.ts": "brings a store and a database that fail as they are told",
};

export async function describeHttp(storage: StorageKind): Promise<void> {
  const files = globSync(join(import.meta.dirname, "../http/*.test.ts")).toSorted();
  for (const metadata of metadataKinds) {
    process.env["LONGSHORE_TEST_STORAGE"] = storage;
    process.env["LONGSHORE_TEST_METADATA"] = metadata;
    for (const file of files) {
      const reason = once[basename(file)];
      if (reason !== undefined) {
        test(`${basename(file)} on ${storage} and ${metadata}`, { skip: reason });
        continue;
      }
      const url = pathToFileURL(file);
      // Another query is another module: its suites are described again.
      url.search = `${storage}-${metadata}`;
      await import(url.href);
    }
  }
}
