/** docs/reference/storage.md has each key of the schema, and no other. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { configKeys } from "../../src/config/distribution-yaml.ts";

const page = join(import.meta.dirname, "../../docs/reference/storage.md");

/** Keys of other sections, or of none, that the page tells of. */
const elsewhere = ["http.secret", "redis"];

test("every key of the config file's storage and database is explained", async () => {
  const keys = configKeys().filter((key) => /^(storage|middleware|metadata)\./.test(key));
  const expected = keys
    .filter((key) => !keys.some((other) => other.startsWith(`${key}.`)))
    // The same parameters under another name, and any entry of the list.
    .filter((key) => !key.startsWith("storage.s3aws."))
    .map((key) => key.replace(".*.", "."))
    // Refused unless they are empty, which the page says in a sentence.
    .filter((key) => !key.startsWith("middleware.re"));
  const explained = keysOf(await readFile(page, "utf8"));
  // A word that stands for a map is a key of its own.
  const leaves = explained.filter((key) => !explained.some((other) => other.startsWith(`${key}.`)));
  assert.deepEqual(leaves.toSorted(), [...expected, ...elsewhere].toSorted());
});

/** Headings name a section, and the first cell of a row a key in it. */
function keysOf(markdown: string): readonly string[] {
  let section = "";
  return markdown.split("\n").flatMap((line) => {
    const heading = /^## (?:`([\w.]+)`)?/.exec(line);
    if (heading !== null) section = heading[1] === undefined ? "" : `${heading[1]}.`;
    const key = /^\| `([\w.]+)` \|/.exec(line)?.[1];
    return key === undefined ? [] : [`${section}${key}`];
  });
}
