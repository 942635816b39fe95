/** Listing a repository's tags. spec: end-8a, end-8b. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import type { Client } from "./client.ts";
import { content, image } from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import { beginUpload, followPages, nextPage, pushBlob, pushImage, tagsOf } from "./pushing.ts";

/** In byte order: digits, capitals, the underscore, small letters. */
const ordered = ["0", "1.10", "1.9", "A", "B-1", "Z", "_", "_a", "a", "a-b", "a.b", "aa", "b"];

function listOf(answer: Answer): readonly string[] {
  expectAnswer(answer, 200, { "content-type": "application/json" });
  return (answer.json() as { readonly tags: readonly string[] }).tags;
}

async function pushTags(client: Client, repository: string): Promise<void> {
  await pushImage(client, repository, image({ seed: "tags" }), ...ordered.toReversed());
}

describeRegistry("A repository's tags (end-8a)", (given) => {
  it("are listed in byte order, with its name", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushTags(client, repository);
    const answer = await client.get(`/v2/${repository}/tags/list`);
    expectAnswer(answer, 200, { "content-type": "application/json", link: undefined });
    assert.deepEqual(answer.json(), { name: repository, tags: ordered });
  });

  it("are 404 for a repository that is not there, whatever page is asked for", async () => {
    const { client } = given;
    const repository = given.repository();
    for (const query of ["", "?n=0", "?n=5", "?last=a", "?n=5&last=a"]) {
      const answer = await client.get(`/v2/${repository}/tags/list${query}`);
      const { detail } = expectError(answer, 404, "NAME_UNKNOWN");
      assert.deepEqual(detail, { name: repository });
    }
  });

  it("are 404 for a repository that is only begun", async () => {
    const { client } = given;
    const repository = given.repository();
    await beginUpload(client, repository);
    expectError(await client.get(`/v2/${repository}/tags/list`), 404, "NAME_UNKNOWN");
    await pushBlob(client, repository, content("a blob is no image"));
    expectError(await client.get(`/v2/${repository}/tags/list`), 404, "NAME_UNKNOWN");
  });

  it("are an empty list once there is none, or never was", async () => {
    const { client } = given;
    const repository = given.repository();
    const { digest } = await pushImage(client, repository, image({ seed: "untagged" }));
    assert.deepEqual(await tagsOf(client, repository), []);
    await pushImage(client, repository, image({ seed: "untagged" }), "only");
    assert.deepEqual(await tagsOf(client, repository), ["only"]);
    expectAnswer(await client.delete(`/v2/${repository}/manifests/only`), 202);
    assert.deepEqual(await tagsOf(client, repository), []);
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${digest}`), 202);
    const answer = await client.get(`/v2/${repository}/tags/list`);
    assert.deepEqual(answer.json(), { name: repository, tags: [] });
  });
});

describeRegistry("A page of tags (end-8b)", (given) => {
  it("has as many as asked for, and a Link to the next one while there is one", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushTags(client, repository);
    for (const n of [1, 2, 5, ordered.length - 1]) {
      const pages: (readonly string[])[] = [];
      for await (const answer of followPages(client, `/v2/${repository}/tags/list?n=${n}`)) {
        const page = listOf(answer);
        pages.push(page);
        const target = nextPage(answer);
        if (target !== undefined) {
          assert.equal(page.length, n);
          assert.equal(target, `/v2/${repository}/tags/list?last=${page.at(-1)}&n=${n}`);
        }
      }
      assert.deepEqual(pages.flat(), ordered);
      assert(pages.length <= Math.ceil(ordered.length / n) + 1);
    }
  });

  it("begins behind last, which need not be a tag", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushTags(client, repository);
    for (const [query, expected] of [
      ["last=A", ordered.slice(4)],
      ["last=Aardvark&n=2", ["B-1", "Z"]],
      ["n=3&last=_a", ["a", "a-b", "a.b"]],
      ["last=b", []],
      ["last=zzz&n=5", []],
      ["last=", ordered],
      ["last=%7F", []],
      ["last=%00", ordered],
      ["last=%C3%A9", []],
    ] as const) {
      const answer = await client.get(`/v2/${repository}/tags/list?${query}`);
      assert.deepEqual(listOf(answer), expected, query);
    }
  });

  it("is empty and the last one for n=0", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushTags(client, repository);
    for (const query of ["n=0", "n=0&last=a", "n=00"]) {
      const answer = await client.get(`/v2/${repository}/tags/list?${query}`);
      assert.deepEqual(listOf(answer), []);
      assert.equal(answer.header("link"), undefined);
    }
  });

  it("is everything when n is empty", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushTags(client, repository);
    assert.deepEqual(listOf(await client.get(`/v2/${repository}/tags/list?n=`)), ordered);
  });

  it("is 400 when n is no number", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushTags(client, repository);
    for (const n of ["-1", "x", "1.5", "1e3", "0x10", "%201", "1%20", "+1", "%D9%A1", "%00"]) {
      const answer = await client.get(`/v2/${repository}/tags/list?n=${n}`);
      expectError(answer, 400, "PAGINATION_NUMBER_INVALID");
    }
  });

  it("has no more than the operator wants, however many are asked for", async () => {
    const { client } = await given.start({ http: { tagsPageMax: 4 } });
    const repository = given.repository();
    await pushTags(client, repository);
    for (const n of ["5", "1000000", "9".repeat(30)]) {
      const pages: string[] = [];
      for await (const answer of followPages(client, `/v2/${repository}/tags/list?n=${n}`)) {
        assert(listOf(answer).length <= 4);
        pages.push(...listOf(answer));
      }
      assert.deepEqual(pages, ordered);
    }
  });
});
