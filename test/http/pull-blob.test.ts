/** Pulling blobs whole, and checking that they are there. spec: end-2. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { algorithms, content, digestOf, noise, type Content } from "./content.ts";
import { describeEverywhere, describeRegistry } from "./matrix.ts";
import { pushBlob } from "./pushing.ts";

const absent = digestOf(noise(10, "absent"));

function expectBlobAnswer(answer: Answer, blob: Content): void {
  expectAnswer(answer, 200, {
    "content-type": "application/octet-stream",
    "content-length": String(blob.bytes.byteLength),
    "docker-content-digest": blob.digest,
    etag: `"${blob.digest}"`,
    "cache-control": "max-age=31536000",
    "accept-ranges": "bytes",
  });
}

describeEverywhere("Pulling a blob (end-2)", (given) => {
  it("gives the bytes that were pushed, few or many", async () => {
    const { client } = given;
    const repository = given.repository();
    for (const size of [0, 1, 5000, 3_000_000]) {
      const blob = content(noise(size, "pull"));
      await pushBlob(client, repository, blob);
      const target = `/v2/${repository}/blobs/${blob.digest}`;
      const answer = await client.get(target);
      expectBlobAnswer(answer, blob);
      assert(Buffer.from(answer.bytes).equals(blob.bytes), `${size} bytes differ`);
      expectBlobAnswer(await client.head(target), blob);
    }
  });

  it("knows it by the digest that it was pushed by, and by its sha256 digest", async () => {
    const { client } = given;
    const repository = given.repository();
    const bytes = noise(300, "many names");
    for (const algorithm of algorithms) {
      const blob = content(bytes, undefined, algorithm);
      await pushBlob(client, repository, blob);
      for (const name of [blob.digest, digestOf(bytes)]) {
        const answer = await client.get(`/v2/${repository}/blobs/${name}`);
        expectBlobAnswer(answer, { ...blob, digest: name });
        assert.deepEqual(answer.bytes, bytes);
      }
    }
  });

  it("is 404 for what the repository does not have", async () => {
    const { client } = given;
    const [repository, other] = [given.repository(), given.repository()];
    const [mine, foreign] = [content("mine"), content("foreign")];
    await pushBlob(client, repository, mine);
    await pushBlob(client, other, foreign);
    for (const [name, digest] of [
      [repository, absent],
      [repository, foreign.digest],
      ["team/absent", mine.digest],
    ] as const) {
      const target = `/v2/${name}/blobs/${digest}`;
      const { detail } = expectError(await client.get(target), 404, "BLOB_UNKNOWN");
      assert.equal(detail, digest);
      expectAnswer(await client.head(target), 404);
      const conditional = await client.get(target, { "If-None-Match": "*", Range: "bytes=0-1" });
      expectError(conditional, 404, "BLOB_UNKNOWN");
    }
  });

  it("is 400 for what is no digest", async () => {
    const { client } = given;
    const hex = absent.slice("sha256:".length);
    for (const digest of ["latest", "sha256:abcdef", `sha256:${hex.toUpperCase()}`, `md5:${hex}`]) {
      const target = `/v2/team/app/blobs/${digest}`;
      expectError(await client.get(target), 400, "DIGEST_INVALID");
      expectAnswer(await client.head(target), 400);
    }
  });
});

describeRegistry("Conditions on a blob", (given) => {
  it("make a 304 where the client has it, however it writes that", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("unchanged");
    await pushBlob(client, repository, blob);
    const { digest } = blob;
    const target = `/v2/${repository}/blobs/${digest}`;
    for (const value of [`"${digest}"`, digest, `W/"${digest}"`, `"x" , "${digest}"`, "*"]) {
      for (const method of ["GET", "HEAD"]) {
        const headers = { "If-None-Match": value };
        const answer = await client.send(method, target, { headers });
        expectAnswer(answer, 304, { etag: `"${digest}"`, "cache-control": "max-age=31536000" });
      }
    }
    for (const value of [`"${absent}"`, `"x", W/"y"`, ""]) {
      expectBlobAnswer(await client.get(target, { "If-None-Match": value }), blob);
    }
  });

  it("come before ranges", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("unchanged");
    await pushBlob(client, repository, blob);
    const target = `/v2/${repository}/blobs/${blob.digest}`;
    const headers = { "If-None-Match": `"${blob.digest}"`, Range: "bytes=0-1" };
    expectAnswer(await client.get(target, headers), 304);
    const failing = { "If-Match": '"x"', Range: "bytes=0-1" };
    expectAnswer(await client.get(target, failing), 412);
  });

  it("make a 412 without a body where If-Match names something else", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(2000, "412"));
    await pushBlob(client, repository, blob);
    const target = `/v2/${repository}/blobs/${blob.digest}`;
    for (const value of [`"${absent}"`, `"x", "y"`, `W/"${blob.digest}"`]) {
      const answer = await client.get(target, { "If-Match": value });
      expectAnswer(answer, 412, { "content-length": "0" });
      expectAnswer(await client.head(target, { "If-Match": value }), 412);
    }
    for (const value of [`"${blob.digest}"`, "*"]) {
      expectBlobAnswer(await client.get(target, { "If-Match": value }), blob);
    }
  });
});
