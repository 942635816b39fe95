/** Listing repositories, as Distribution does. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import type { Client } from "./client.ts";
import { content, emptyConfig, image } from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import {
  beginUpload,
  followPages,
  nextPage,
  pushBlob,
  pushImage,
  pushManifest,
} from "./pushing.ts";

/** In byte order. */
const ordered = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "a_b", "b", "b/a"];

function namesOf(answer: Answer): readonly string[] {
  expectAnswer(answer, 200, { "content-type": "application/json" });
  return (answer.json() as { readonly repositories: readonly string[] }).repositories;
}

async function pushTo(client: Client, repositories: readonly string[]): Promise<void> {
  const nothing = image({ seed: "catalog", config: emptyConfig, layers: 0 });
  const push = async (repository: string): Promise<void> => {
    await pushBlob(client, repository, emptyConfig);
    await pushManifest(client, repository, nothing, "latest");
  };
  await Promise.all(repositories.map(push));
}

describeRegistry("The catalog", (given) => {
  it("is an empty list at first", async () => {
    const { client } = await given.start();
    const answer = await client.get("/v2/_catalog");
    expectAnswer(answer, 200, { link: undefined });
    assert.deepEqual(answer.json(), { repositories: [] });
  });

  it("has every repository with a manifest, in byte order", async () => {
    const { client } = await given.start();
    await pushTo(client, ordered.toReversed());
    const answer = await client.get("/v2/_catalog");
    expectAnswer(answer, 200, { link: undefined });
    assert.deepEqual(answer.json(), { repositories: ordered });
  });

  it("goes by pages: n, last, and a Link while something follows", async () => {
    const { client } = await given.start();
    await pushTo(client, ordered);
    for (const n of [1, 3, 4, ordered.length]) {
      const names: string[] = [];
      for await (const answer of followPages(client, `/v2/_catalog?n=${n}`)) {
        const page = namesOf(answer);
        names.push(...page);
        const target = nextPage(answer);
        const last = encodeURIComponent(page.at(-1) ?? "");
        if (target !== undefined) assert.equal(target, `/v2/_catalog?last=${last}&n=${n}`);
        assert.equal(target === undefined, names.length === ordered.length);
      }
      assert.deepEqual(names, ordered);
    }
    for (const [query, expected] of [
      ["last=a%2Fb", ordered.slice(4)],
      ["last=a/b&n=1", ["a/b/c"]],
      ["last=aaa", ["b", "b/a"]],
      ["last=zzz", []],
      ["last=", ordered],
      ["n=", ordered],
      ["n=0", []],
    ] as const) {
      const answer = await client.get(`/v2/_catalog?${query}`);
      assert.deepEqual(namesOf(answer), expected, query);
    }
    expectAnswer(await client.get("/v2/_catalog?n=0"), 200, { link: undefined });
  });

  it("has a hundred in a page when nobody says how many", async () => {
    const { client } = await given.start();
    const names = Array.from({ length: 101 }, (_, index) => `r${String(index).padStart(3, "0")}`);
    await pushTo(client, names);
    const answer = await client.get("/v2/_catalog");
    assert.deepEqual(namesOf(answer), names.slice(0, 100));
    const next = nextPage(answer);
    assert(next !== undefined);
    assert.deepEqual(namesOf(await client.get(next)), names.slice(100));
  });

  it("is 400 for a number that is none, or more than the operator allows", async () => {
    const { client } = given;
    for (const n of ["-1", "x", "1.5", "%00", "1001", "9".repeat(30)]) {
      const answer = await client.get(`/v2/_catalog?n=${n}`);
      expectError(answer, 400, "PAGINATION_NUMBER_INVALID");
    }
    expectAnswer(await client.get("/v2/_catalog?n=1000"), 200);
    const { client: small } = await given.start({ http: { catalogEntriesMax: 2 } });
    await pushTo(small, ["a", "b", "c"]);
    expectError(await small.get("/v2/_catalog?n=3"), 400, "PAGINATION_NUMBER_INVALID");
    assert.deepEqual(namesOf(await small.get("/v2/_catalog?n=2")), ["a", "b"]);
    assert.deepEqual(namesOf(await small.get("/v2/_catalog")), ["a", "b"]);
  });

  it("has none that is only begun, and keeps one whose manifests are deleted", async () => {
    const { client } = await given.start();
    await beginUpload(client, "begun");
    await pushBlob(client, "blobs-only", content("no image"));
    await pushBlob(client, "refused", content("no image"));
    const { digest } = await pushImage(client, "emptied", image({ seed: "gone" }), "latest");
    expectAnswer(await client.delete(`/v2/emptied/manifests/${digest}`), 202);
    assert.deepEqual(namesOf(await client.get("/v2/_catalog")), ["emptied"]);
  });
});
