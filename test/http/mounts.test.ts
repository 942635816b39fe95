/** Mounting a blob that the registry has already. spec: end-11. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { content, digestOf, noise } from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import { ending, expectBlob, pushBlob } from "./pushing.ts";

function expectMounted(answer: Answer, repository: string, digest: string): void {
  expectAnswer(answer, 201, {
    location: `http://registry.example/v2/${repository}/blobs/${digest}`,
    "docker-content-digest": digest,
    "content-length": "0",
    "docker-upload-uuid": undefined,
  });
}

describeRegistry("Mounting a blob (end-11)", (given) => {
  it("links it from the named repository, without an upload", async () => {
    const { client } = given;
    const [source, target] = [given.repository(), given.repository()];
    const blob = content("mounted");
    await pushBlob(client, source, blob);
    const url = `/v2/${target}/blobs/uploads/?mount=${blob.digest}&from=${source}`;
    expectMounted(await client.post(url), target, blob.digest);
    await expectBlob(client, target, blob);
    const escaped = `?from=${encodeURIComponent(source)}&mount=${encodeURIComponent(blob.digest)}`;
    const again = await client.post(`/v2/${target}/blobs/uploads/${escaped}`);
    expectMounted(again, target, blob.digest);
  });

  it("finds it anywhere when no repository is named", async () => {
    const { client } = given;
    const blob = content("found anywhere");
    await pushBlob(client, given.repository(), blob);
    for (const query of [`?mount=${blob.digest}`, `?mount=${blob.digest}&from=`]) {
      const target = given.repository();
      const answer = await client.post(`/v2/${target}/blobs/uploads/${query}`);
      expectMounted(answer, target, blob.digest);
      await expectBlob(client, target, blob);
    }
  });

  it("knows it by any digest that it has", async () => {
    const { client } = given;
    const [source, target] = [given.repository(), given.repository()];
    const blob = content("mounted by sha512", undefined, "sha512");
    await pushBlob(client, source, blob);
    for (const digest of [blob.digest, digestOf(blob.bytes)]) {
      const url = `/v2/${target}/blobs/uploads/?mount=${digest}&from=${source}`;
      expectMounted(await client.post(url), target, digest);
      await expectBlob(client, target, { ...blob, digest });
    }
  });

  it("may be from the repository itself", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("mine");
    await pushBlob(client, repository, blob);
    const url = `/v2/${repository}/blobs/uploads/?mount=${blob.digest}&from=${repository}`;
    expectMounted(await client.post(url), repository, blob.digest);
  });

  it("keeps the blob when the source gives it up", async () => {
    const { client } = given;
    const [source, target] = [given.repository(), given.repository()];
    const blob = content("outlives its source");
    await pushBlob(client, source, blob);
    await client.post(`/v2/${target}/blobs/uploads/?mount=${blob.digest}&from=${source}`);
    expectAnswer(await client.delete(`/v2/${source}/blobs/${blob.digest}`), 202);
    await expectBlob(client, target, blob);
    const gone = `/v2/${given.repository()}/blobs/uploads/?mount=${blob.digest}&from=${source}`;
    expectAnswer(await client.post(gone), 202);
  });

  it("begins an upload when the blob is not there, or the source is no repository", async () => {
    const { client } = given;
    const source = given.repository();
    const known = content("known");
    const unknown = (seed: string) => content(noise(10, `nobody pushed this: ${seed}`));
    await pushBlob(client, source, known);
    for (const [blob, from] of [
      [unknown("from"), `&from=${source}`],
      [unknown("anywhere"), ""],
      [known, "&from=team/absent"],
      [known, `&from=${given.repository()}`],
      [known, "&from=UPPER/case"],
      [known, "&from=../../etc"],
      [known, `&from=${"a".repeat(300)}`],
    ] as const) {
      const repository = given.repository();
      const url = `/v2/${repository}/blobs/uploads/?mount=${blob.digest}${from}`;
      const answer = await client.post(url);
      expectAnswer(answer, 202, { range: "0-0", "docker-upload-uuid": /./ });
      const location = ending(answer.required("location"), blob.digest);
      expectAnswer(await client.put(location, blob.bytes), 201);
      await expectBlob(client, repository, blob);
    }
  });

  it("never serves a blob elsewhere only because it was asked for", async () => {
    const { client } = given;
    const [source, target] = [given.repository(), given.repository()];
    const blob = content("private");
    await pushBlob(client, source, blob);
    await client.post(`/v2/${target}/blobs/uploads/?mount=${blob.digest}&from=team/absent`);
    expectAnswer(await client.get(`/v2/${target}/blobs/${blob.digest}`), 404);
  });

  it("is refused for what is no digest", async () => {
    const { client } = given;
    const source = given.repository();
    for (const digest of ["x", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e"]) {
      const url = `/v2/${given.repository()}/blobs/uploads/?mount=${digest}&from=${source}`;
      expectError(await client.post(url), 400, "DIGEST_INVALID");
    }
  });

  it("takes the body under a digest parameter when it cannot mount", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(100, "mount or push"));
    const query = `?mount=${blob.digest}&from=team/absent&digest=${blob.digest}`;
    const answer = await client.post(`/v2/${repository}/blobs/uploads/${query}`, blob.bytes);
    expectMounted(answer, repository, blob.digest);
    await expectBlob(client, repository, blob);
    assert.equal(answer.bytes.byteLength, 0);
  });
});
