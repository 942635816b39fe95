import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseManifestReference } from "../../src/oci/reference.ts";
import { digests, textNear } from "./arbitraries.ts";

test("a digest is a digest, anything else a tag", () => {
  fc.assert(
    fc.property(digests, (digest) => {
      assert.deepEqual(parseManifestReference(digest), { digest });
    }),
  );
  assert.deepEqual(parseManifestReference("v1.0"), { tag: "v1.0" });
});

test("what has a colon is never a tag", () => {
  for (const text of [
    "a:b",
    "sha256:abc",
    `md5:${"a".repeat(32)}`,
    `sha256:${"A".repeat(64)}`,
    "",
  ]) {
    assert.equal(parseManifestReference(text), undefined, text);
  }
  fc.assert(
    fc.property(textNear("ab:09"), (text) => {
      const reference = parseManifestReference(text);
      if (text.includes(":")) assert.equal(reference, undefined);
    }),
  );
});
