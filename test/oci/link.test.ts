import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatNextLink, formatPageUrl } from "../../src/oci/link.ts";
import { anyText } from "./arbitraries.ts";

test("the next page is a relative URL with last before n", () => {
  const url = formatPageUrl("/v2/a/b/tags/list", { n: 2, last: "v1", artifactType: undefined });
  assert.equal(url, "/v2/a/b/tags/list?last=v1&n=2");
  assert.equal(formatNextLink(url), '</v2/a/b/tags/list?last=v1&n=2>; rel="next"');
  assert.equal(formatPageUrl("/v2/_catalog", { last: "a/b", n: 1 }), "/v2/_catalog?last=a%2Fb&n=1");
  assert.equal(formatPageUrl("/v2/_catalog", {}), "/v2/_catalog");
});

test("whatever the parameters are, the URL gives them back", () => {
  const texts = anyText();
  fc.assert(
    fc.property(texts, texts, fc.nat(), (last, artifactType, n) => {
      const link = formatNextLink(formatPageUrl("/v2/a/tags/list", { n, last, artifactType }));
      const match = /^<([\x21-\x7e]*)>; rel="next"$/.exec(link);
      const url = new URL(match?.[1] ?? "", "http://host.invalid");
      assert.equal(url.pathname, "/v2/a/tags/list");
      assert.deepEqual(Object.fromEntries(url.searchParams), {
        artifactType: artifactType.toWellFormed(),
        last: last.toWellFormed(),
        n: String(n),
      });
    }),
  );
});

test("nothing in a URL ends it early, or the header", () => {
  fc.assert(
    fc.property(anyText(), (text) => {
      assert.match(formatNextLink(text), /^<[\x21-\x3b\x3d\x3f-\x7e]*>; rel="next"$/);
    }),
  );
});
