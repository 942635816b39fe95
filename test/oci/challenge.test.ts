import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { challengesLengthMax, formatChallenge, parseChallenges } from "../../src/oci/challenge.ts";
import { anyText, textNear, textOf } from "./arbitraries.ts";
import { assertQuick } from "./timing.ts";

const tokens = textOf("abcxyz-_.!09", { minLength: 1, maxLength: 10 });
const names = fc.oneof(tokens, fc.constantFrom("__proto__", "constructor"));
const values = textOf(' \t"\\,=;azAZ09:/()*~', { maxLength: 30 });
const challenges = fc.record(
  {
    scheme: tokens,
    parameters: fc
      .array(fc.tuple(names, values), { maxLength: 5 })
      .map((pairs) => Object.fromEntries(pairs)),
  },
  { noNullPrototype: true },
);

test("a bearer challenge is written as Distribution writes it", () => {
  const parameters = {
    realm: "https://auth.example/token",
    service: "registry.example",
    scope: "repository:a/b:pull,push",
    error: "insufficient_scope",
  };
  assert.equal(
    formatChallenge({ scheme: "Bearer", parameters }),
    'Bearer realm="https://auth.example/token",service="registry.example",' +
      'scope="repository:a/b:pull,push",error="insufficient_scope"',
  );
  assert.equal(
    formatChallenge({ scheme: "Basic", parameters: { realm: 'a "b" \\ c' } }),
    'Basic realm="a \\"b\\" \\\\ c"',
  );
});

test("several challenges in one header are read, in every form that the RFC allows", () => {
  assert.deepEqual(
    parseChallenges(
      ', Basic REALM = "simple" , , Negotiate, Newauth realm="a", type=1, title="a \\"b\\", c",' +
        " NTLM abc/+==,\tBearer realm=x",
    ),
    [
      { scheme: "Basic", parameters: { realm: "simple" } },
      { scheme: "Negotiate", parameters: {} },
      { scheme: "Newauth", parameters: { realm: "a", type: "1", title: 'a "b", c' } },
      { scheme: "NTLM", parameters: {}, token68: "abc/+==" },
      { scheme: "Bearer", parameters: { realm: "x" } },
    ],
  );
});

test("reading stops where a header makes no sense, and keeps what came before", () => {
  const basic = { scheme: "Basic", parameters: { realm: "a" } };
  assert.deepEqual(parseChallenges('Basic realm="a", Bearer realm="b'), [
    basic,
    { scheme: "Bearer", parameters: {} },
  ]);
  assert.deepEqual(parseChallenges('Basic realm="a" "b"'), [{ scheme: "Basic", parameters: {} }]);
  assert.deepEqual(parseChallenges('Basic realm="a", @'), [basic]);
  assert.deepEqual(parseChallenges("Basic a b=c"), [{ scheme: "Basic", parameters: {} }]);
  for (const nothing of ["", " ", ",,,", "@", '"Basic"', "Basic@", "Basic=x"]) {
    assert.deepEqual(parseChallenges(nothing), [], nothing);
  }
});

test("the first of several parameters of one name stands", () => {
  assert.deepEqual(parseChallenges("Basic realm=a, Realm=b"), [
    { scheme: "Basic", parameters: { realm: "a" } },
  ]);
});

test("challenges that are written are read as the same", () => {
  fc.assert(
    fc.property(fc.array(challenges, { maxLength: 4 }), (given) => {
      const header = given.map(formatChallenge).join(", ");
      assert.deepEqual(parseChallenges(header), given);
    }),
  );
});

test("no value breaks out of its quotes", () => {
  fc.assert(
    fc.property(anyText(), (realm) => {
      const header = formatChallenge({ scheme: "Basic", parameters: { realm } });
      assert.match(header, /^[\t\x20-\x7e]*$/);
      const expected = realm.replaceAll(/[^\t\x20-\x7e]/g, " ");
      assert.deepEqual(parseChallenges(header), [
        { scheme: "Basic", parameters: { realm: expected } },
      ]);
    }),
  );
});

test("no text makes the parser throw", () => {
  fc.assert(
    fc.property(textNear('ab=", \t\\/+'), (text) => {
      for (const { scheme, parameters } of parseChallenges(text)) {
        assert.notEqual(scheme, "");
        for (const name of Object.keys(parameters)) assert.equal(name, name.toLowerCase());
      }
    }),
    { numRuns: 5000 },
  );
});

test("hostile headers take no time", () => {
  assert.deepEqual(parseChallenges("a ".repeat(challengesLengthMax)), []);
  for (const shape of [
    "a ",
    "a, ",
    "a=",
    'a="',
    "a=b,",
    '"',
    "\\",
    " ",
    ",",
    "a",
    "=",
    "a a,",
    "/=",
  ]) {
    const text = shape.repeat(challengesLengthMax / shape.length - 4);
    assertQuick(() => parseChallenges(text));
    assertQuick(() => parseChallenges(`a b="${text}`));
    assertQuick(() => parseChallenges(`a ${text}@`));
  }
});
