import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer, IncomingRequest } from "../../src/http/exchange.ts";
import { serve } from "../../src/node/serve.ts";
import { OciError } from "../../src/oci/errors.ts";
import { readAll, startServer, textAnswer } from "./harness.ts";

async function echo({ body }: IncomingRequest): Promise<Answer> {
  try {
    return textAnswer((await readAll(body)).toString());
  } catch (error) {
    assert.ok(error instanceof OciError);
    return textAnswer(error.code, error.status);
  }
}

/** A stream of chunks that a test hands out. */
function manualStream(): {
  body: ReadableStream<Uint8Array<ArrayBuffer>>;
  push(text: string): void;
  close(): void;
} {
  let controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (made) => void (controller = made),
  });
  return {
    body,
    push: (text) => controller?.enqueue(new Uint8Array(Buffer.from(text))),
    close: () => controller?.close(),
  };
}

/** Calls back every `ms`, `times` over. */
async function drip(times: number, ms: number, callback: (turn: number) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let turn = 0;
  const timer = setInterval(() => {
    callback(turn);
    turn += 1;
    if (turn === times) {
      clearInterval(timer);
      resolve();
    }
  }, ms);
  await promise;
}

test("headers that come too slowly: 408, on a fresh connection and on a used one", async (t) => {
  const server = await startServer(t, echo, { headersTimeoutMs: 60 });
  const fresh = await server.connect();
  const used = await server.connect();
  used.get("/");
  await used.answer();
  for (const client of [fresh, used]) {
    client.send("GET / HTTP/1.1\r\nHost:");
    const answer = await client.answer();
    assert.equal(answer.status, 408);
    assert.equal(answer.header("docker-distribution-api-version"), "registry/2.0");
    client.socket.end();
    await client.rest();
  }
});

test("slow header bytes do not extend the time for the whole head", async (t) => {
  const server = await startServer(t, echo, { headersTimeoutMs: 100 });
  const client = await server.connect();
  client.send("GET / HTTP/1.1\r\n");
  const timer = setInterval(() => client.send("X: y\r\n"), 10);
  t.after(() => clearInterval(timer));
  assert.equal((await client.answer()).status, 408);
});

test("a connection on which nothing is ever sent is closed", async (t) => {
  const server = await startServer(t, echo, { headersTimeoutMs: 50 });
  await (await server.connect()).rest();
});

test("an idle connection is closed after the keep-alive time", async (t) => {
  const server = await startServer(t, echo, { keepAliveTimeoutMs: 1 });
  const client = await server.connect();
  client.get("/");
  await client.answer();
  assert.equal(await client.rest(), "");
});

test("a body that stands still: 408, and the connection ends", async (t) => {
  const server = await startServer(t, echo, { idleTimeoutMs: 60 });
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  const answer = await client.answer();
  assert.equal(answer.status, 408);
  assert.equal(answer.header("connection"), "close");
  client.socket.end();
  await client.rest();
});

test("a body that stands still, and an app that does not care: closed all the same", async (t) => {
  const server = await startServer(
    t,
    async ({ body, signal }) => {
      await readAll(body).catch(() => undefined);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return textAnswer("");
    },
    { idleTimeoutMs: 60 },
  );
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  assert.equal(await client.rest(), "");
});

test("a slow body may take much longer than the idle time", async (t) => {
  const server = await startServer(t, echo, { idleTimeoutMs: 150, headersTimeoutMs: 150 });
  const client = await server.connect();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
  await drip(20, 25, () => client.send("x"));
  const answer = await client.answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.body, "x".repeat(20));
});

test("an app may take its time over an answer, and over a stream", async (t) => {
  const slow = manualStream();
  const server = await startServer(
    t,
    async ({ url }) => {
      if (url.endsWith("/stream")) return { status: 200, headers: [], body: slow.body };
      await drip(1, 250, () => undefined);
      return textAnswer("at last");
    },
    { idleTimeoutMs: 50 },
  );
  const client = await server.connect();
  client.get("/");
  assert.equal((await client.answer()).body, "at last");
  client.get("/stream");
  await drip(2, 150, () => slow.push("x"));
  slow.close();
  assert.equal((await client.answer()).body, "xx");
});

test("a client that does not read its answer is cut off after the idle time", async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const server = await startServer(
    t,
    async () => {
      const body = new ReadableStream({
        type: "bytes",
        pull(controller) {
          controller.byobRequest?.respond(controller.byobRequest.view?.byteLength ?? 0);
        },
        cancel: () => cancelled.resolve(),
      });
      return { status: 200, headers: [["Content-Length", "1000000000"]], body };
    },
    { idleTimeoutMs: 80 },
  );
  const client = await server.connect();
  client.socket.removeAllListeners("data");
  client.socket.pause();
  client.get("/");
  await cancelled.promise;
});

test("a client that has shut down its sending side gets its answer", async (t) => {
  const server = await startServer(t, async ({ signal }) => {
    await new Promise(setImmediate);
    return textAnswer(String(signal.aborted));
  });
  const client = await server.connect();
  client.get("/");
  client.socket.end();
  assert.equal((await client.answer()).body, "false");
  assert.equal(await client.rest(), "");
});

test("a client silent after that counts as gone, yet may still be answered", async (t) => {
  const server = await startServer(
    t,
    async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return textAnswer("still there?");
    },
    { halfCloseGraceMs: 20 },
  );
  const client = await server.connect();
  client.get("/");
  client.socket.end();
  assert.equal((await client.answer()).body, "still there?");
});

