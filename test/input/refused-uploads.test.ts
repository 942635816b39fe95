/** Uploads that cannot succeed: refused at once. And clients that never finish. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { expectAnswer, expectError } from "../http/answer.ts";
import { digestOf, noise } from "../http/content.ts";
import { beginUpload } from "../http/pushing.ts";
import { requestText } from "../http/raw-connection.ts";
import { expectRefused, startTarget, type Target } from "./target.ts";

const gigabyte = 1024 * 1024 * 1024;
/** Buffers of both kernels and of Node, and what is drained out of courtesy. */
const swallowedBytesMax = 24 * 1024 * 1024;
const chunk = new Uint8Array(64 * 1024);
const digest = digestOf(noise(10, "never pushed"));

interface Refused {
  readonly line: string;
  readonly headers?: readonly string[];
  readonly status: number;
}

async function refusals(target: Target): Promise<readonly Refused[]> {
  const { pathname: begun } = new URL(await beginUpload(target.client, "team/app"));
  const uploads = "/v2/team/app/blobs/uploads/";
  return [
    { line: `PATCH ${uploads}unknown`, status: 404 },
    { line: `PUT ${uploads}unknown?digest=${digest}`, status: 404 },
    { line: `PATCH ${begun}`, headers: ["Content-Range: 5-1073741828"], status: 416 },
    {
      line: `PUT ${begun}?digest=${digest}`,
      headers: ["Content-Range: 5-1073741828"],
      status: 416,
    },
    { line: `PATCH ${begun}?_state=7`, status: 416 },
    { line: `PATCH ${begun}?_state=x`, status: 404 },
    { line: `PATCH ${begun}`, headers: ["Content-Range: 0-5"], status: 400 },
    { line: `PATCH ${begun}`, headers: ["Content-Range: x"], status: 400 },
    { line: `PATCH ${begun}`, headers: ["Content-Type: text/plain"], status: 415 },
    { line: `PUT ${begun}`, status: 400 },
    { line: `PUT ${begun}?digest=x`, status: 400 },
    { line: `POST ${uploads}?digest=x`, status: 400 },
    { line: `POST /v2/UPPER/blobs/uploads/?digest=${digest}`, status: 400 },
    { line: "PUT /v2/team/app/manifests/latest", status: 413 },
    { line: "PUT /v2/team/app/manifests/.x", status: 400 },
    { line: "PUT /v2/team//app/manifests/latest", status: 400 },
    { line: "PUT /v2/team/app/tags/list", status: 405 },
    { line: "PUT /nowhere", status: 404 },
  ];
}

