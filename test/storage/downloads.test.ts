/** Downloads over connections of our own, from servers that answer as real ones seldom do. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { Downloads } from "../../src/storage/objects/vendor/downloads.ts";
import { testCertificate, testKey } from "./certificate.ts";

const downloads = new Downloads({ skipVerify: true, translate: (error) => error });
after(() => downloads.destroy());

interface LocalServer {
  readonly url: string;
  /** Connections that were made. */
  readonly sockets: Socket[];
  readonly server: Server;
}

/** Calls `answer` for each request, which is nothing but a head. */
async function listen(
  answer: (socket: Socket, head: string) => void,
  options: { readonly isSecure?: boolean } = {},
): Promise<LocalServer> {
  const sockets: Socket[] = [];
  const accept = (socket: Socket): void => {
    sockets.push(socket);
    let come = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      come += chunk.toString("latin1");
      for (let end = come.indexOf("\r\n\r\n"); end !== -1; end = come.indexOf("\r\n\r\n")) {
        const head = come.slice(0, end);
        come = come.slice(end + 4);
        answer(socket, head);
      }
    });
  };
  const isSecure = options.isSecure === true;
  const server = isSecure
    ? createTlsServer({ key: testKey, cert: testCertificate }, accept)
    : createServer(accept);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${isSecure ? "https" : "http"}://127.0.0.1:${port}/key?a=b`, sockets, server };
}

