import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
/** Bytes on a socket that are no proper HTTP, or nearly: refused, and the next client is served. */
import fc from "fast-check";
import { expectAnswer, expectError, type Answer } from "../http/answer.ts";
import { content } from "../http/content.ts";
import { beginUpload, pushBlob } from "../http/pushing.ts";
import { requestText, type RawConnection } from "../http/raw-connection.ts";
import { textNear } from "../oci/arbitraries.ts";
import { nasty } from "./corpus.ts";
import { brokenChunks, malformedRequests, refusedTargets } from "./raw-requests.ts";
import { expectRefused, expectSane, startTarget, type Target } from "./target.ts";

/** That the registry still serves others. */
async function expectAlive(target: Target): Promise<void> {
  const connection = await target.connect();
  connection.write(requestText("GET /v2/", ["Connection: close"]));
  expectAnswer(await connection.expectAnswer(), 200);
  await connection.expectEnd();
  connection.destroy();
}

/** Reads answers until the connection ends; each is sane, whatever it answers. */
async function expectSaneUntilEnd(connection: RawConnection, what: string): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (;;) {
    const answer = await connection.answer();
    if (answer === undefined) return answers;
    expectSane(answer, what);
    answers.push(answer);
  }
}

describe("A request target", () => {
  let target: Target;

  before(async () => {
    target = await startTarget();
  });
  after(() => target.close());

  it("that could be read in two ways is 400, and the connection goes on", async () => {
    for (const raw of refusedTargets) {
      const connection = await target.connect();
      for (const method of ["GET", "HEAD", "PUT", "DELETE"]) {
        connection.write(requestText(`${method} ${raw}`, ["Content-Length: 0"]));
        const answer = await connection.answer(method);
        assert(answer !== undefined, `${method} ${raw} has no answer`);
        assert.equal(answer.status, 400, `${method} ${raw}: ${answer.toString()}`);
        if (method !== "HEAD") expectRefused(answer, raw);
        if (answer.header("connection") === "close") break;
      }
      connection.destroy();
    }
    await expectAlive(target);
  });

  it("that is refused has a request id, as any other has", async () => {
    for (const raw of ["/v2//", "/v2/%2e%2e/", "*"]) {
      const connection = await target.connect();
      connection.write(requestText(`GET ${raw}`));
      const answer = await connection.expectAnswer();
      assert.match(answer.required("x-request-id"), /^[A-Za-z0-9_.:-]{1,64}$/);
      connection.destroy();
    }
  });

  it("may be absolute, and then its host is the one that counts", async () => {
    const connection = await target.connect();
    for (const authority of ["http://other.example:5000", "HTTPS://other.example:5000"]) {
      const line = `POST ${authority}/v2/team/app/blobs/uploads/`;
      connection.write(requestText(line, ["Content-Length: 0"]));
      const answer = await connection.expectAnswer("POST");
      expectAnswer(answer, 202, { location: /^http:\/\/other\.example:5000\/v2\/team\/app\// });
    }
    connection.destroy();
  });

  it("is answered, whatever its bytes are", async () => {
    const texts = fc.oneof(
      fc.constantFrom(...nasty),
      textNear("/v2.%0aefs:@?#[]\\ *-_~é\u00ff"),
      fc.string({ unit: "binary" }),
    );
    const raw = fc.tuple(fc.constantFrom("", "/", "/v2/", "/v2/a/tags/list?n="), texts);
    const property = fc.asyncProperty(raw, async ([start, rest]) => {
      const bytes = Buffer.from(`${start}${rest}`).toString("latin1");
      const connection = await target.connect();
      connection.write(`GET ${bytes} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      connection.end();
      await expectSaneUntilEnd(connection, JSON.stringify(bytes));
      connection.destroy();
    });
    await fc.assert(property, { numRuns: 500 });
    await expectAlive(target);
  });
});

describe("A malformed request", () => {
  let target: Target;

  before(async () => {
    target = await startTarget({ lingerMs: 100, headersTimeoutMs: 2_000 });
  });
  after(() => target.close());

  const refuses = (what: string, bytes: string): void => {
    it(`is refused, with the connection or without: ${what}`, async () => {
      const connection = await target.connect();
      connection.write(bytes);
      expectRefused(await connection.expectAnswer(), what);
      connection.end();
      await expectSaneUntilEnd(connection, what);
      connection.destroy();
      await expectAlive(target);
    });
  };
  for (const [what, bytes] of malformedRequests) refuses(what, bytes);

  it("is 431 when its head is too large, by bytes or by lines", async () => {
    const lines = Array.from({ length: 1000 }, (_, index) => `X-${index}: x`);
    for (const headers of [[`X-Test: ${"x".repeat(64 * 1024)}`], lines]) {
      const connection = await target.connect();
      connection.write(requestText("GET /v2/", headers));
      expectAnswer(await connection.expectAnswer(), 431);
      connection.destroy();
    }
  });

  it("framed twice ends the connection: nobody else's request can be smuggled in it", async () => {
    const inner = requestText("GET /v2/_catalog");
    const headers = ["Content-Length: 4", "Transfer-Encoding: chunked"];
    const connection = await target.connect();
    connection.write(requestText("POST /v2/a/blobs/uploads/", headers, `0\r\n\r\n${inner}`));
    expectRefused(await connection.expectAnswer(), "framed twice");
    await connection.expectEnd();
    connection.destroy();
  });

  it("behind good ones is refused after their answers", async () => {
    for (const [what, bytes] of malformedRequests) {
      const connection = await target.connect();
      connection.write(`${requestText("GET /v2/")}${requestText("HEAD /v2/")}${bytes}`);
      expectAnswer(await connection.expectAnswer(), 200);
      expectAnswer(await connection.expectAnswer("HEAD"), 200);
      expectRefused(await connection.expectAnswer(), what);
      connection.destroy();
    }
    await expectAlive(target);
  });

  it("does not come from sending many good ones ahead", async () => {
    const connection = await target.connect();
    connection.write(requestText("GET /v2/").repeat(60));
    for (let count = 0; count < 60; count += 1) {
      expectAnswer(await connection.expectAnswer(), 200);
    }
    connection.destroy();
    const greedy = await target.connect();
    greedy.write(requestText("GET /v2/").repeat(5000));
    greedy.end();
    await expectSaneUntilEnd(greedy, "5000 requests at once");
    greedy.destroy();
    await expectAlive(target);
  });

  it("of any bytes at all is answered or dropped", async () => {
    const garbage = fc.array(
      fc.oneof(
        fc.constantFrom(...malformedRequests.map(([, bytes]) => bytes.slice(0, 2000))),
        fc.constantFrom("\r\n", "\n", ":", " ", "GET ", "HTTP/1.1", "Host: a\r\n", "0\r\n\r\n"),
        fc.string({ unit: "binary" }),
      ),
      { minLength: 1, maxLength: 5 },
    );
    const property = fc.asyncProperty(garbage, async (pieces) => {
      const connection = await target.connect();
      connection.write(Buffer.from(pieces.join("")));
      connection.end();
      await expectSaneUntilEnd(connection, JSON.stringify(pieces).slice(0, 500));
      connection.destroy();
    });
    await fc.assert(property, { numRuns: 300 });
    await expectAlive(target);
  });
});

describe("A broken body", () => {
  const blob = content("whole");
  let target: Target;

  before(async () => {
    target = await startTarget({ lingerMs: 100, halfCloseGraceMs: 50 });
    await pushBlob(target.client, "team/app", blob);
  });
  after(() => target.close());

  /** The lines that begin a request with a body, on each route that takes one. */
  async function bodied(): Promise<readonly string[]> {
    const begun = await beginUpload(target.client, "team/app");
    const path = new URL(begun).pathname;
    return [
      `PATCH ${path}`,
      `PUT ${path}?digest=${blob.digest}`,
      `POST /v2/team/app/blobs/uploads/?digest=${blob.digest}`,
      "PUT /v2/team/app/manifests/latest",
    ];
  }

  const refuses = (what: string, body: string): void => {
    it(`is refused on each route: ${what}`, async () => {
      for (const line of await bodied()) {
        const connection = await target.connect();
        connection.write(requestText(line, ["Transfer-Encoding: chunked"], body));
        expectRefused(await connection.expectAnswer(), `${line}: ${what}`);
        connection.destroy();
      }
      await expectAlive(target);
    });
  };
  for (const [what, body] of brokenChunks) refuses(what, body);

  it("that ends early is refused, or dropped with its client", async () => {
    for (const framing of [["Content-Length: 1000"], ["Transfer-Encoding: chunked"]] as const) {
      for (const line of await bodied()) {
        const connection = await target.connect();
        const start = framing[0].startsWith("T") ? "3e8\r\nabc" : "abc";
        connection.write(requestText(line, framing, start));
        connection.end();
        for (const answer of await expectSaneUntilEnd(connection, line)) {
          expectRefused(answer, line);
        }
        connection.destroy();
      }
    }
    await expectAlive(target);
  });

  it("that is reset leaves nothing but a resumable upload", async () => {
    for (const line of await bodied()) {
      const connection = await target.connect();
      connection.write(requestText(line, ["Content-Length: 1000"], "abc"));
      connection.reset();
    }
    await expectAlive(target);
  });

  it("longer than its Content-Length is the next request, and none", async () => {
    for (const line of await bodied()) {
      const connection = await target.connect();
      const bytes = Buffer.from(blob.bytes).toString("latin1");
      const headers = [`Content-Length: ${bytes.length}`];
      connection.write(requestText(line, headers, `${bytes} and more\r\n\r\n`));
      expectSane(await connection.expectAnswer(), line);
      const next = await connection.answer();
      if (next !== undefined) expectRefused(next, line);
      connection.end();
      await connection.expectEnd();
      connection.destroy();
    }
    await expectAlive(target);
  });

  it("shorter than its range is no chunk", async () => {
    const location = await beginUpload(target.client, "team/app");
    const path = new URL(location).pathname;
    const connection = await target.connect();
    const headers = ["Content-Range: 0-99", "Content-Length: 10"];
    connection.write(requestText(`PATCH ${path}`, headers, "0123456789"));
    expectError(await connection.expectAnswer(), 400, "SIZE_INVALID");
    connection.destroy();
    expectAnswer(await target.client.get(location), 204, { range: "0-0" });
  });
});