describe("A gigabyte that nobody wants", () => {
  let target: Target;

  before(async () => {
    target = await startTarget({ lingerMs: 50 });
  });
  after(() => target.close());

  it("is refused before it is sent, and then the connection ends", async () => {
    for (const { line, headers = [], status } of await refusals(target)) {
      const connection = await target.connect();
      const head = requestText(line, [`Content-Length: ${gigabyte}`, ...headers]);
      connection.write(`${head}the first bytes`);
      const answer = await connection.expectAnswer();
      assert.equal(answer.status, status, `${line}: ${answer.toString()}`);
      expectRefused(answer, line);
      assert.equal(answer.header("connection"), "close", line);
      const swallowed = await connection.writeUntilRefused(chunk, gigabyte);
      assert(swallowed < swallowedBytesMax, `${line}: ${swallowed} bytes were swallowed`);
      await connection.expectEnd();
      connection.destroy();
    }
  });

  it("is refused as early when its length is not announced", async () => {
    for (const { line, headers = [], status } of await refusals(target)) {
      const isRangeOrSize = headers.some((header) => header.startsWith("Content-Range: 0-5"));
      // Only its bytes tell that these are too many.
      if (status === 413 || isRangeOrSize) continue;
      const connection = await target.connect();
      connection.write(requestText(line, ["Transfer-Encoding: chunked", ...headers]));
      connection.write(`${gigabyte.toString(16)}\r\n`);
      const answer = await connection.expectAnswer();
      assert.equal(answer.status, status, `${line}: ${answer.toString()}`);
      const swallowed = await connection.writeUntilRefused(chunk, gigabyte);
      assert(swallowed < swallowedBytesMax, `${line}: ${swallowed} bytes were swallowed`);
      await connection.expectEnd();
      connection.destroy();
    }
  });

  it("is refused once it is known to be too much", async () => {
    const { pathname: begun } = new URL(await beginUpload(target.client, "team/app"));
    for (const [line, headers, status] of [
      ["PUT /v2/team/app/manifests/latest", [], 413],
      [`PATCH ${begun}`, ["Content-Range: 0-99999"], 400],
      [`PUT ${begun}?digest=${digest}`, ["Content-Range: 0-99999"], 400],
    ] as const) {
      const connection = await target.connect();
      connection.write(requestText(line, ["Transfer-Encoding: chunked", ...headers]));
      connection.write(`${gigabyte.toString(16)}\r\n`);
      const swallowed = await connection.writeUntilRefused(chunk, gigabyte / 8);
      assert(swallowed < swallowedBytesMax, `${line}: ${swallowed} bytes were swallowed`);
      expectAnswer(await connection.expectAnswer(), status);
      connection.destroy();
    }
  });

  it("is not sent at all by a client that asks first", async () => {
    for (const { line, headers = [], status } of await refusals(target)) {
      const connection = await target.connect();
      const asking = [`Content-Length: ${gigabyte}`, "Expect: 100-continue"];
      connection.write(requestText(line, [...asking, ...headers]));
      const answer = await connection.expectAnswer();
      assert.equal(answer.status, status, `${line}: ${answer.toString()}`);
      await connection.expectEnd();
      connection.destroy();
    }
  });

  it("does not cost the connection when it was only a few bytes", async () => {
    for (const { line, headers = [], status } of await refusals(target)) {
      if (status === 413) continue;
      const connection = await target.connect();
      const body = "x".repeat(5000);
      connection.write(requestText(line, [`Content-Length: ${body.length}`, ...headers], body));
      const answer = await connection.expectAnswer();
      expectRefused(answer, line);
      connection.write(requestText("GET /v2/"));
      expectAnswer(await connection.expectAnswer(), 200);
      connection.destroy();
    }
  });
});

describe("A client that does not go on", () => {
  let target: Target;

  before(async () => {
    target = await startTarget({
      ...{ idleTimeoutMs: 150, headersTimeoutMs: 200, keepAliveTimeoutMs: 300 },
      ...{ lingerMs: 100, halfCloseGraceMs: 50 },
    });
  });
  after(() => target.close());

  it("in the middle of a body is told so, and what it sent is kept", async () => {
    const { client } = target;
    const location = await beginUpload(client, "team/app");
    const { pathname } = new URL(location);
    const connection = await target.connect();
    connection.write(requestText(`PATCH ${pathname}`, ["Content-Length: 1000"], "0123456789"));
    const answer = await connection.expectAnswer("PATCH");
    expectRefused(answer, "a slow chunk");
    await connection.expectEnd();
    connection.destroy();
    expectAnswer(await client.get(location), 204, { range: "0-9" });
  });

  it("in the middle of a manifest, or of a blob in one POST, is told so", async () => {
    for (const line of [
      "PUT /v2/team/app/manifests/latest",
      `POST /v2/team/app/blobs/uploads/?digest=${digest}`,
    ]) {
      const connection = await target.connect();
      connection.write(requestText(line, ["Content-Length: 1000"], "0123456789"));
      expectError(await connection.expectAnswer(), 408, "UNSUPPORTED");
      await connection.expectEnd();
      connection.destroy();
    }
  });

  it("in the middle of its headers, or before them, is not waited for", async () => {
    for (const start of ["", "GET", "GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Test"]) {
      const connection = await target.connect();
      connection.write(start);
      const answer = await connection.answer();
      if (answer !== undefined) expectError(answer, 408, "UNSUPPORTED");
      await connection.expectEnd();
      connection.destroy();
    }
  });

  it("in the middle of a refused body loses its connection, but has its answer", async () => {
    const connection = await target.connect();
    const line = "PATCH /v2/team/app/blobs/uploads/unknown";
    connection.write(requestText(line, ["Content-Length: 1000"], "0123456789"));
    expectError(await connection.expectAnswer(), 404, "BLOB_UPLOAD_UNKNOWN");
    await connection.expectEnd();
    connection.destroy();
  });
});
