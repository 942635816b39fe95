/** Blobs in chunks: pushing, asking, giving up. spec: end-5, end-6, end-13, end-14. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { streamOf, type Client } from "./client.ts";
import { content, digestOf, noise } from "./content.ts";
import { describeEverywhere, describeRegistry } from "./matrix.ts";
import { beginUpload, ending, expectBlob, expectNoBlob } from "./pushing.ts";

const octets = { "Content-Type": "application/octet-stream" };

function expectProgress(answer: Answer, status: number, received: number): string {
  expectAnswer(answer, status, { range: `0-${Math.max(0, received - 1)}` });
  assert.match(answer.required("docker-upload-uuid"), /^[0-9a-f-]{36}$/);
  return answer.required("location");
}

/** Refused for its place, with what a client needs to go on from there. */
function expectOutOfOrder(answer: Answer, received: number): string {
  expectError(answer, 416, "RANGE_INVALID");
  return expectProgress(answer, 416, received);
}

/** An upload with its first bytes. */
async function begun(
  client: Client,
  repository: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<string> {
  const location = await beginUpload(client, repository);
  const answer = await client.patch(location, bytes, octets);
  return expectProgress(answer, 202, bytes.byteLength);
}

describeEverywhere("A blob in chunks (end-5)", (given) => {
  it("is there after one streamed PATCH and a PUT without a body", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(300_000, "streamed"));
    const location = await beginUpload(client, repository);
    const body = streamOf([blob.bytes.slice(0, 100_000), blob.bytes.slice(100_000)]);
    const answer = await client.patch(location, body, octets);
    expectAnswer(answer, 202, { "content-length": "0" });
    const next = expectProgress(answer, 202, 300_000);
    expectAnswer(await client.put(ending(next, blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });

  it("is there after chunks with a Content-Range in either form, and in none", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(50, "forms"));
    let location = await beginUpload(client, repository);
    const ranges = ["0-9", "bytes 10-19/*", "bytes 20-29/50", "Bytes 30-39/*", undefined];
    for (const [index, range] of ranges.entries()) {
      const piece = blob.bytes.slice(index * 10, index * 10 + 10);
      const headers = range === undefined ? octets : { ...octets, "Content-Range": range };
      const answer = await client.patch(location, piece, headers);
      location = expectProgress(answer, 202, index * 10 + 10);
    }
    expectAnswer(await client.put(ending(location, blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });

  it("may end with a chunk in the PUT, with or without its range", async () => {
    const { client } = given;
    for (const headers of [octets, { ...octets, "Content-Range": "600-999" }, {}]) {
      const repository = given.repository();
      const blob = content(noise(1000, "last chunk"));
      const location = await begun(client, repository, blob.bytes.slice(0, 600));
      const last = await client.put(ending(location, blob.digest), blob.bytes.slice(600), headers);
      expectAnswer(last, 201, { "docker-content-digest": blob.digest });
      await expectBlob(client, repository, blob);
    }
  });

  it("may have chunks without bytes, and many small ones", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(20, "small"));
    let location = await beginUpload(client, repository);
    location = expectProgress(await client.patch(location, "", octets), 202, 0);
    for (let at = 0; at < 20; at += 1) {
      const answer = await client.patch(location, blob.bytes.slice(at, at + 1), octets);
      location = expectProgress(answer, 202, at + 1);
    }
    location = expectProgress(await client.patch(location, "", octets), 202, 20);
    expectAnswer(await client.put(ending(location, blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });

  it("may come without a Content-Type, but not with another one", async () => {
    const { client } = given;
    const location = await beginUpload(client, given.repository());
    const next = expectProgress(await client.patch(location, "ab"), 202, 2);
    const answer = await client.patch(next, "cd", { "Content-Type": "text/plain" });
    assert(answer.status >= 400 && answer.status < 500, answer.toString());
    expectProgress(await client.get(next), 204, 2);
  });

  it("is 400 and not there when its digest is another", async () => {
    const { client } = given;
    const repository = given.repository();
    const wrong = digestOf(noise(10, "other"));
    const bytes = noise(100, "wrong in chunks");
    const location = await begun(client, repository, bytes);
    expectError(await client.put(ending(location, wrong)), 400, "DIGEST_INVALID");
    await expectNoBlob(client, repository, wrong);
    await expectNoBlob(client, repository, digestOf(bytes));
  });
});

describeEverywhere("A chunk out of order", (given) => {
  it("is 416 with where to go on: gaps, overlaps, a chunk sent twice", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(30, "order"));
    const first = await beginUpload(client, repository);
    const early = { ...octets, "Content-Range": "5-14" };
    expectOutOfOrder(await client.patch(first, noise(10, "early"), early), 0);
    const location = expectProgress(await client.patch(first, blob.bytes.slice(0, 10)), 202, 10);
    for (const range of ["20-29", "11-20", "9-18", "0-9", "bytes 20-29/*"]) {
      const headers = { ...octets, "Content-Range": range };
      expectOutOfOrder(await client.patch(location, blob.bytes.slice(10, 20), headers), 10);
      expectProgress(await client.get(location), 204, 10);
    }
    const headers = { ...octets, "Content-Range": "50-59" };
    const refused = await client.patch(location, blob.bytes.slice(10, 20), headers);
    const next = expectOutOfOrder(refused, 10);
    const last = { ...octets, "Content-Range": "10-29" };
    expectAnswer(await client.put(ending(next, blob.digest), blob.bytes.slice(10), last), 201);
    await expectBlob(client, repository, blob);
  });

  it("is 416 in the PUT as well, and the upload stands where it did", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(30, "order in PUT"));
    const location = await begun(client, repository, blob.bytes.slice(0, 10));
    for (const range of ["20-39", "0-19", "9-28"]) {
      const headers = { ...octets, "Content-Range": range };
      const body = blob.bytes.slice(10);
      expectOutOfOrder(await client.put(ending(location, blob.digest), body, headers), 10);
      expectProgress(await client.get(location), 204, 10);
    }
    await expectNoBlob(client, repository, blob.digest);
    const right = { ...octets, "Content-Range": "10-29" };
    const answer = await client.put(ending(location, blob.digest), blob.bytes.slice(10), right);
    expectAnswer(answer, 201);
  });

  it("is 416 at a URL that was left behind: what came twice is no new chunk", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(20, "stale"));
    const stale = await beginUpload(client, repository);
    const fresh = expectProgress(await client.patch(stale, blob.bytes.slice(0, 10)), 202, 10);
    expectOutOfOrder(await client.patch(stale, blob.bytes.slice(0, 10)), 10);
    expectOutOfOrder(await client.put(ending(stale, blob.digest), blob.bytes.slice(0, 10)), 10);
    expectProgress(await client.patch(fresh, blob.bytes.slice(10)), 202, 20);
    const location = expectProgress(await client.get(stale), 204, 20);
    expectAnswer(await client.put(ending(location, blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });

  it("is 400 when its range and its length differ, or the range is none", async () => {
    const { client } = given;
    const repository = given.repository();
    const location = await begun(client, repository, noise(10, "first"));
    for (const range of ["10-18", "10-20", "bytes 10-99/100"]) {
      const headers = { ...octets, "Content-Range": range };
      expectError(await client.patch(location, noise(10, "second"), headers), 400, "SIZE_INVALID");
    }
    for (const range of ["10", "a-b", "19-10", "-10", "10-", "bytes=10-19", "10-19,20-29"]) {
      const headers = { ...octets, "Content-Range": range };
      const answer = await client.patch(location, noise(10, "second"), headers);
      assert(answer.status === 400 || answer.status === 416, answer.toString());
    }
    expectProgress(await client.get(location), 204, 10);
  });

  it("is 400 when a stream is not as long as its range, and leaves nothing behind", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(30, "streamed range"));
    const location = await begun(client, repository, blob.bytes.slice(0, 10));
    const headers = { ...octets, "Content-Range": "10-29" };
    for (const end of [20, 29]) {
      const answer = await client.patch(location, streamOf([blob.bytes.slice(10, end)]), headers);
      expectError(answer, 400, "SIZE_INVALID");
      expectProgress(await client.get(location), 204, 10);
    }
    const long = await client.patch(location, streamOf([noise(40, "long")]), headers);
    expectError(long, 400, "SIZE_INVALID");
    const answer = await client.patch(location, streamOf([blob.bytes.slice(10)]), headers);
    const next = expectProgress(answer, 202, 30);
    expectAnswer(await client.put(ending(next, blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });
});

describeRegistry("An upload's status (end-13)", (given) => {
  it("says how many bytes have come, to GET and HEAD", async () => {
    const { client } = given;
    const repository = given.repository();
    const location = await beginUpload(client, repository);
    expectProgress(await client.get(location), 204, 0);
    expectProgress(await client.head(location), 204, 0);
    const next = expectProgress(await client.patch(location, noise(100, "status")), 202, 100);
    for (const each of [location, next]) {
      expectProgress(await client.get(each), 204, 100);
      expectProgress(await client.head(each), 204, 100);
    }
  });

  it("is 404 for uploads that never were, or are another repository's", async () => {
    const { client } = given;
    const [repository, other] = [given.repository(), given.repository()];
    const location = await beginUpload(client, repository);
    const foreign = location.replace(repository, other);
    const unknown = `/v2/${repository}/blobs/uploads/00000000-0000-4000-8000-000000000000`;
    const digest = digestOf(noise(3, "x"));
    for (const target of [foreign, unknown, `/v2/${repository}/blobs/uploads/x`]) {
      expectError(await client.get(target), 404, "BLOB_UPLOAD_UNKNOWN");
      expectAnswer(await client.head(target), 404);
      expectError(await client.patch(target, "abc"), 404, "BLOB_UPLOAD_UNKNOWN");
      expectError(await client.put(ending(target, digest), "abc"), 404, "BLOB_UPLOAD_UNKNOWN");
      expectError(await client.delete(target), 404, "BLOB_UPLOAD_UNKNOWN");
    }
    expectAnswer(await client.get(location), 204);
  });

  it("is 404 at a URL that was not made here", async () => {
    const { client } = given;
    const location = await beginUpload(client, given.repository());
    for (const state of ["x", "-1", "", "1e3", "9".repeat(40), "%00"]) {
      const target = location.replace(/_state=[^&]*/, `_state=${state}`);
      expectError(await client.patch(target, "abc"), 404, "BLOB_UPLOAD_INVALID");
    }
  });
});

describeRegistry("Giving an upload up (end-14)", (given) => {
  it("is 204 once, and the upload is gone", async () => {
    const { client } = given;
    for (const size of [0, 100]) {
      const repository = given.repository();
      const bytes = noise(size, "cancelled");
      const location =
        size === 0 ? await beginUpload(client, repository) : await begun(client, repository, bytes);
      expectAnswer(await client.delete(location), 204, { "docker-upload-uuid": /^[0-9a-f-]{36}$/ });
      expectError(await client.delete(location), 404, "BLOB_UPLOAD_UNKNOWN");
      expectError(await client.get(location), 404, "BLOB_UPLOAD_UNKNOWN");
      expectError(await client.patch(location, bytes), 404, "BLOB_UPLOAD_UNKNOWN");
      const last = await client.put(ending(location, digestOf(bytes)), bytes);
      expectError(last, 404, "BLOB_UPLOAD_UNKNOWN");
      await expectNoBlob(client, repository, digestOf(bytes));
    }
  });
});
