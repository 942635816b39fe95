/** What of an error may stand in a log: never what would let a reader in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { describeError, messageOf } from "../../src/observe/error-text.ts";

test("signatures and passwords in URLs stay out, wherever in the error they are", () => {
  const signed = "https://b.s3.example/k?X-Amz-Credential=AKIA&X-Amz-Signature=abc123";
  const cause = new Error("postgres://longshore:hunter2@db.example:5432/registry is down");
  const error = Object.assign(new Error(`GET ${signed} failed`, { cause }), {
    code: "ECONNRESET",
    request: { headers: { authorization: "SharedKey secret-key" } },
    config: { url: signed },
  });
  const described = describeError(error);
  assert.deepEqual(Object.keys(described), ["type", "message", "code", "stack"]);
  const text = JSON.stringify(described);
  for (const secret of ["AKIA", "abc123", "hunter2", "secret-key"]) {
    assert(!text.includes(secret), `${secret} in ${text}`);
  }
  const parts = ["GET https://b.s3.example/k?... failed", "postgres://db.example:5432/registry"];
  for (const part of parts) assert(described.message.includes(part), described.message);
  assert.equal(described.code, "ECONNRESET");
});

test("causes are told once each, even when they go in circles", () => {
  const inner = new Error("reset");
  const outer = new Error("s3: get failed: reset", { cause: inner });
  inner.cause = outer;
  assert.equal(messageOf(outer), "s3: get failed: reset");
  assert.equal(messageOf(new Error("lost", { cause: new Error("closed") })), "lost (closed)");
  const several = Object.assign(new AggregateError([], "none of them"), { message: "" });
  assert.equal(messageOf(several), "AggregateError");
  assert.equal(messageOf(Object.assign(several, { code: "ECONNREFUSED" })), "ECONNREFUSED");
  assert.equal(messageOf("a text"), "a text");
});

test("long texts are cut, and hostile ones cost nothing", () => {
  const hostile = `${"a.".repeat(500_000)}://${"x@".repeat(500_000)}`;
  const started = performance.now();
  const { message } = describeError(new Error(hostile));
  assert(message.length < 10_000);
  assert(performance.now() - started < 1000);
});
