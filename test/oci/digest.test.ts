import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  algorithmOf,
  digestAlgorithms,
  digestOf,
  hexOf,
  isDigestAlgorithm,
  looksLikeDigest,
  parseDigest,
} from "../../src/oci/digest.ts";
import { digests, textNear } from "./arbitraries.ts";
import { assertQuick } from "./timing.ts";

const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("a digest of each supported algorithm is read, and comes apart again", () => {
  assert.equal(parseDigest(empty), empty);
  fc.assert(
    fc.property(digests, (digest) => {
      assert.equal(parseDigest(digest), digest);
      assert.equal(digestOf(algorithmOf(digest), hexOf(digest)), digest);
      assert.ok(looksLikeDigest(digest));
    }),
  );
});

test("the algorithms are sha256, sha384 and sha512, the canonical one first", () => {
  assert.deepEqual(digestAlgorithms, ["sha256", "sha384", "sha512"]);
  assert.ok(digestAlgorithms.every(isDigestAlgorithm));
  for (const other of ["", "md5", "SHA256", "sha256 ", "sha1", "__proto__"]) {
    assert.ok(!isDigestAlgorithm(other));
  }
});

test("what is almost a digest is none", () => {
  const hex = hexOf(digestOf("sha256", "a".repeat(64)));
  const refused = [
    "",
    ":",
    "sha256:",
    hex,
    `sha256:${hex}a`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex.toUpperCase()}`,
    `SHA256:${hex}`,
    `sha256:${hex.slice(1)}g`,
    `sha384:${hex}`,
    `sha512:${hex}`,
    `md5:${"a".repeat(32)}`,
    `sha256:${hex}\n`,
    ` sha256:${hex}`,
    `sha256:${hex}\u0000`,
    `sha256:${"\uff11".repeat(64)}`,
  ];
  for (const text of refused) assert.equal(parseDigest(text), undefined, JSON.stringify(text));
});

test("no text but a digest is read as one", () => {
  fc.assert(
    fc.property(textNear("sha256:384512abcdef"), (text) => {
      assert.equal(parseDigest(text), undefined);
    }),
  );
});

test("a digest with anything put in or taken out is none", () => {
  fc.assert(
    fc.property(digests, fc.nat(), textNear("aG-:/ "), (digest, at, text) => {
      const index = at % digest.length;
      const longer = digest.slice(0, index) + text + digest.slice(index);
      if (text !== "") assert.equal(parseDigest(longer), undefined);
      assert.equal(parseDigest(digest.slice(0, index) + digest.slice(index + 1)), undefined);
    }),
  );
});

test("making a digest of what is no hex is a bug, and says so", () => {
  assert.throws(() => digestOf("sha256", "ab"), TypeError);
  assert.throws(() => digestOf("sha512", "a".repeat(64)), TypeError);
  assert.throws(() => digestOf("sha256", "A".repeat(64)), TypeError);
});

test("a megabyte is refused at once", () => {
  const megabyte = 1 << 20;
  for (const text of [
    "a".repeat(megabyte),
    `sha256:${"a".repeat(megabyte)}`,
    ":".repeat(megabyte),
  ]) {
    assertQuick(() => {
      for (let round = 0; round < 1000; round += 1) assert.equal(parseDigest(text), undefined);
    });
  }
});
