import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  parseRepositoryName,
  parseTag,
  repositoryNameLengthMax,
  tagLengthMax,
} from "../../src/oci/names.ts";
import { textNear, textOf } from "./arbitraries.ts";
import { assertQuick } from "./timing.ts";

/** The spec's grammar step by step, without regular expressions. spec: pulling manifests. */
function isNameByTheSpec(text: string): boolean {
  return text.length <= 255 && text.split("/").every(isComponentByTheSpec);
}

function isComponentByTheSpec(component: string): boolean {
  const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789";
  const runs: string[] = [];
  let separator = "";
  for (const character of component) {
    if (alphanumeric.includes(character)) {
      if (runs.length === 0 || separator !== "") runs.push(separator);
      separator = "";
    } else {
      separator += character;
    }
  }
  if (runs.length === 0 || separator !== "" || runs[0] !== "") return false;
  return runs
    .slice(1)
    .every((run) => run === "." || run === "_" || run === "__" || [...run].every((c) => c === "-"));
}

const components = fc
  .array(
    fc.tuple(
      textOf("az09", { minLength: 1, maxLength: 4 }),
      fc.constantFrom(".", "_", "__", "-", "--", "-----"),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) =>
    parts
      .map(([run, separator]) => run + separator)
      .join("")
      .replace(/[._-]+$/, ""),
  );

test("names that the spec's grammar allows are read", () => {
  const accepted = [
    "a",
    "0",
    "library/alpine",
    "a.b",
    "a_b",
    "a__b",
    "a-b",
    "a---b",
    "a/b/c/d",
    "1.2.3",
  ];
  for (const name of accepted) assert.equal(parseRepositoryName(name), name);
  fc.assert(
    fc.property(fc.array(components, { minLength: 1, maxLength: 4 }), (parts) => {
      const name = parts.join("/");
      assert.equal(parseRepositoryName(name), name);
    }),
  );
});

test("names that it forbids are refused", () => {
  const refused = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/./b",
    "A",
    "aB",
    "a..b",
    "a._b",
    "a_.b",
    "a___b",
    "-a",
    "a-",
    "_a",
    "a_",
    ".a",
    "a.",
    "_catalog",
    "a b",
    "a\n",
    "a\u0000",
    "a%2fb",
    "a\\b",
    "é",
    "a:5000/b",
    "host.example:5000/a/b",
    "a@b",
    "a/_oci",
    "\u017f",
    "ａ",
  ];
  for (const name of refused) {
    assert.equal(parseRepositoryName(name), undefined, JSON.stringify(name));
  }
});

test("a text is a name exactly if the spec's grammar, read step by step, says so", () => {
  fc.assert(
    fc.property(textNear("aaab09._-/-"), (text) => {
      assert.equal(parseRepositoryName(text) !== undefined, isNameByTheSpec(text));
    }),
    { numRuns: 5000 },
  );
});

test("a name has 255 characters at most, a tag 128", () => {
  assert.ok(parseRepositoryName("a".repeat(repositoryNameLengthMax)));
  assert.equal(parseRepositoryName("a".repeat(repositoryNameLengthMax + 1)), undefined);
  assert.equal(parseRepositoryName(`${"a".repeat(150)}/${"b".repeat(149)}`), undefined);
  assert.ok(parseTag("a".repeat(tagLengthMax)));
  assert.equal(parseTag("a".repeat(tagLengthMax + 1)), undefined);
});

test("tags are word characters, dots and dashes, and begin with a word character", () => {
  for (const tag of ["latest", "v1.0", "_x", "A", "0", "a-b_c.d", "a.", "a-"]) {
    assert.equal(parseTag(tag), tag);
  }
  for (const tag of [
    "",
    ".a",
    "-a",
    "a:b",
    "a/b",
    "a b",
    "a\n",
    "é",
    "a+b",
    "a\u0000",
    "..",
    "%41",
  ]) {
    assert.equal(parseTag(tag), undefined, JSON.stringify(tag));
  }
  fc.assert(
    fc.property(textNear("aZ0_.-:"), (text) => {
      const characters = [...text];
      const expected =
        text !== "" &&
        !".-".includes(text.slice(0, 1)) &&
        characters.every((c) => /^[A-Za-z0-9_.-]$/.test(c));
      assert.equal(parseTag(text) !== undefined, expected);
    }),
  );
});

test("hostile names take no time", () => {
  const shapes = ["a", "a-", "-", "a/", "a_", "a.", "/", "_"];
  for (const shape of shapes) {
    const longest = shape.repeat(127);
    const megabyte = shape.repeat(1 << 20);
    assertQuick(() => {
      for (let round = 0; round < 10_000; round += 1) {
        parseRepositoryName(`${longest}!`);
        parseRepositoryName(megabyte);
        parseTag(megabyte);
      }
    });
  }
});
