import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import type { Answer, AnswerBody } from "../../src/http/exchange.ts";
import { readAll, startServer, textAnswer } from "./harness.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Source {
  readonly body: ReadableStream<Bytes>;
  readonly cancelled: Promise<unknown>;
  /** The sizes of the buffers that were asked to be filled. */
  readonly asked: number[];
}

/** A byte stream of `size` bytes, each telling its place; fails at `failAt`. */
function byteSource(size: number, failAt = Infinity): Source {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const asked: number[] = [];
  let at = 0;
  const body = new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: 65_536,
    async pull(controller) {
      await new Promise(setImmediate);
      const view = controller.byobRequest?.view;
      assert.ok(view);
      asked.push(view.byteLength);
      if (at >= failAt) {
        controller.error(new Error("the disk is gone"));
        return;
      }
      const count = Math.min(view.byteLength, size - at);
      const bytes = new Uint8Array(view.buffer, view.byteOffset, count);
      for (let index = 0; index < count; index += 1) bytes[index] = placeByte(at + index);
      at += count;
      if (count === 0) controller.close();
      controller.byobRequest?.respond(count);
    },
    cancel: resolve,
  });
  return { body, cancelled: promise, asked };
}

function placeByte(at: number): number {
  return (at * 31 + (at >> 13)) & 0xff;
}

function isInPlace(text: string): boolean {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== placeByte(at)) return false;
  return true;
}

function chunkStream(...chunks: Bytes[]): ReadableStream<Bytes> {
  return ReadableStream.from(chunks);
}

function answerOf(body: AnswerBody, ...headers: [string, string][]): Answer {
  return { status: 200, headers, body };
}

test("repeated headers stay separate lines, in order and as they were written", async (t) => {
  const headers: [string, string][] = [
    ["WWW-Authenticate", "Basic"],
    ["www-authenticate", "Bearer"],
    ["Link", "a"],
    ["Link", "b"],
  ];
  const server = await startServer(t, async () => ({ status: 401, headers, body: null }));
  const client = await server.connect();
  client.get("/");
  const { lines } = await client.answer();
  assert.deepEqual(
    lines.slice(0, 4),
    headers.map(([name, value]) => `${name}: ${value}`),
  );
  assert.ok(lines.includes("Content-Length: 0"));
});

test("bytes and text of all sizes arrive whole, with their length", async (t) => {
  const bodies = [0, 1, 5_000, 12_288, 12_289, 100_000, 3_000_000].map((size) => randomBytes(size));
  const answers: Answer[] = [
    ...bodies.map((body) => answerOf(body)),
    ...bodies.map((body) => answerOf(body, ["content-length", String(body.byteLength)])),
    answerOf("é€😀"),
    answerOf(""),
  ];
  const server = await startServer(
    t,
    async ({ url }) => answers[Number(url.slice(-2))] ?? textAnswer(""),
  );
  const client = await server.connect();
  for (const [index, { body }] of answers.entries()) {
    client.get(`/${String(index).padStart(2, "0")}`);
    const answer = await client.answer();
    const expected = typeof body === "string" ? Buffer.from(body) : body;
    assert.ok(Buffer.from(answer.body, "latin1").equals(expected as Uint8Array));
    assert.equal(answer.header("content-length"), String((expected as Uint8Array).byteLength));
  }
});

