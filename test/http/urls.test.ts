/** The URLs that answers name: the next request goes there. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer } from "./answer.ts";
import type { Client, RequestHeaders } from "./client.ts";
import { content, image } from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import { beginUpload, ending, nextPage, pushBlob, pushManifest } from "./pushing.ts";

interface Asked {
  readonly host?: string;
  readonly headers?: RequestHeaders;
}

/** What stands before `/v2/` in the Location of a new upload. */
async function baseOf(client: Client, asked: Asked, prefix = ""): Promise<string> {
  const answer = await client.send("POST", `${prefix}/v2/team/app/blobs/uploads/`, asked);
  expectAnswer(answer, 202);
  const location = answer.required("location");
  const at = location.indexOf("/v2/team/app/blobs/uploads/");
  assert.notEqual(at, -1, location);
  return location.slice(0, at);
}

const forwarded: readonly (readonly [headers: RequestHeaders, base: string])[] = [
  [{}, "http://plain.example:5000"],
  [{ "X-Forwarded-Proto": "https" }, "https://plain.example:5000"],
  [{ "X-Forwarded-Proto": "https, http" }, "https://plain.example:5000"],
  [{ "X-Forwarded-Proto": "HTTPS" }, "https://plain.example:5000"],
  [{ "X-Forwarded-Host": "proxy.example" }, "http://proxy.example"],
  [{ "X-Forwarded-Host": "first.example:8443, second.example" }, "http://first.example:8443"],
  [
    { "X-Forwarded-Proto": "https", "X-Forwarded-Host": "proxy.example", "X-Forwarded-Port": "1" },
    "https://proxy.example",
  ],
  [{ Forwarded: "proto=https;host=proxy.example" }, "https://proxy.example"],
  [
    { Forwarded: 'for=1.2.3.4; Host="proxy.example:443" ;PROTO=https' },
    "https://proxy.example:443",
  ],
  [{ Forwarded: "host=first.example, host=second.example;proto=https" }, "http://first.example"],
  [{ Forwarded: 'for="[::1]";host="[2001:db8::1]:5000"' }, "http://[2001:db8::1]:5000"],
  [
    { Forwarded: "host=right.example", "X-Forwarded-Host": "wrong.example" },
    "http://right.example",
  ],
  [{ Forwarded: "for=1.2.3.4", "X-Forwarded-Proto": "https" }, "https://plain.example:5000"],
  [{ "X-Forwarded-Proto": "javascript" }, "http://plain.example:5000"],
  [{ "X-Forwarded-Host": "evil.example/path?" }, "http://plain.example:5000"],
  [{ "X-Forwarded-Host": "user@evil.example" }, "http://plain.example:5000"],
  [{ "X-Forwarded-Host": " " }, "http://plain.example:5000"],
  [{ Forwarded: 'host="a b"' }, "http://plain.example:5000"],
];

