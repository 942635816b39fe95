import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatScope, parseScope, scopeLengthMax } from "../../src/oci/scope.ts";
import { textNear, textOf } from "./arbitraries.ts";
import { assertQuick } from "./timing.ts";

const words = textOf("abz09", { minLength: 1, maxLength: 8 });
const scopes = fc.record(
  {
    type: words,
    resourceClass: fc.option(words, { nil: undefined }),
    name: textOf("ab09/:.-_", { minLength: 1, maxLength: 30 }),
    actions: fc.array(fc.oneof(fc.constant("*"), words), { maxLength: 4 }),
  },
  { noNullPrototype: true },
);

test("a scope is read from both ends, so that a name may hold a port", () => {
  assert.deepEqual(parseScope("repository:host.example:5000/a/b:pull,push"), {
    type: "repository",
    resourceClass: undefined,
    name: "host.example:5000/a/b",
    actions: ["pull", "push"],
  });
  assert.deepEqual(parseScope("repository(plugin):a/b:*"), {
    type: "repository",
    resourceClass: "plugin",
    name: "a/b",
    actions: ["*"],
  });
  assert.deepEqual(parseScope("registry:catalog:*")?.name, "catalog");
  assert.deepEqual(parseScope("repository:a:")?.actions, []);
});

test("a scope that is written is read as the same", () => {
  fc.assert(
    fc.property(scopes, (scope) => {
      assert.deepEqual(parseScope(formatScope(scope)), scope);
    }),
  );
});

test("what is read is written as it was", () => {
  fc.assert(
    fc.property(textNear("ab:(),* "), (text) => {
      const scope = parseScope(text);
      if (scope !== undefined) assert.equal(formatScope(scope), text);
    }),
  );
});

test("what is no scope is refused", () => {
  const refused = [
    "",
    ":",
    "::",
    "repository",
    "repository:a",
    ":a:pull",
    "repository::pull",
    "Repository:a:pull",
    "repository():a:pull",
    "repository(a:b:pull",
    "repository:a:pull,",
    "repository:a:,pull",
    "repository:a b:pull",
    "repository:a:pull push",
    'repository:a":pull',
    "repository:a\r\n:pull",
    `repository:${"a".repeat(scopeLengthMax)}:pull`,
  ];
  for (const text of refused) assert.equal(parseScope(text), undefined, text);
});

test("a megabyte of hostile scope takes no time", () => {
  for (const shape of ["a", ":", "a:", ",", "("]) {
    assertQuick(() => parseScope(shape.repeat(1 << 20)));
    assertQuick(() => parseScope(`a:b:${shape.repeat(1000)}!`));
  }
});
