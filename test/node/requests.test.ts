import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request as httpRequest } from "node:http";
import { test } from "node:test";
import type { IncomingRequest } from "../../src/http/exchange.ts";
import { RawClient, readAll, startServer, textAnswer } from "./harness.ts";

/** An app that tells what it sees. */
async function tell(request: IncomingRequest): Promise<ReturnType<typeof textAnswer>> {
  const { method, url, headers } = request;
  const names = ["accept", "Accept", "authorization", "range", "constructor", "toString", "cookie"];
  const seen = Object.fromEntries(names.map((name) => [name, headers.get(name)]));
  const body = (await readAll(request.body)).toString();
  return textAnswer(JSON.stringify({ method, url, seen, body, address: request.remoteAddress }));
}

test("the app sees the method, the URL as it was sent, the headers and the peer", async (t) => {
  const client = await (await startServer(t, tell)).connect();
  client.send(
    "GET /v2/a/manifests/%41?n=1&x=//%2f HTTP/1.1\r\nHost: Reg.example:5000\r\n" +
      "Accept: a/b\r\nACCEPT: c/d\r\nAuthorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n",
  );
  const seen: unknown = JSON.parse((await client.answer()).body);
  assert.deepEqual(seen, {
    method: "GET",
    url: "http://Reg.example:5000/v2/a/manifests/%41?n=1&x=//%2f",
    seen: {
      accept: "a/b, c/d",
      Accept: "a/b, c/d",
      // As a standard Headers has it, so that no layer takes the first and another the last.
      authorization: "Bearer x, Bearer y",
      range: null,
      constructor: null,
      toString: null,
      cookie: null,
    },
    body: "",
    address: "127.0.0.1",
  });
});

test("a target in absolute form is reduced to its path, and its host counts", async (t) => {
  const client = await (await startServer(t, tell)).connect();
  client.get("http://other:1234/v2/?a=b");
  assert.match((await client.answer()).body, /"url":"http:\/\/other:1234\/v2\/\?a=b"/);
});

test("a request of HTTP/1.0 needs no Host, and gets the connection closed", async (t) => {
  const server = await startServer(t, tell);
  const client = await server.connect();
  client.send("GET /v2/ HTTP/1.0\r\n\r\n");
  const answer = await client.answer();
  assert.match(answer.body, new RegExp(`"url":"${server.url}/v2/"`));
  await client.rest();
});

