/** Each connection goes to the worker that has the fewest. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { ConnectionDealer, type ConnectionTaker } from "../../src/cli/connection-dealer.ts";

/** Takes connections in this process. */
class Taker implements ConnectionTaker {
  readonly sockets = new Set<Socket>();
  taken = 0;

  get connectionCount(): number {
    return this.sockets.size;
  }

  take(socket: Socket): void {
    this.taken += 1;
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    socket.write("taken");
  }

  async end(): Promise<void> {
    await Promise.all(
      [...this.sockets].map(async (socket) => {
        const closed = once(socket, "close");
        socket.destroy();
        await closed;
      }),
    );
  }
}

async function start(
  t: TestContext,
  takers: readonly Taker[],
): Promise<{ readonly dealer: ConnectionDealer; readonly dial: () => Promise<Socket> }> {
  const dealer = new ConnectionDealer((error) => assert.fail(String(error)));
  const { port } = await dealer.listen({ host: "127.0.0.1", port: 0 });
  for (const taker of takers) dealer.add(taker);
  const clients: Socket[] = [];
  t.after(async () => {
    for (const client of clients) client.destroy();
    await Promise.all(takers.map((taker) => taker.end()));
    dealer.close();
  });
  const dial = async (): Promise<Socket> => {
    const client = connect({ host: "127.0.0.1", port });
    clients.push(client);
    client.on("error", () => undefined);
    await once(client, "connect");
    return client;
  };
  return { dealer, dial };
}

function isEndOf(client: Socket): (socket: Socket) => boolean {
  return ({ remotePort }) => remotePort === client.localPort;
}

test("short connections between long ones do not move the long ones to one worker", async (t) => {
  const takers = [new Taker(), new Taker()];
  const { dial } = await start(t, takers);
  const counts = (): readonly number[] => takers.map(({ sockets }) => sockets.size);
  for (let pair = 1; pair <= 8; pair += 1) {
    const long = await dial();
    await once(long, "data");
    const short = await dial();
    await once(short, "data");
    const taken = takers
      .map(({ sockets }) => sockets.values().find(isEndOf(short)))
      .find((socket) => socket !== undefined);
    assert(taken !== undefined);
    const closed = once(taken, "close");
    taken.destroy();
    await closed;
    assert.deepEqual(
      counts().toSorted((a, b) => b - a),
      [Math.ceil(pair / 2), Math.floor(pair / 2)],
    );
  }
});

test("equal workers take turns", async (t) => {
  const takers = [new Taker(), new Taker(), new Taker()];
  const { dial } = await start(t, takers);
  for (let count = 0; count < 9; count += 1) {
    const client = await dial();
    await once(client, "data");
    await Promise.all(takers.map((taker) => taker.end()));
  }
  assert.deepEqual(
    takers.map(({ taken }) => taken),
    [3, 3, 3],
  );
});

test("connections wait while there is no worker", async (t) => {
  const { dealer, dial } = await start(t, []);
  const clients = await Promise.all(Array.from({ length: 5 }, dial));
  const answers = Promise.all(clients.map((client) => once(client, "data")));
  const late = new Taker();
  dealer.add(late);
  await answers;
  assert.equal(late.taken, 5);
  await late.end();
});

test("a worker that is gone gets none", async (t) => {
  const [gone, left] = [new Taker(), new Taker()];
  const { dealer, dial } = await start(t, [gone, left]);
  dealer.remove(gone);
  for (let count = 0; count < 3; count += 1) await once(await dial(), "data");
  assert.deepEqual([gone.taken, left.taken], [0, 3]);
});

test("closing ends connections that wait", async (t) => {
  const { dealer, dial } = await start(t, []);
  const client = await dial();
  // The server's end is accepted a moment after the client's is connected.
  const second = await dial();
  dealer.close();
  await Promise.all([client, second].map((each) => once(each.resume(), "close")));
});
