/** Blobs that clients fetch from the storage itself, or from a cache before it. spec: end-2. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { createRegistry, type RegistryOptions } from "../../src/index.ts";
import { StorageUnavailable, type BlobKey, type UrlOptions } from "../../src/storage/blob-store.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";
import { expectAnswer, expectError } from "./answer.ts";
import { carryInProcess, Client } from "./client.ts";
import { content, digestOf, noise } from "./content.ts";
import { pushBlob } from "./pushing.ts";

const repository = "team/app";
const blob = content(noise(300_000, "elsewhere"));
const target = `/v2/${repository}/blobs/${blob.digest}`;

async function given(
  t: TestContext,
  url: (key: BlobKey, options: UrlOptions) => Promise<string | undefined>,
  options: RegistryOptions = {},
) {
  const store = createMemoryStore({ now: Date.now });
  store.url = url;
  const metadata = { sqlite: { path: ":memory:" } };
  const registry = await createRegistry({ ...options, storage: store, metadata, upkeep: false });
  t.after(() => registry.close());
  const client = new Client(carryInProcess(registry.fetch));
  await pushBlob(client, repository, blob);
  return { client, registry, store };
}

describe("A blob that the storage itself can serve", () => {
  it("is a redirect without a body, which nobody may keep", async (t) => {
    const { client } = await given(
      t,
      async (key, { method }) => `https://s.example/${key}?${method}`,
    );
    for (const method of ["GET", "HEAD"]) {
      const answer = await client.send(method, target, { headers: { Range: "bytes=5-9" } });
      expectAnswer(answer, 307, {
        location:
          /^https:\/\/s\.example\/docker\/registry\/v2\/blobs\/sha256\/.+\/data\?(GET|HEAD)$/,
        "content-type": "application/octet-stream",
        "content-length": "0",
        "docker-content-digest": blob.digest,
        "cache-control": "no-store",
        etag: undefined,
        "content-range": undefined,
      });
      assert(answer.required("location").endsWith(`?${method}`));
    }
  });

  it("is not one where the client has it, or where there is none", async (t) => {
    const { client } = await given(t, async () => "https://s.example/");
    expectAnswer(await client.get(target, { "If-None-Match": `"${blob.digest}"` }), 304);
    expectAnswer(await client.get(target, { "If-Match": '"another"' }), 412);
    const absent = `/v2/${repository}/blobs/${digestOf(noise(5, "absent"))}`;
    expectError(await client.get(absent), 404, "BLOB_UNKNOWN");
    expectAnswer(await client.head(absent), 404);
    const foreign = `/v2/team/other/blobs/${blob.digest}`;
    expectError(await client.get(foreign), 404, "BLOB_UNKNOWN");
  });

  it("comes through the registry where it is told so, or the storage has no address", async (t) => {
    const off = await given(t, () => assert.fail("nobody asks"), { http: { redirect: false } });
    const unsigned = await given(t, () => Promise.resolve(undefined));
    for (const { client } of [off, unsigned]) {
      assert.deepEqual((await client.get(target)).bytes, blob.bytes);
      expectAnswer(await client.head(target), 200, { "content-length": "300000" });
    }
  });

  it("is fetched by clients that follow, whole and in ranges", async (t) => {
    const asked: IncomingMessage[] = [];
    const storage = createServer((request, response) => {
      asked.push(request);
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      const [start, end] = range === null ? [0, Infinity] : [Number(range[1]), Number(range[2])];
      const bytes = blob.bytes.subarray(start, end + 1);
      response.writeHead(range === null ? 200 : 206, { "Content-Length": bytes.byteLength });
      response.end(bytes);
    });
    t.after(() => {
      storage.closeAllConnections();
      storage.close();
    });
    const listening = Promise.withResolvers<void>();
    storage.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    const { port } = storage.address() as AddressInfo;
    const { registry } = await given(t, async (key) => `http://127.0.0.1:${port}/${key}`);
    const served = await registry.serve({ port: 0, host: "127.0.0.1" });
    t.after(() => served.close({ drainMs: 0 }));
    const whole = await fetch(`${served.url}${target}`);
    assert.equal(whole.status, 200);
    assert(Buffer.from(await whole.arrayBuffer()).equals(blob.bytes));
    const part = await fetch(`${served.url}${target}`, { headers: { Range: "bytes=7-1006" } });
    assert.equal(part.status, 206);
    assert(Buffer.from(await part.arrayBuffer()).equals(blob.bytes.subarray(7, 1007)));
    const head = await fetch(`${served.url}${target}`, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), "300000");
    assert.deepEqual(
      asked.map(({ method }) => method),
      ["GET", "GET", "HEAD"],
    );
  });

  it("is chosen by where the client is, as far as the proxies in front say", async (t) => {
    const addresses: (string | undefined)[] = [];
    const { client } = await given(t, async (_, { clientAddress }) => {
      addresses.push(clientAddress);
      return "https://s.example/";
    });
    await client.get(target, { "X-Forwarded-For": "203.0.113.7, 10.0.0.1" });
    await client.get(target, { "X-Forwarded-For": "unknown", "X-Real-IP": "2001:db8::7" });
    await client.get(target, { "X-Forwarded-For": "<script>" });
    assert.deepEqual(addresses, ["203.0.113.7", "2001:db8::7", undefined]);
  });

  it("is 503 where the storage cannot sign at the moment", async (t) => {
    const unavailable = new StorageUnavailable("s3", "no credentials", { retryAfterMs: 4200 });
    const { client } = await given(t, () => Promise.reject(unavailable));
    const answer = await client.get(target);
    expectError(answer, 503, "UNAVAILABLE");
    expectAnswer(answer, 503, { "retry-after": "5", location: undefined });
    expectAnswer(await client.head(target), 503, { "retry-after": "5" });
  });
});
