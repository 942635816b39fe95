/** Nodes that bring a new database up to date at once, one of which stops amid it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { assertStatus, Client } from "../../race/support/client.ts";
import { Random, seedFrom } from "../../race/support/random.ts";
import { Cluster } from "../support/cluster.ts";

const random = new Random(seedFrom("CLUSTER_SEED"));

test("nodes that start at once on an empty database all come up", async () => {
  const cluster = await startCluster();
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await assertServes(cluster);
});

test("a node that stops amid a migration keeps nobody from it, and wakes up well", async () => {
  const cluster = await startCluster();
  const [first, ...others] = cluster.nodes;
  assert(first !== undefined);
  const stopped = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<void>();
  const wire = cluster.databaseWire(0);
  wire.watch((piece, direction) => {
    if (direction !== "request" || !piece.includes("create table changes")) return undefined;
    wire.watch(undefined);
    first.freeze();
    stopped.resolve();
    return awake.promise;
  });
  await first.begin();
  await stopped.promise;
  await Promise.all(others.map((node) => node.start()));
  awake.resolve();
  first.wake();
  await first.ready();
  await assertServes(cluster);
});

async function startCluster(): Promise<Cluster> {
  const cluster = await Cluster.start({ nodes: 3, storage: "shared folder", unstarted: true });
  after(() => cluster.close());
  return cluster;
}

async function assertServes(cluster: Cluster): Promise<void> {
  const clients = cluster.nodes.map(({ url }) => new Client(url));
  const content = random.bytes(1000);
  for (const client of clients) {
    const digest = await client.push("any/app", content);
    for (const other of clients) {
      assertStatus(await other.get(`/v2/any/app/blobs/${digest}`), 200);
    }
  }
  for (const client of clients) client.close();
}
