/** The registry inside somebody else's server: it is a `fetch` function. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Hono } from "hono";
import { createRegistry } from "../../src/index.ts";

test("a registry mounts in a Hono app, beside the app's own routes", async () => {
  const registry = await createRegistry({ storage: "memory" });
  const app = new Hono();
  app.get("/hello", (context) => context.text("hello"));
  app.all("/v2/*", (context) => registry.fetch(context.req.raw));

  const bytes = new TextEncoder().encode("a layer");
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const pushed = await app.request(`/v2/team/app/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    body: bytes,
  });
  assert.equal(pushed.status, 201);
  const pulled = await app.request(`/v2/team/app/blobs/${digest}`);
  assert.equal(pulled.headers.get("Docker-Content-Digest"), digest);
  assert.deepEqual(new Uint8Array(await pulled.arrayBuffer()), bytes);
  const missing = await app.request("/v2/team/app/manifests/latest");
  assert.equal(missing.status, 404);
  const own = await app.request("/hello");
  assert.equal(await own.text(), "hello");
  await registry.close();
});

test("the global Request and Response stay the platform's own", async () => {
  const before = [globalThis.Request, globalThis.Response, globalThis.Headers];
  const registry = await createRegistry();
  const response = await registry.fetch(new Request("http://localhost/v2/"));
  assert.ok(response instanceof Response);
  assert.deepEqual([globalThis.Request, globalThis.Response, globalThis.Headers], before);
  await registry.close();
});
