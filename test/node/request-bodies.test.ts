import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import type { IncomingRequest } from "../../src/http/exchange.ts";
import { OciError } from "../../src/oci/errors.ts";
import { type RawClient, readAll, startServer, textAnswer } from "./harness.ts";

const mebibyte = 1024 * 1024;

/**
 * Sends `bytes` as fast as the server takes them; resolves with what it took, when all is sent or
 * the end came.
 */
async function pour(client: RawClient, bytes: number): Promise<number> {
  const { socket } = client;
  const chunk = Buffer.alloc(mebibyte);
  const before = socket.bytesWritten - socket.writableLength;
  const over = new AbortController();
  for (const event of ["end", "close"]) socket.once(event, () => over.abort());
  for (let sent = 0; sent < bytes && !over.signal.aborted; sent += chunk.byteLength) {
    if (socket.write(chunk)) continue;
    await once(socket, "drain", { signal: over.signal }).catch(() => undefined);
  }
  return socket.bytesWritten - socket.writableLength - before;
}

async function echoLength({ body }: IncomingRequest): Promise<ReturnType<typeof textAnswer>> {
  return textAnswer(String((await readAll(body)).byteLength));
}

test("bodies of both framings arrive whole, for default and BYOB readers", async (t) => {
  const server = await startServer(t, async ({ url, body }) => {
    assert.ok(body !== null);
    const hash = createHash("sha256");
    if (url.endsWith("byob")) {
      const reader = body.getReader({ mode: "byob" });
      for (let memory = new ArrayBuffer(100_000); ;) {
        const { done, value } = await reader.read(new Uint8Array(memory));
        if (done) break;
        hash.update(value);
        memory = value.buffer;
      }
    } else {
      for await (const chunk of body) hash.update(chunk);
    }
    return textAnswer(hash.digest("hex"));
  });
  const client = await server.connect();
  for (const target of ["/byob", "/default"]) {
    for (const size of [1, 65_536, 300_001, 3_000_000]) {
      const bytes = randomBytes(size);
      const digest = createHash("sha256").update(bytes).digest("hex");
      client.send(`PUT ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
      client.send(bytes);
      assert.equal((await client.answer()).body, digest);
      client.send(`PUT ${target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
      for (let at = 0; at < size; at += 70_001) {
        const part = bytes.subarray(at, at + 70_001);
        client.send(`${part.byteLength.toString(16)}\r\n`);
        client.send(part);
        client.send("\r\n");
      }
      client.send("0\r\n\r\n");
      assert.equal((await client.answer()).body, digest);
    }
  }
});

test("a request without content has no body", async (t) => {
  const server = await startServer(t, async ({ body }) => textAnswer(String(body === null)));
  const client = await server.connect();
  for (const head of ["GET / HTTP/1.1", "PUT / HTTP/1.1\r\nContent-Length: 0", "POST / HTTP/1.1"]) {
    client.send(`${head}\r\nHost: a\r\n\r\n`);
    assert.equal((await client.answer()).body, "true");
  }
});

test("a body that the app does not read is not taken off the wire", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = await startServer(t, async ({ method, body }) => {
    if (method === "GET") return textAnswer("");
    const reader = body?.getReader();
    const first = await reader?.read();
    await promise;
    let size = first?.value?.byteLength ?? 0;
    for (;;) {
      const next = await reader?.read();
      if (next === undefined || next.done) return textAnswer(String(size));
      size += next.value.byteLength;
    }
  });
  const client = await server.connect();
  const size = 64 * mebibyte;
  client.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  const pouring = pour(client, size);
  // Meanwhile the server has time for others.
  const other = await server.connect();
  for (let turn = 0; turn < 500; turn += 1) {
    other.get("/");
    await other.answer();
  }
  assert.ok(client.socket.bytesWritten - client.socket.writableLength < 32 * mebibyte);
  resolve();
  await pouring;
  assert.equal((await client.answer()).body, String(size));
});

test("a refused gigabyte is answered at once and not swallowed", async (t) => {
  const server = await startServer(t, async () => textAnswer("who are you?", 401), {
    lingerMs: 200,
  });
  for (const framing of ["Content-Length: 1073741824", "Transfer-Encoding: chunked"]) {
    const client = await server.connect();
    client.send(`PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`);
    if (framing.startsWith("T")) client.send("40000000\r\n");
    const pouring = pour(client, 1024 * mebibyte);
    const answer = await client.answer();
    assert.equal(answer.status, 401);
    assert.equal(answer.header("connection"), "close");
    assert.equal(answer.body, "who are you?");
    assert.ok((await pouring) < 32 * mebibyte);
    client.socket.end();
    await client.closed();
  }
});

test("a client that stops at a refusal sees the connection end, not break", async (t) => {
  const server = await startServer(t, async () => textAnswer("no", 404), { lingerMs: 10_000 });
  const client = await server.connect();
  let failure: Error | undefined;
  client.socket.on("error", (error) => (failure = error));
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\nabc");
  assert.equal((await client.answer()).status, 404);
  client.send(Buffer.alloc(100_000));
  await client.rest();
  client.socket.end();
  await client.closed();
  assert.equal(failure, undefined);
});

test("after a small refused body the connection is used again", async (t) => {
  const server = await startServer(t, async ({ url }) => textAnswer(url.slice(-1), 404));
  const client = await server.connect();
  for (const turn of ["1", "2", "3"]) {
    client.send(`PUT /${turn} HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n`);
    const answer = await client.answer();
    assert.equal(answer.body, turn);
    assert.equal(answer.header("connection"), "keep-alive");
    client.send(Buffer.alloc(200_000, 88));
  }
  client.get("/4");
  assert.equal((await client.answer()).body, "4");
});

test("a small refused body that does not come is not waited for", async (t) => {
  const server = await startServer(t, async () => textAnswer("no", 404), { lingerMs: 50 });
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
  assert.equal((await client.answer()).status, 404);
  assert.equal(await client.rest(), "");
});

test("an app that stops in the middle of a body can still answer", async (t) => {
  const server = await startServer(
    t,
    async ({ body }) => {
      for await (const chunk of body ?? []) return textAnswer(`had ${chunk.byteLength > 0}`, 413);
      return textAnswer("nothing");
    },
    { lingerMs: 200 },
  );
  const small = await server.connect();
  for (let turn = 0; turn < 3; turn += 1) {
    small.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    small.send(Buffer.alloc(200_000, 88));
    assert.equal((await small.answer()).body, "had true");
  }
  const large = await server.connect();
  large.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n");
  const pouring = pour(large, 1024 * mebibyte);
  assert.equal((await large.answer()).status, 413);
  assert.ok((await pouring) < 32 * mebibyte);
});

test("Expect: 100-continue gets its 100 when the app first reads the body", async (t) => {
  const order: string[] = [];
  const server = await startServer(t, async (request) => {
    assert.ok(request.body !== null);
    order.push("handled");
    const reading = readAll(request.body);
    return textAnswer((await reading).toString());
  });
  const client = await server.connect();
  for (let turn = 0; turn < 2; turn += 1) {
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n");
    assert.equal((await client.answer()).status, 100);
    client.send("hello");
    assert.equal((await client.answer()).body, "hello");
  }
  assert.deepEqual(order, ["handled", "handled"]);
});

test("a refused Expect: 100-continue gets no 100", async (t) => {
  const server = await startServer(t, async ({ body }) => {
    assert.ok(body !== null);
    return textAnswer("no", 401);
  });
  for (const target of ["/", "//"]) {
    const client = await server.connect();
    client.send(
      `PUT ${target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
    );
    const answer = await client.answer();
    assert.equal(answer.status, target === "/" ? 401 : 400);
    assert.equal(answer.header("connection"), "close");
    assert.equal(await client.rest(), "");
  }
});

const broken: readonly [what: string, head: string, part: string][] = [
  ["is shorter than its Content-Length", "Content-Length: 10", "abc"],
  ["ends within a chunk", "Transfer-Encoding: chunked", "a\r\nabc"],
  ["ends without a last chunk", "Transfer-Encoding: chunked", "3\r\nabc\r\n"],
];

for (const [what, head, part] of broken) {
  test(`a body that ${what} fails, and a client that listens hears so`, async (t) => {
    const server = await startServer(t, async (request) => {
      return await echoLength(request).catch((error: unknown) => {
        assert.ok(error instanceof OciError);
        return textAnswer(error.code, error.status);
      });
    });
    const client = await server.connect();
    client.send(`PUT / HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n${part}`);
    client.socket.end();
    const answer = await client.answer();
    assert.equal(answer.status, 400);
    assert.equal(answer.body, "SIZE_INVALID");
    await client.rest();
  });
}

test("a chunk that is no chunk fails the body", async (t) => {
  const server = await startServer(t, async (request) => {
    return await echoLength(request).catch((error: unknown) => {
      assert.ok(error instanceof OciError);
      return textAnswer("bad", error.status);
    });
  });
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
  const answer = await client.answer();
  assert.equal(answer.status, 400);
  assert.equal(answer.header("connection"), "close");
  await client.rest();
});

test("a client that breaks off fails the body and aborts the signal", async (t) => {
  const seen = Promise.withResolvers<unknown>();
  const aborted = Promise.withResolvers<void>();
  const reading = Promise.withResolvers<void>();
  const server = await startServer(t, async ({ body, signal }) => {
    signal.addEventListener("abort", () => aborted.resolve());
    const reader = body?.getReader();
    await reader?.read();
    reading.resolve();
    await reader?.read().catch(seen.resolve);
    return textAnswer("");
  });
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
  await reading.promise;
  client.socket.resetAndDestroy();
  assert.ok((await seen.promise) instanceof OciError);
  await aborted.promise;
});

test("a body that was broken before the app came to read it fails too", async (t) => {
  const gate = Promise.withResolvers<void>();
  const seen = Promise.withResolvers<unknown>();
  const server = await startServer(t, async ({ body, signal }) => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    await body?.getReader().read().catch(seen.resolve);
    gate.resolve();
    return textAnswer("");
  });
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  client.socket.resetAndDestroy();
  await gate.promise;
  assert.ok((await seen.promise) instanceof OciError);
});
