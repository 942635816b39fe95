import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isValidHost, parseRawTarget } from "../../src/node/raw-target.ts";

function isRefused(target: string): boolean {
  return "problem" in parseRawTarget(target);
}

test("ordinary paths pass unchanged, whatever their query says", () => {
  const targets = [
    "/",
    "/v2/",
    "/v2/library/alpine/manifests/latest",
    "/v2/a/blobs/sha256:0123",
    "/v2/a/blobs/sha256%3A0123",
    "/v2/a/.hidden/manifests/..x",
    "/v2/a/%2ehidden/manifests/1.0",
    "/v2/a/manifests/...",
    "/v2/?x=/../&y=%2f%00%zz//\\",
    "/v2/a/blobs/uploads/?mount=sha256:01&from=b/c",
  ];
  for (const target of targets) {
    assert.deepEqual(parseRawTarget(target), { pathAndQuery: target, authority: undefined });
  }
});

test("a path that could be read in two ways is refused", () => {
  const paths = [
    "//",
    "/v2//a",
    "/v2/a//",
    "/./v2",
    "/v2/../etc/passwd",
    "/v2/.",
    "/v2/..",
    "/v2/%2e%2E/a",
    "/v2/.%2e",
    "/v2/%2e/a",
    "/v2/a%2fb",
    "/v2/a%2Fb",
    "/v2/a%5cb",
    "/v2/a\\b",
    "/v2/a%00",
    "/v2/a\0",
    "/v2/a\u0001b",
    "/v2/a%1fb",
    "/v2/a b",
    "/v2/a\u00e9",
    "/v2/a%",
    "/v2/a%2",
    "/v2/a%zz",
    "/v2/a%ff",
    "/v2/a%c3/b",
    "/v2/a#b",
  ];
  for (const path of paths) {
    assert.ok(isRefused(path), path);
    assert.ok(isRefused(`${path}?q=1`), path);
    assert.ok(isRefused(`http://host${path}`), path);
  }
});

test("only a path, or an http URL that is reduced to its path, is a target", () => {
  for (const target of ["", "*", "host:80", "v2/", "?x", "ftp://host/", "http:/v2/", "http//h/"]) {
    assert.ok(isRefused(target), target);
  }
  const absolute = (target: string): unknown => parseRawTarget(target);
  assert.deepEqual(absolute("http://h:5000/v2/?a"), {
    pathAndQuery: "/v2/?a",
    authority: "h:5000",
  });
  assert.deepEqual(absolute("HTTPS://h"), { pathAndQuery: "/", authority: "h" });
  assert.deepEqual(absolute("http://h?n=1"), { pathAndQuery: "/?n=1", authority: "h" });
});

const segment = fc.string({
  unit: fc.constantFrom(...Array.from("ab.%2efF5cC0/\\:~-_@ \0é#")),
  maxLength: 12,
});
const anyPath = fc.array(segment, { maxLength: 5 }).map((segments) => `/${segments.join("/")}`);

test("what passes is the same after a URL parser, and after decoding", () => {
  fc.assert(
    fc.property(anyPath, (path) => {
      if (isRefused(path)) return;
      assert.equal(new URL(`http://host${path}`).pathname, path);
      const decoded = decodeURIComponent(path);
      assert.equal(decoded.split("/").length, path.split("/").length);
      assert.ok(!/[\\\0]/.test(decoded), decoded);
      const segments = decoded.split("/");
      assert.ok(!segments.includes(".") && !segments.includes(".."), decoded);
      assert.ok(!segments.slice(1, -1).includes(""), decoded);
    }),
    { numRuns: 5_000 },
  );
});

test("no target makes the check throw, and long ones take no longer than they should", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii" }), (target) => {
      parseRawTarget(target);
      isValidHost(target);
    }),
  );
  for (const unit of ["/.", "/%2e", "%2", "/a", "a%2", "../"]) {
    const startedAt = performance.now();
    parseRawTarget(`/${unit.repeat(100_000)}\0`);
    assert.ok(performance.now() - startedAt < 1_000, unit);
  }
});

test("a host is a name or an address, and perhaps a port", () => {
  const valid = [
    "localhost",
    "registry.example.com:5000",
    "127.0.0.1",
    "[::1]:5000",
    "my_host",
    "a",
  ];
  for (const host of valid) assert.ok(isValidHost(host), host);
  const invalid = [
    "",
    "a b",
    "a/b",
    "a:b",
    "a:",
    "user@host",
    "a,b",
    "a, a",
    "[::1",
    "[:::1]",
    "999.1.1.1",
    "a:99999",
    "a?b",
    "a#b",
    "a\\b",
    "é",
    "a%41",
    "x".repeat(300),
  ];
  for (const host of invalid) assert.ok(!isValidHost(host), host);
});

test("every host that passes makes a URL that keeps its path", () => {
  const host = fc.string({
    unit: fc.constantFrom(...Array.from("aZ09.-_~[]:%@/? xn")),
    maxLength: 20,
  });
  fc.assert(
    fc.property(host, (text) => {
      if (isValidHost(text)) assert.equal(new URL(`http://${text}/v2/`).pathname, "/v2/");
    }),
    { numRuns: 5_000 },
  );
});