function objectHead(size: number, more = ""): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nETag: "tag"\r\n${more}\r\n`;
}

async function bytesOf(url: string, signal?: AbortSignal): Promise<Buffer> {
  const found = await downloads.get({ url, headers: { host: "bucket" }, signal });
  assert.ok(found);
  const chunks: Buffer[] = [];
  for await (const chunk of found.body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

test("a request is sent as it was signed, and an answer taken apart", async () => {
  let asked = "";
  const { url } = await listen((socket, head) => {
    asked = head;
    socket.write(`HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nX-A: 1\r\nx-a:2\r\n\r\nabc`);
  });
  const headers = { host: "bucket.example.com", range: "bytes=0-2" };
  const found = await downloads.get({ url, headers });
  assert.equal(asked, "GET /key?a=b HTTP/1.1\r\nhost: bucket.example.com\r\nrange: bytes=0-2");
  assert.equal(found?.statusCode, 206);
  assert.deepEqual(found.headers, { "content-length": "3", "x-a": "1, 2" });
  assert.equal(await new Response(found.body).text(), "abc");
});

test("an answer in pieces of any size is the same answer", async () => {
  const body = randomBytes(300_000);
  for (const pieceBytes of [1, 7, 70_000]) {
    const { url } = await listen((socket) => {
      const answer = Buffer.concat([Buffer.from(objectHead(body.length)), body]);
      const first = answer.subarray(0, 200);
      void (async () => {
        for (let at = 0; at < first.length; at += pieceBytes) {
          socket.write(first.subarray(at, at + pieceBytes));
          await setImmediate();
        }
        socket.write(answer.subarray(200));
      })();
    });
    assert.ok((await bytesOf(url)).equals(body), `${pieceBytes}`);
  }
});

test("an empty object is one, too", async () => {
  const { sockets, url } = await listen((socket) => void socket.write(objectHead(0)));
  for (let round = 0; round < 3; round += 1) assert.equal((await bytesOf(url)).length, 0);
  assert.equal(sockets.length, 1);
});

test("what is not an object's answer is left to others", async () => {
  const answers = [
    "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
    "SSH-2.0-OpenSSH\r\n\r\n",
  ];
  for (const answer of answers) {
    const { url } = await listen((socket) => void socket.write(answer));
    assert.equal(await downloads.get({ url, headers: {} }), undefined, answer);
  }
});

for (const isSecure of [false, true]) {
  const over = isSecure ? "over TLS" : "over TCP";

  test(`many downloads at once ${over}, slow and quick, have each their own bytes`, async () => {
    const contents = [0, 1, 2].map((index) => randomBytes(100 + index * 1_500_000));
    const { url } = await listen(
      (socket, head) => {
        const body = contents[Number(/which: ([0-9])/.exec(head)?.[1])];
        assert.ok(body);
        socket.write(objectHead(body.length));
        socket.write(body);
      },
      { isSecure },
    );
    const reading = Array.from({ length: 24 }, async (_, index) => {
      const expected = contents[index % contents.length];
      assert.ok(expected);
      const found = await downloads.get({ url, headers: { which: `${index % contents.length}` } });
      const hash = createHash("sha256");
      for await (const chunk of found?.body ?? []) {
        // The chunk is held while the other downloads go on.
        for (let turn = 0; turn < index % 4; turn += 1) await setImmediate();
        hash.update(chunk);
      }
      assert.equal(hash.digest("hex"), createHash("sha256").update(expected).digest("hex"));
    });
    await Promise.all(reading);
  });

  test(`downloads one after the other ${over} share a connection`, async () => {
    const body = randomBytes(200_000);
    const { sockets, url } = await listen(
      (socket) => {
        socket.write(objectHead(body.length));
        socket.write(body);
      },
      { isSecure },
    );
    for (let round = 0; round < 10; round += 1) {
      assert.ok((await bytesOf(url)).equals(body));
      await setImmediate();
    }
    assert.equal(sockets.length, 1);
  });
}

test("a connection that the server has closed, or will close, is not used again", async () => {
  let closes = false;
  const { sockets, url } = await listen((socket, head) => {
    if (head.includes("last: yes")) socket.write(objectHead(1, "Connection: close\r\n"));
    else socket.write(objectHead(1));
    socket.write("x");
    if (closes) socket.end();
  });
  await bytesOf(url);
  closes = true;
  await bytesOf(url);
  assert.equal(sockets.length, 1);
  closes = false;
  await bytesOf(url);
  assert.equal(sockets.length, 2);
  const last = await downloads.get({ url, headers: { last: "yes" } });
  await new Response(last?.body).text();
  await bytesOf(url);
  assert.equal(sockets.length, 3);
});

test("a connection that ends as it is used again costs another one, and no failure", async () => {
  const { sockets, url } = await listen((socket) => {
    if (sockets.length === 1 && socket.bytesWritten > 0) socket.destroy();
    else socket.write(`${objectHead(1)}x`);
  });
  await bytesOf(url);
  assert.equal((await bytesOf(url)).toString(), "x");
  assert.equal(sockets.length, 2);
});

test("a body that breaks off fails, and so does a server that only hangs up", async () => {
  const { url } = await listen((socket) => {
    socket.write(`${objectHead(100_000)}some`);
    socket.end();
  });
  await assert.rejects(bytesOf(url), { code: "ECONNRESET" });
  const hangsUp = await listen((socket) => void socket.destroy());
  await assert.rejects(bytesOf(hangsUp.url), { code: "ECONNRESET" });
  const gone = await listen(() => undefined);
  gone.server.close();
  await assert.rejects(bytesOf(gone.url), { code: "ECONNREFUSED" });
});

test("a head without end is none", async () => {
  const { url } = await listen(
    (socket) => void socket.write(`HTTP/1.1 200 ${"x".repeat(100_000)}`),
  );
  await assert.rejects(bytesOf(url), /no end/);
});

test("an abort ends the wait for an answer, and for its body", async () => {
  const reason = new Error("nobody waits any more");
  const silent = await listen(() => undefined);
  const abort = new AbortController();
  const waiting = bytesOf(silent.url, abort.signal);
  await until(() => silent.sockets.length > 0);
  abort.abort(reason);
  await assert.rejects(waiting, reason);
  const slow = await listen((socket) => void socket.write(`${objectHead(100)}some`));
  const second = new AbortController();
  const found = await downloads.get({ url: slow.url, headers: {}, signal: second.signal });
  const reader = found?.body.getReader();
  assert.equal((await reader?.read())?.value?.byteLength, 4);
  const rest = reader?.read();
  second.abort(reason);
  await assert.rejects(async () => await rest, reason);
});

test("a reader that pauses stops the server, and one that goes closes its connection", async () => {
  const size = 64 * 1024 * 1024;
  const { sockets, url } = await listen((socket) => {
    socket.write(objectHead(size));
    socket.write(new Uint8Array(size));
  });
  const found = await downloads.get({ url, headers: {} });
  const reader = found?.body.getReader();
  await reader?.read();
  const [socket] = sockets;
  assert.ok(socket);
  // What is on its way fills the system's buffers, and no more is taken.
  for (let turn = 0; turn < 1000; turn += 1) await setImmediate();
  assert.ok(socket.writableLength > 0);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await reader?.cancel();
  await closed;
});

test("a header that would end the request's head is refused", async () => {
  const { url } = await listen(() => undefined);
  await assert.rejects(downloads.get({ url, headers: { a: "b\r\nc: d" } }), TypeError);
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}
