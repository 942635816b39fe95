/** What only a connection shows: resuming after it broke, asking first, several requests. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { content, digestOf, noise } from "./content.ts";
import { describeRegistry, type Given } from "./matrix.ts";
import { beginUpload, ending, expectBlob, pushBlob } from "./pushing.ts";
import { RawConnection, requestText } from "./raw-connection.ts";

const pathOf = (location: string): string => location.replace(/^http:\/\/[^/]+/, "");

/** The bytes that an upload has, as its Range says. */
function receivedOf(answer: Answer): number {
  const end = Number(/^0-([0-9]+)$/.exec(answer.required("range"))?.[1]);
  return end === 0 ? 0 : end + 1;
}

/** Asks until the registry has noticed that some of a broken chunk has come. */
async function receivedAtLast(given: Given, location: string): Promise<number> {
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const answer = await given.client.get(location);
    expectAnswer(answer, 204);
    const received = receivedOf(answer);
    if (received > 0) return received;
  }
  throw new Error("nothing of the broken chunk was kept");
}

function tests(given: Given): void {
  it("can be resumed where it broke: what came before the end is kept to the byte", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(200_000, "broken"));
    const location = await beginUpload(client, repository);
    const connection = await RawConnection.open(given.port);
    const headers = ["Content-Type: application/octet-stream", "Content-Length: 200000"];
    connection.write(requestText(`PATCH ${pathOf(location)}`, headers));
    connection.write(blob.bytes.slice(0, 123_456));
    connection.end();
    const broken = await connection.answer("PATCH");
    if (broken !== undefined)
      assert(broken.status >= 400 && broken.status < 500, `${broken.status}`);
    assert.equal(await receivedAtLast(given, location), 123_456);
    const next = (await client.get(location)).required("location");
    const rest = { "Content-Range": "123456-199999" };
    const patched = await client.patch(next, blob.bytes.slice(123_456), rest);
    expectAnswer(patched, 202, { range: "0-199999" });
    expectAnswer(await client.put(ending(patched.required("location"), blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });

  it("can be resumed after a reset, at once, as clients do it", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content(noise(300_000, "reset"));
    const location = await beginUpload(client, repository);
    const connection = await RawConnection.open(given.port);
    const headers = ["Transfer-Encoding: chunked"];
    connection.write(requestText(`PATCH ${pathOf(location)}`, headers));
    connection.write(`${(150_000).toString(16)}\r\n`);
    await connection.writeUntilRefused(blob.bytes.slice(0, 100_000), 100_000);
    connection.reset();
    let at = await client.get(location);
    for (let tries = 0; ; tries += 1) {
      const from = receivedOf(at);
      const range = { "Content-Range": `${from}-${blob.bytes.byteLength - 1}` };
      at = await client.patch(at.required("location"), blob.bytes.slice(from), range);
      if (at.status === 202) break;
      expectError(at, 416, "RANGE_INVALID");
      assert(tries < 5, "the upload does not come to rest");
    }
    expectAnswer(await client.put(ending(at.required("location"), blob.digest)), 201);
    await expectBlob(client, repository, blob);
  });
}

describeRegistry("A broken upload", tests, { sockets: true, crossed: true });