test("a client that closes its connection while it waits aborts the signal", async (t) => {
  const aborted = Promise.withResolvers<void>();
  const handled = Promise.withResolvers<void>();
  const server = await startServer(
    t,
    async ({ signal }) => {
      signal.addEventListener("abort", () => aborted.resolve());
      handled.resolve();
      await aborted.promise;
      return textAnswer("");
    },
    { halfCloseGraceMs: 20 },
  );
  const client = await server.connect();
  client.get("/");
  await handled.promise;
  client.socket.destroy();
  await aborted.promise;
});

test("a signal does not abort once the answer is out, and is one object", async (t) => {
  const signals: AbortSignal[] = [];
  const server = await startServer(t, async (request) => {
    assert.equal(request.signal, request.signal);
    signals.push(request.signal);
    return textAnswer("");
  });
  const client = await server.connect();
  client.get("/");
  await client.answer();
  client.socket.destroy();
  const other = await server.connect();
  other.get("/");
  await other.answer();
  assert.deepEqual(
    signals.map((signal) => signal.aborted),
    [false, false],
  );
});

test("closing lets what is in flight finish, and says so", async (t) => {
  const gate = Promise.withResolvers<void>();
  const slow = manualStream();
  let inFlight = 0;
  const started = Promise.withResolvers<void>();
  const server = await startServer(t, async ({ url }) => {
    inFlight += 1;
    if (inFlight === 2) started.resolve();
    if (url.endsWith("/stream")) return { status: 200, headers: [], body: slow.body };
    await gate.promise;
    return textAnswer("done");
  });
  const waiting = await server.connect();
  const streaming = await server.connect();
  const fresh = await server.connect();
  waiting.get("/");
  streaming.get("/stream");
  await started.promise;
  const closing = server.close({ drainMs: 60_000 });
  assert.equal(server.close({ drainMs: 0 }), closing);
  await fresh.rest();
  const late = await fetch(`http://127.0.0.1:${waiting.socket.remotePort}/`).catch(() => "refused");
  assert.equal(late, "refused");
  gate.resolve();
  const answer = await waiting.answer();
  assert.equal(answer.body, "done");
  assert.equal(answer.header("connection"), "close");
  slow.push("end");
  slow.close();
  assert.equal((await streaming.answer()).body, "end");
  await closing;
  assert.equal(server.connectionCount, 0);
});

test("closing waits no longer than it may", async (t) => {
  const aborted = Promise.withResolvers<void>();
  const handled = Promise.withResolvers<void>();
  const server = await startServer(t, async ({ signal }) => {
    handled.resolve();
    signal.addEventListener("abort", () => aborted.resolve());
    await aborted.promise;
    return textAnswer("");
  });
  const client = await server.connect();
  client.get("/");
  await handled.promise;
  await server.close({ drainMs: 20 });
  await aborted.promise;
  assert.equal(await client.rest(), "");
});

test("closing ends a kept connection, and lets a request on its way arrive", async (t) => {
  const server = await startServer(t, echo);
  const kept = await server.connect();
  kept.get("/");
  await kept.answer();
  const halfway = await server.connect();
  halfway.send("GET /");
  // The server has read those bytes once it has answered a request that was sent later.
  kept.get("/");
  await kept.answer();
  const closing = server.close({ drainMs: 60_000 });
  await kept.rest();
  halfway.send(" HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal((await halfway.answer()).header("connection"), "close");
  await closing;
});

test("connections beyond the limit are closed as they come", async (t) => {
  const server = await startServer(t, echo, { connectionsMax: 1 });
  const first = await server.connect();
  first.get("/");
  await first.answer();
  const second = await server.connect();
  assert.equal(await second.rest(), "");
  first.get("/");
  assert.equal((await first.answer()).status, 200);
});

test("a port in use is an error of serve()", async (t) => {
  const server = await startServer(t, echo);
  const again = serve({ handle: echo, host: "127.0.0.1", port: server.port });
  await assert.rejects(again, { code: "EADDRINUSE" });
});

test("a server tells where it is", async (t) => {
  const server = await startServer(t, echo);
  assert.equal(server.url, `http://127.0.0.1:${server.port}`);
  const six = await serve({ handle: echo, host: "::1", port: 0 }).catch(() => undefined);
  if (six === undefined) return;
  assert.equal(six.url, `http://[::1]:${six.port}`);
  await six.close({ drainMs: 0 });
});

test("rubbish of all kinds leaves no connection behind", async (t) => {
  const server = await startServer(t, echo, { lingerMs: 50, headersTimeoutMs: 100 });
  const texts = [
    "\0\0\0\0",
    "GET",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "GET / HTTP/9.9\r\n\r\n",
    "X".repeat(100_000),
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    `PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;${"e".repeat(40_000)}\r\n`,
  ];
  for (const text of texts) {
    const client = await server.connect();
    client.send(Buffer.from(text, "latin1"));
    const received = await client.rest();
    assert.match(received, /^$|^HTTP\/1.1 4\d\d .*(?:"errors":|UNSUPPORTED$|SIZE_INVALID$)/s);
    client.socket.end();
    await client.closed();
  }
  assert.deepEqual(server.errors, []);
  await server.close({ drainMs: 60_000 });
});
