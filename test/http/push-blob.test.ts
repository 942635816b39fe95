/** Pushing a blob in one piece. spec: end-4a, end-4b, end-4c, end-6. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { streamOf } from "./client.ts";
import { algorithms, content, digestOf, noise } from "./content.ts";
import { describeEverywhere } from "./matrix.ts";
import { beginUpload, ending, expectBlob, expectNoBlob } from "./pushing.ts";

const wrong = digestOf(noise(10, "something else"));
const octets = { "Content-Type": "application/octet-stream" };

function expectCreated(answer: Answer, repository: string, digest: string): void {
  expectAnswer(answer, 201, {
    location: `http://registry.example/v2/${repository}/blobs/${digest}`,
    "docker-content-digest": digest,
    "content-length": "0",
  });
}

function pieces(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer>[] {
  const count = Math.ceil(bytes.byteLength / size);
  return Array.from({ length: count }, (_, index) => bytes.slice(index * size, (index + 1) * size));
}

describeEverywhere("A blob in one POST (end-4b)", (given) => {
  it("is there, under any algorithm's digest", async () => {
    const { client } = given;
    const repository = given.repository();
    for (const algorithm of algorithms) {
      const blob = content(noise(4000, algorithm), undefined, algorithm);
      const target = `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`;
      expectCreated(await client.post(target, blob.bytes, octets), repository, blob.digest);
      await expectBlob(client, repository, blob);
    }
  });

  it("is there when its length was not announced", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(200_000, "streamed POST"));
    const target = `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`;
    const answer = await client.post(target, streamOf(pieces(blob.bytes, 30_000)));
    expectCreated(answer, repository, blob.digest);
    await expectBlob(client, repository, blob);
  });

  it("is 400 and not there under a digest that it does not have", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("other bytes");
    const answer = await client.post(
      `/v2/${repository}/blobs/uploads/?digest=${wrong}`,
      blob.bytes,
    );
    expectError(answer, 400, "DIGEST_INVALID");
    await expectNoBlob(client, repository, wrong);
    await expectNoBlob(client, repository, blob.digest);
  });

  it("is 400 under what is no digest", async () => {
    const { client } = given;
    for (const digest of ["", "x", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e"]) {
      const target = `/v2/${given.repository()}/blobs/uploads/?digest=${digest}`;
      expectError(await client.post(target, "bytes"), 400, "DIGEST_INVALID");
    }
  });
});

describeEverywhere("A blob in POST and PUT (end-4a, end-6)", (given) => {
  it("begins with a session: its URL, its id, nothing received", async () => {
    const { client } = given;
    const repository = given.repository();
    for (const target of [`/v2/${repository}/blobs/uploads/`, `/v2/${repository}/blobs/uploads`]) {
      const answer = await client.post(target);
      expectAnswer(answer, 202, { range: "0-0", "content-length": "0" });
      const location = new URL(answer.required("location"));
      assert.equal(location.host, "registry.example");
      const id = answer.required("docker-upload-uuid");
      assert.equal(location.pathname, `/v2/${repository}/blobs/uploads/${id}`);
      assert.match(id, /^[0-9a-f-]{36}$/);
    }
  });

  it("is there after the PUT, and the session is over", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(10_000, "POST and PUT"));
    const location = await beginUpload(client, repository);
    const answer = await client.put(ending(location, blob.digest), blob.bytes, octets);
    expectCreated(answer, repository, blob.digest);
    await expectBlob(client, repository, blob);
    expectError(await client.get(location), 404, "BLOB_UPLOAD_UNKNOWN");
  });

  it("works wherever the digest stands in the query, escaped or not", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("query");
    const ends = [
      (location: URL) => location.searchParams.set("digest", blob.digest),
      (location: URL) => {
        location.search = `?digest=${blob.digest}&${location.search.slice(1)}`;
      },
    ];
    for (const setDigest of ends) {
      const location = new URL(await beginUpload(client, repository));
      setDigest(location);
      const target = `${location.pathname}${location.search}`;
      expectCreated(await client.put(target, blob.bytes), repository, blob.digest);
    }
  });

  it("takes a stream, and any Content-Type: curl's own is not parsed as a form", async () => {
    const { client } = given;
    const repository = given.repository();
    const types = ["", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"];
    for (const [index, type] of types.entries()) {
      const blob = content(noise(50_000, `type ${index}`));
      const location = await beginUpload(client, repository);
      const headers = type === "" ? {} : { "Content-Type": type };
      const body = streamOf(pieces(blob.bytes, 7000));
      const answer = await client.put(ending(location, blob.digest), body, headers);
      expectCreated(answer, repository, blob.digest);
      await expectBlob(client, repository, blob);
    }
  });

  it("may be empty", async () => {
    const { client } = given;
    const blob = content("");
    for (const query of ["", `?digest=${blob.digest}`]) {
      const repository = given.repository();
      const begun = await client.post(`/v2/${repository}/blobs/uploads/${query}`);
      const last =
        query === "" ? await client.put(ending(begun.required("location"), blob.digest)) : begun;
      expectCreated(last, repository, blob.digest);
      await expectBlob(client, repository, blob);
    }
  });

  it("may be pushed again, and in other repositories", async () => {
    const { client } = given;
    const blob = content("again and again");
    const [one, other] = [given.repository(), given.repository()];
    for (const repository of [one, one, other, one]) {
      const location = await beginUpload(client, repository);
      const answer = await client.put(ending(location, blob.digest), blob.bytes);
      expectCreated(answer, repository, blob.digest);
      await expectBlob(client, repository, blob);
    }
  });

  it("is 400 and not there when its bytes have another digest", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("these bytes");
    const location = await beginUpload(client, repository);
    const answer = await client.put(ending(location, wrong), blob.bytes);
    expectError(answer, 400, "DIGEST_INVALID");
    await expectNoBlob(client, repository, wrong);
    await expectNoBlob(client, repository, blob.digest);
  });

  it("goes on after a digest that was missing or malformed", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("kept");
    const location = await beginUpload(client, repository);
    const missing = await client.put(location, blob.bytes);
    expectError(missing, 400, "DIGEST_INVALID");
    for (const digest of ["", "x", "sha256:abc", blob.digest.toUpperCase()]) {
      const answer = await client.put(ending(location, digest), blob.bytes);
      expectError(answer, 400, "DIGEST_INVALID");
    }
    expectAnswer(await client.get(location), 204, { range: "0-0" });
    const answer = await client.put(ending(location, blob.digest), blob.bytes);
    expectCreated(answer, repository, blob.digest);
  });
});

describeEverywhere("A blob under another algorithm's digest (end-4c)", (given) => {
  it("is there, announced or not, in one piece", async () => {
    const { client } = given;
    for (const algorithm of algorithms) {
      for (const query of ["", `?digest-algorithm=${algorithm}`]) {
        const repository = given.repository();
        const blob = content(noise(3000, `${algorithm}${query}`), undefined, algorithm);
        const location = await beginUpload(client, repository, query);
        const answer = await client.put(ending(location, blob.digest), blob.bytes);
        expectCreated(answer, repository, blob.digest);
        await expectBlob(client, repository, blob);
      }
    }
  });

  it("is there, announced or not, in chunks", async () => {
    const { client } = given;
    for (const algorithm of algorithms) {
      for (const query of ["", "?digest-algorithm=sha512", "?digest-algorithm=sha256"]) {
        const repository = given.repository();
        const blob = content(noise(3000, `chunks ${algorithm}${query}`), undefined, algorithm);
        let location = await beginUpload(client, repository, query);
        for (const piece of pieces(blob.bytes, 1000)) {
          const answer = await client.patch(location, piece, octets);
          expectAnswer(answer, 202);
          location = answer.required("location");
        }
        const answer = await client.put(ending(location, blob.digest));
        expectCreated(answer, repository, blob.digest);
        await expectBlob(client, repository, blob);
      }
    }
  });

  it("is 400 and not there when it is wrong", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("right bytes", undefined, "sha512");
    const other = digestOf(noise(10, "other"), "sha512");
    const location = await beginUpload(client, repository, "?digest-algorithm=sha512");
    expectError(await client.put(ending(location, other), blob.bytes), 400, "DIGEST_INVALID");
    await expectNoBlob(client, repository, other);
    await expectNoBlob(client, repository, blob.digest);
  });

  it("is 400 for an algorithm that nobody knows", async () => {
    const { client } = given;
    for (const algorithm of ["md5", "", "SHA256", "sha256:", "__proto__"]) {
      const target = `/v2/${given.repository()}/blobs/uploads/?digest-algorithm=${algorithm}`;
      expectError(await client.post(target), 400, "DIGEST_INVALID");
    }
  });
});
