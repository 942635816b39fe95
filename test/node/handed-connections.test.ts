/** Connections that another process has accepted are served as if they had been accepted here. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import type { Handle } from "../../src/http/exchange.ts";
import { serveConnections, type CarrierOptions } from "../../src/node/serve.ts";
import { RawClient, readAll, textAnswer } from "./harness.ts";

interface Handed {
  readonly server: ReturnType<typeof serveConnections>;
  readonly port: number;
  connect(): Promise<RawClient>;
}

async function startHanded(
  t: TestContext,
  handle: Handle,
  limits: NonNullable<CarrierOptions["limits"]> = {},
): Promise<Handed> {
  let take: (socket: Socket) => void = (socket) => socket.destroy();
  const acceptor = createServer({ pauseOnConnect: true }, (socket) => take(socket));
  acceptor.listen({ host: "127.0.0.1", port: 0 });
  await once(acceptor, "listening");
  const address = acceptor.address() as AddressInfo;
  const start = (given: (socket: Socket) => void): void => {
    take = (socket) => {
      given(socket);
      // A socket from another process reads from its beginning; this one was told not to.
      socket.resume();
    };
  };
  const server = serveConnections({ handle, limits }, { address, start });
  const clients: RawClient[] = [];
  t.after(async () => {
    for (const client of clients) client.socket.destroy();
    await server.close({ drainMs: 0 });
    acceptor.close();
  });
  const connect = async (): Promise<RawClient> => {
    const client = await RawClient.connect(address.port);
    clients.push(client);
    return client;
  };
  return { server, port: address.port, connect };
}

test("a handed connection serves one request after the other", async (t) => {
  const { connect, port, server } = await startHanded(t, async (request) =>
    textAnswer(`${request.method} ${(await readAll(request.body)).toString()}`),
  );
  const client = await connect();
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
  assert.equal((await client.answer()).body, "POST body");
  client.send("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await client.answer()).body, "GET ");
  assert.equal(server.url, `http://127.0.0.1:${port}`);
  assert.equal(server.connectionCount, 1);
});

test("a client that has shut down its sending side gets its answer", async (t) => {
  const { connect } = await startHanded(t, async () => textAnswer("still here"));
  const client = await connect();
  client.socket.end("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await client.answer()).body, "still here");
});

test("headers that do not come end a handed connection too", async (t) => {
  const limits = { headersTimeoutMs: 200 };
  const { connect } = await startHanded(t, async () => textAnswer("never"), limits);
  const client = await connect();
  client.send("GET / HTTP/1.1\r\n");
  assert.equal((await client.answer()).status, 408);
});

test("connections beyond the limit are closed as they come", async (t) => {
  const limits = { connectionsMax: 1 };
  const { connect } = await startHanded(t, async () => textAnswer("one"), limits);
  const first = await connect();
  first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await first.answer()).body, "one");
  const second = await connect();
  assert.equal(await second.rest(), "");
});

test("closing waits for what is in flight, and ends what is idle", async (t) => {
  const entered = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const { connect, server } = await startHanded(t, async (request) => {
    if (request.url.endsWith("/slow")) {
      entered.resolve();
      await promise;
    }
    return textAnswer("done");
  });
  const idle = await connect();
  idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await idle.answer();
  const busy = await connect();
  busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  await entered.promise;
  const closed = server.close({ drainMs: 60_000 });
  assert.equal(await idle.rest(), "");
  assert.equal(server.connectionCount, 1);
  resolve();
  const answer = await busy.answer();
  assert.equal(answer.body, "done");
  assert.equal(answer.header("connection"), "close");
  await closed;
  assert.equal(server.connectionCount, 0);
});

test("what does not end in time is ended", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  t.after(() => resolve());
  const entered = Promise.withResolvers<void>();
  const { connect, server } = await startHanded(t, async () => {
    entered.resolve();
    await promise;
    return textAnswer("late");
  });
  const client = await connect();
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await entered.promise;
  await server.close({ drainMs: 1 });
  assert.equal(await client.rest(), "");
});