test("HEAD, 204 and 304 have no body, and the length that the app gives", async (t) => {
  const sources: Source[] = [];
  const server = await startServer(t, async ({ url }) => {
    if (url.endsWith("/204")) return { status: 204, headers: [], body: null };
    if (url.endsWith("/304")) return { status: 304, headers: [["ETag", '"x"']], body: null };
    if (url.endsWith("/bytes")) return answerOf(new Uint8Array(5), ["Content-Length", "5"]);
    const source = byteSource(10);
    sources.push(source);
    return answerOf(source.body, ["Content-Length", "123456789"]);
  });
  const client = await server.connect();
  for (const [target, length] of [
    ["/204", undefined],
    ["/304", undefined],
    ["/bytes", "5"],
    ["/stream", "123456789"],
  ] as const) {
    client.send(`HEAD ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const answer = await client.answer("HEAD");
    assert.equal(answer.header("content-length"), length);
    assert.equal(answer.header("transfer-encoding"), undefined);
  }
  client.get("/204");
  assert.equal((await client.answer()).status, 204);
  await sources[0]?.cancelled;
});

test("a byte stream arrives whole, read into buffers that grow", async (t) => {
  const size = 8_000_000;
  const source = byteSource(size);
  const server = await startServer(t, async ({ url }) => {
    if (url.endsWith("chunked")) return answerOf(byteSource(300_000).body);
    return answerOf(source.body, ["Content-Length", String(size)]);
  });
  const client = await server.connect();
  client.get("/");
  assert.ok(isInPlace((await client.answer()).body));
  assert.equal(source.asked[0], 65_536);
  assert.equal(Math.max(...source.asked), 1_048_576);
  client.get("/chunked");
  const chunked = await client.answer();
  assert.equal(chunked.body.length, 300_000);
  assert.ok(isInPlace(chunked.body));
});

test("a stream of chunks arrives whole", async (t) => {
  const server = await startServer(t, async ({ body }) => {
    if (body !== null) return answerOf(body as ReadableStream<Bytes>);
    return answerOf(chunkStream(Buffer.from("ab"), Buffer.from("cd")), ["Content-Length", "4"]);
  });
  const client = await server.connect();
  client.get("/");
  assert.equal((await client.answer()).body, "abcd");
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\necho");
  assert.equal((await client.answer()).body, "echo");
});

test("many streams at once keep their bytes apart", async (t) => {
  const server = await startServer(
    t,
    async ({ url }) => {
      const size = Number(url.slice(url.lastIndexOf("/") + 1));
      return answerOf(byteSource(size).body, ["Content-Length", String(size)]);
    },
    { streamBufferBytesMax: 4_000_000 },
  );
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const client = await server.connect();
      const size = 1_000_000 + index * 65_537;
      client.get(`/${size}`);
      const { body } = await client.answer();
      assert.equal(body.length, size);
      assert.ok(isInPlace(body));
    }),
  );
});

const failing: readonly [what: string, body: () => ReadableStream<Bytes>][] = [
  ["fails", () => byteSource(1_000_000, 200_000).body],
  ["ends early", () => byteSource(900_000).body],
  ["is too long", () => byteSource(1_100_000).body],
  ["of chunks ends early", () => chunkStream(new Uint8Array(999_999))],
  ["of chunks is too long", () => chunkStream(new Uint8Array(999_999), new Uint8Array(2))],
];

for (const [what, body] of failing) {
  test(`a stream that ${what} costs the connection: no client takes it for whole`, async (t) => {
    const server = await startServer(t, async () =>
      answerOf(body(), ["Content-Length", "1000000"]),
    );
    const client = await server.connect();
    client.get("/");
    const received = await client.rest();
    assert.ok(received.indexOf("\r\n\r\n") + 4 + 1_000_000 > received.length);
    assert.equal(server.errors.length, 1);
  });
}

test("a chunked stream that fails has no last chunk", async (t) => {
  const server = await startServer(t, async () => answerOf(byteSource(1_000_000, 200_000).body));
  const client = await server.connect();
  client.get("/");
  assert.ok(!(await client.rest()).endsWith("0\r\n\r\n"));
});

test("a client that goes away cancels the stream and aborts the signal", async (t) => {
  for (const kind of ["bytes", "chunks"]) {
    const aborted = Promise.withResolvers<void>();
    const source = byteSource(1_000_000_000);
    const server = await startServer(t, async ({ signal }) => {
      signal.addEventListener("abort", () => aborted.resolve());
      const body = kind === "bytes" ? source.body : source.body.pipeThrough(new TransformStream());
      return answerOf(body, ["Content-Length", "1000000000"]);
    });
    const client = await server.connect();
    client.socket.removeAllListeners("data");
    client.socket.pause();
    client.get("/");
    client.socket.resume();
    await once(client.socket, "data");
    client.socket.destroy();
    await aborted.promise;
    await source.cancelled;
    assert.deepEqual(server.errors, []);
  }
});

test("a client that is gone before the answer costs nothing more", async (t) => {
  const source = byteSource(1_000_000);
  const server = await startServer(t, async ({ signal }) => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return answerOf(source.body, ["Content-Length", "1000000"]);
  });
  const client = await server.connect();
  client.get("/");
  client.socket.resetAndDestroy();
  await source.cancelled;
  assert.deepEqual(source.asked, []);
});

test("an app that throws gets a 500, and so do headers that cannot be", async (t) => {
  const source = byteSource(10);
  const server = await startServer(t, async ({ url }) => {
    if (url.endsWith("/throw")) throw new Error("a bug");
    if (url.endsWith("/stream")) return answerOf(source.body, ["X", "\n"]);
    if (url.endsWith("/bad")) return answerOf("x", ["X", "a\r\nY: b"]);
    return textAnswer("fine");
  });
  const client = await server.connect();
  for (const target of ["/throw", "/stream", "/bad"]) {
    client.get(target);
    const answer = await client.answer();
    assert.equal(answer.status, 500);
    assert.match(answer.body, /"code":"UNKNOWN"/);
    assert.equal(answer.header("docker-distribution-api-version"), "registry/2.0");
  }
  assert.equal(server.errors.length, 3);
  await source.cancelled;
  client.get("/");
  assert.equal((await client.answer()).body, "fine");
});

test("50 readers that stall in a large blob cost less than 60 MiB", async (t) => {
  const size = 256 * 1024 * 1024;
  let reads = 0;
  const server = await startServer(t, async ({ url }) => {
    if (url.endsWith("/small")) return textAnswer("fine");
    const body = new ReadableStream({
      type: "bytes",
      pull(controller) {
        const view = controller.byobRequest?.view;
        reads += 1;
        controller.byobRequest?.respond(view?.byteLength ?? 0);
      },
    });
    return answerOf(body, ["Content-Length", String(size)]);
  });
  const other = await server.connect();
  const settle = async (): Promise<void> => {
    // Until nothing is read any more during many turns of the server.
    for (let before = -1; before !== reads;) {
      before = reads;
      for (let turn = 0; turn < 300; turn += 1) {
        other.get("/small");
        await other.answer();
      }
    }
  };
  await settle();
  const before = process.memoryUsage();
  for (let index = 0; index < 50; index += 1) {
    const client = await server.connect();
    client.socket.removeAllListeners("data");
    client.get("/");
    let received = 0;
    client.socket.on("data", (chunk: Buffer) => {
      received += chunk.byteLength;
      if (received > (index % 10) * 1_000_000) client.socket.pause();
    });
  }
  await settle();
  const after = process.memoryUsage();
  const grownMiB = (after.arrayBuffers - before.arrayBuffers) / 1024 / 1024;
  assert.ok(grownMiB < 60, `${grownMiB} MiB`);
  assert.ok(reads > 50);
});

test("an answer is the same to a standard client", async (t) => {
  const server = await startServer(t, async () => answerOf(byteSource(1_000_000).body));
  const response = await fetch(`${server.url}/v2/`);
  const bytes = await readAll(response.body);
  assert.ok(isInPlace(bytes.toString("latin1")));
});