describeRegistry("A Location", (given) => {
  it("begins as the client, or the proxy in front, knows the registry", async () => {
    for (const [headers, base] of forwarded) {
      const actual = await baseOf(given.client, { host: "plain.example:5000", headers });
      assert.equal(actual, base, JSON.stringify(headers));
    }
  });

  it("keeps the host as it was written", async () => {
    for (const host of ["localhost:5000", "127.0.0.1", "[::1]:5000", "a-b.c_d.example"]) {
      assert.equal(await baseOf(given.client, { host }), `http://${host}`);
    }
  });

  it("is made the same way in every answer that has one", async () => {
    const { client } = given;
    const repository = given.repository();
    const headers = { "X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example" };
    const base = `https://hub.example/v2/${repository}`;
    const blob = content("locations");
    const manifest = image({ seed: "locations", layers: 0, config: blob });
    const begun = await client.post(`/v2/${repository}/blobs/uploads/`, undefined, headers);
    const upload = begun.required("location");
    const at = await client.get(upload, headers);
    const out = await client.patch(upload, "x", { ...headers, "Content-Range": "5-5" });
    const patched = await client.patch(upload, blob.bytes.slice(0, 3), headers);
    const next = patched.required("location");
    const put = await client.put(ending(next, blob.digest), blob.bytes.slice(3), headers);
    const posted = await client.post(
      `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`,
      blob.bytes,
      headers,
    );
    const mount = `/v2/${repository}/blobs/uploads/?mount=${blob.digest}&from=${repository}`;
    const mounted = await client.post(mount, undefined, headers);
    for (const answer of [begun, at, out, patched]) {
      expectAnswer(answer, answer.status, { location: /^https:\/\/hub\.example\/v2\// });
      assert(answer.required("location").startsWith(`${base}/blobs/uploads/`));
    }
    for (const answer of [put, posted, mounted]) {
      expectAnswer(answer, 201, { location: `${base}/blobs/${blob.digest}` });
    }
    const typed = { ...headers, "Content-Type": manifest.mediaType };
    const pushed = await client.put(`/v2/${repository}/manifests/tag`, manifest.bytes, typed);
    expectAnswer(pushed, 201, { location: `${base}/manifests/${manifest.digest}` });
  });
});

describeRegistry("The operator's host", (given) => {
  it("comes before what the request says", async () => {
    const { client } = await given.start({ http: { host: "https://hub.example:8443" } });
    for (const [headers] of forwarded) {
      assert.equal(await baseOf(client, { headers }), "https://hub.example:8443");
    }
  });

  it("may have a path, and comes before relative URLs", async () => {
    const http = { host: "https://hub.example/registry", relativeUrls: true };
    const { client } = await given.start({ http });
    assert.equal(await baseOf(client, {}), "https://hub.example/registry");
  });
});

describeRegistry("A prefix", (given) => {
  it("stands before every path, and in every URL and Link", async () => {
    for (const relativeUrls of [false, true]) {
      const { client } = await given.start({ http: { prefix: "/mirror/one", relativeUrls } });
      const base = `${relativeUrls ? "" : "http://registry.example"}/mirror/one`;
      assert.equal(await baseOf(client, {}, "/mirror/one"), base);
      expectAnswer(await client.get("/mirror/one/v2/"), 200);
      for (const outside of ["/v2/", "/mirror/v2/", "/mirror/onev2/", "/mirror/one/v2x"]) {
        expectAnswer(await client.get(outside), 404);
      }
      const blob = content("prefixed");
      const begun = await client.post("/mirror/one/v2/app/blobs/uploads/");
      const location = ending(begun.required("location"), blob.digest);
      const put = await client.put(location, blob.bytes);
      expectAnswer(put, 201, { location: `${base}/v2/app/blobs/${blob.digest}` });
      const pulled = await client.get(put.required("location"));
      assert.deepEqual(pulled.bytes, blob.bytes);
    }
  });

  it("stands in the Link to the next page", async () => {
    const { client } = await given.start({ http: { prefix: "/mirror" } });
    const blob = content("{}");
    const manifest = image({ seed: "prefix", layers: 0, config: blob });
    await assert.rejects(pushBlob(client, "app", blob));
    const target = `/mirror/v2/app/blobs/uploads/?digest=${blob.digest}`;
    expectAnswer(await client.post(target, blob.bytes), 201);
    const headers = { "Content-Type": manifest.mediaType };
    for (const tag of ["a", "b"]) {
      const path = `/mirror/v2/app/manifests/${tag}`;
      expectAnswer(await client.put(path, manifest.bytes, headers), 201);
    }
    const first = await client.get("/mirror/v2/app/tags/list?n=1");
    const next = nextPage(first);
    assert.equal(next, "/mirror/v2/app/tags/list?last=a&n=1");
    assert.deepEqual((await client.get(next)).json(), { name: "app", tags: ["b"] });
  });
});

describeRegistry("Relative URLs", (given) => {
  it("are paths, all through a push", async () => {
    const { client } = await given.start({ http: { relativeUrls: true } });
    const blob = content("relative");
    const location = await beginUpload(client, "app");
    assert.match(location, /^\/v2\/app\/blobs\/uploads\//);
    const patched = await client.patch(location, blob.bytes.slice(0, 2));
    expectAnswer(patched, 202, { location: /^\/v2\/app\/blobs\/uploads\// });
    const next = ending(patched.required("location"), blob.digest);
    const put = await client.put(next, blob.bytes.slice(2));
    expectAnswer(put, 201, { location: `/v2/app/blobs/${blob.digest}` });
    const manifest = image({ seed: "relative", layers: 0, config: blob });
    await pushManifest(client, "app", manifest, "tag");
  });
});