test("path tricks are refused before the app is asked, and the connection is kept", async (t) => {
  let calls = 0;
  const server = await startServer(t, async () => {
    calls += 1;
    return textAnswer("");
  });
  const client = await server.connect();
  const targets = ["//", "/v2/../x", "/v2/./x", "/v2/%2e%2e/x", "/v2/a%2fb", "/v2/a%00", "/v2/%zz"];
  for (const target of targets) {
    client.get(target);
    const answer = await client.answer();
    assert.equal(answer.status, 400, target);
    assert.equal(answer.header("content-type"), "application/json");
    assert.equal(answer.header("docker-distribution-api-version"), "registry/2.0");
    assert.match(answer.body, /^\{"errors":\[\{"code":"NAME_INVALID","message":"/);
  }
  assert.equal(calls, 0);
  assert.equal(server.refused.length, targets.length);
});

const malformedRequests: readonly [what: string, text: string, status: number, code: string][] = [
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "UNSUPPORTED"],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "UNSUPPORTED"],
  ["an invalid Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "UNSUPPORTED"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "UNSUPPORTED"],
  ["the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "UNSUPPORTED"],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "NAME_INVALID"],
  ["another Expect", "PUT / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n", 417, "UNSUPPORTED"],
  ["no HTTP at all", "hello\r\n\r\n", 400, "UNSUPPORTED"],
  ["a raw NUL", "GET /v2/\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "UNSUPPORTED"],
  ["an authority as target", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "UNSUPPORTED"],
  ["a header without colon", "GET / HTTP/1.1\r\nHost: a\r\nbad\r\n\r\n", 400, "UNSUPPORTED"],
  [
    "a body framed twice",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    400,
    "UNSUPPORTED",
  ],
  [
    "two Content-Lengths",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    400,
    "UNSUPPORTED",
  ],
  [
    "a coding we cannot undo",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    400,
    "UNSUPPORTED",
  ],
  ["too long headers", `GET / HTTP/1.1\r\nX: ${"x".repeat(40_000)}\r\n\r\n`, 431, "UNSUPPORTED"],
  ["a too long target", `GET /${"x".repeat(40_000)} HTTP/1.1\r\n\r\n`, 431, "UNSUPPORTED"],
  [
    "too many headers",
    `GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(300)}\r\n`,
    431,
    "UNSUPPORTED",
  ],
  ["CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, "UNSUPPORTED"],
];

for (const [what, text, status, code] of malformedRequests) {
  test(`${what}: ${status} with the error envelope`, async (t) => {
    const server = await startServer(t, tell);
    const client = await server.connect();
    client.send(text);
    const answer = await client.answer();
    assert.equal(answer.status, status);
    assert.equal(answer.header("docker-distribution-api-version"), "registry/2.0");
    const envelope = JSON.parse(answer.body) as { errors: { code: string }[] };
    assert.equal(envelope.errors[0]?.code, code);
    assert.equal(server.refused.length, 1);
    client.socket.end();
    await client.rest();
    assert.deepEqual(server.errors, []);
  });
}

test("the preface of HTTP/2 ends the connection", async (t) => {
  const client = await (await startServer(t, tell)).connect();
  client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await client.rest();
});

test("an upgrade that nobody offers is ignored", async (t) => {
  const client = await (await startServer(t, tell)).connect();
  for (let turn = 0; turn < 2; turn += 1) {
    client.get(
      "/v2/",
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAM",
    );
    assert.equal((await client.answer()).status, 200);
  }
  client.send(
    "PUT /v2/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Content-Length: 2\r\n\r\nhi",
  );
  assert.match((await client.answer()).body, /"body":"hi"/);
});

test("pipelined requests are handled one after the other and answered in order", async (t) => {
  const running: string[] = [];
  const overlaps: string[] = [];
  const server = await startServer(t, async ({ url, body }) => {
    running.push(url);
    if (running.length > 1) overlaps.push(url);
    await new Promise(setImmediate);
    const text = (await readAll(body)).toString();
    running.pop();
    return textAnswer(`${new URL(url).pathname} ${text}`);
  });
  const client = await server.connect();
  client.send(
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
      "PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
      "GET //bad HTTP/1.1\r\nHost: a\r\n\r\n" +
      "PUT /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" +
      "GET /5 HTTP/1.1\r\nHost: a\r\n\r\nrubbish\r\n\r\n",
  );
  assert.equal((await client.answer()).body, "/1 ");
  assert.equal((await client.answer()).body, "/2 abc");
  assert.equal((await client.answer()).status, 400);
  assert.equal((await client.answer()).body, "/4 hi");
  assert.equal((await client.answer()).body, "/5 ");
  const last = await client.answer();
  assert.equal(last.status, 400);
  assert.equal(last.header("connection"), "close");
  assert.equal(await client.rest(), "");
  assert.deepEqual(overlaps, []);
});

test("a client that sends very many requests ahead is cut off", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = await startServer(t, async () => {
    await promise;
    return textAnswer("");
  });
  const client = await server.connect();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
  await client.rest();
  resolve();
});

test("an ordinary client reuses its connection", async (t) => {
  const server = await startServer(t, tell);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ports = new Set<number | undefined>();
  for (let turn = 0; turn < 5; turn += 1) {
    const request = httpRequest({ port: server.port, host: "127.0.0.1", agent, method: "PUT" });
    request.end("x".repeat(turn * 50_000));
    const [response] = (await once(request, "response")) as [NodeJS.ReadableStream];
    ports.add(request.socket?.localPort);
    await readAll(response as unknown as ReadableStream<Uint8Array>);
  }
  assert.equal(ports.size, 1);
});

test("one client's mistakes do not touch another's connection", async (t) => {
  const server = await startServer(t, async (request) => {
    return await tell(request).catch(() => textAnswer("", 400));
  });
  const good = await server.connect();
  for (let turn = 0; turn < 20; turn += 1) {
    const bad = await RawClient.connect(server.port);
    bad.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    bad.socket.resetAndDestroy();
    good.get("/v2/");
    assert.equal((await good.answer()).status, 200);
  }
  assert.deepEqual(server.errors, []);
});