describeRegistry(
  "Asking before sending",
  (given) => {
    const expecting = ["Expect: 100-continue", "Content-Length: 10"];
    const bytes = noise(10, "expect");

    it("is told to go on once the upload is found", async () => {
      const { client } = given;
      const repository = given.repository();
      const location = ending(await beginUpload(client, repository), digestOf(bytes));
      const connection = await RawConnection.open(given.port);
      connection.write(requestText(`PUT ${pathOf(location)}`, expecting));
      expectAnswer(await connection.expectAnswer("PUT"), 100);
      connection.write(bytes);
      expectAnswer(await connection.expectAnswer("PUT"), 201);
      connection.destroy();
      await expectBlob(client, repository, content(bytes));
    });

    it("is refused without a 100 when nothing would come of it", async () => {
      const { client } = given;
      const repository = given.repository();
      const digest = digestOf(bytes);
      const unknown = `/v2/${repository}/blobs/uploads/x`;
      const begun = pathOf(await beginUpload(client, repository));
      for (const [line, headers, status] of [
        [`PATCH ${unknown}`, [], 404],
        [`PUT ${unknown}?digest=${digest}`, [], 404],
        [`PATCH ${begun}`, ["Content-Range: 5-14"], 416],
        [`PUT ${ending(begun, "sha256:x")}`, [], 400],
        [`POST /v2/${repository}/blobs/uploads/?digest=x`, [], 400],
        [`PUT /v2/${repository}/manifests/.x`, [], 400],
        ["PUT /v2/UPPER/manifests/x", [], 400],
        [`PUT /v2/${repository}/tags/list`, [], 405],
      ] as const) {
        const connection = await RawConnection.open(given.port);
        connection.write(requestText(line, [...expecting, ...headers]));
        expectAnswer(await connection.expectAnswer(), status);
        connection.destroy();
      }
    });

    it("may find that nobody needs the bytes", async () => {
      const { client } = given;
      const repository = given.repository();
      const connection = await RawConnection.open(given.port);
      const target = `/v2/${repository}/blobs/uploads/?mount=${digestOf(bytes)}&from=${repository}`;
      await pushBlob(client, repository, content(bytes));
      connection.write(requestText(`POST ${target}`, expecting));
      expectAnswer(await connection.expectAnswer("POST"), 201);
      connection.destroy();
    });
  },
  { sockets: true },
);

describeRegistry(
  "Several requests on one connection",
  (given) => {
    it("are answered in order, errors and HEAD among them", async () => {
      const { client } = given;
      const repository = given.repository();
      const blob = content("in order");
      await pushBlob(client, repository, blob);
      const target = `/v2/${repository}/blobs/${blob.digest}`;
      const connection = await RawConnection.open(given.port);
      const asked = [
        ["GET /v2/", 200],
        [`HEAD ${target}`, 200],
        [`HEAD /v2/${repository}/manifests/absent`, 404],
        [`GET /v2/${repository}/manifests/absent`, 404],
        [`GET ${target}`, 200],
        ["DELETE /v2/_catalog", 405],
        ["GET /v2/", 200],
      ] as const;
      connection.write(asked.map(([line]) => requestText(line)).join(""));
      for (const [line, status] of asked) {
        expectAnswer(await connection.expectAnswer(line.split(" ", 1)[0]), status);
      }
      connection.end();
      await connection.expectEnd();
    });

    it("go on after a body that nobody wanted, when it was small", async () => {
      const repository = given.repository();
      const connection = await RawConnection.open(given.port);
      const body = "x".repeat(10_000);
      const headers = [`Content-Length: ${body.length}`];
      for (const [line, status] of [
        [`PATCH /v2/${repository}/blobs/uploads/x`, 404],
        [`PUT /v2/${repository}/manifests/x`, 400],
        [`GET /v2/${repository}/manifests/x`, 404],
        [`DELETE /v2/${repository}/manifests/x`, 404],
      ] as const) {
        connection.write(requestText(line, headers, body));
        expectAnswer(await connection.expectAnswer(), status);
      }
      connection.write(requestText("GET /v2/"));
      expectAnswer(await connection.expectAnswer(), 200);
      connection.destroy();
    });

    it("may end with one that says so, and with HTTP/1.0", async () => {
      for (const request of [
        requestText("GET /v2/", ["Connection: close"]),
        "GET /v2/ HTTP/1.0\r\nHost: registry.example\r\n\r\n",
        "GET /v2/ HTTP/1.0\r\n\r\n",
      ]) {
        const connection = await RawConnection.open(given.port);
        connection.write(request);
        expectAnswer(await connection.expectAnswer(), 200, { connection: "close" });
        await connection.expectEnd();
        connection.destroy();
      }
    });

    it("are read whichever way a header is repeated", async () => {
      const connection = await RawConnection.open(given.port);
      connection.write(requestText("GET /v2/", ["Accept: a/b", "accept: */*", "ACCEPT: c/d"]));
      expectAnswer(await connection.expectAnswer(), 200);
      connection.destroy();
    });

    it("go on elsewhere when a pull is broken off", async () => {
      const { client } = given;
      const repository = given.repository();
      const blob = content(noise(5_000_000, "broken off"));
      await pushBlob(client, repository, blob);
      for (let round = 0; round < 5; round += 1) {
        const connection = await RawConnection.open(given.port);
        connection.write(requestText(`GET /v2/${repository}/blobs/${blob.digest}`));
        connection.reset();
      }
      await expectBlob(client, repository, blob);
    });
  },
  { sockets: true },
);
