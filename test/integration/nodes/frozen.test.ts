/**
 * A node stops at the worst moment, past every lease, and wakes when others have long done without
 * it. Where it stops is known: at a message to the database or to the store, which is held back
 * until it wakes.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  assertStatus,
  Client,
  locationOf,
  octets,
  offsetOf,
  withDigest,
} from "../../race/support/client.ts";
import { Random, seedFrom, sha256 } from "../../race/support/random.ts";
import { until } from "../../servers/server.ts";
import { Cluster, uploadLeaseMs, type ClusterOptions } from "../support/cluster.ts";
import { lasting } from "../support/pauses.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";

const mib = 1024 * 1024;
const seed = seedFrom("CLUSTER_SEED");

/** The node that stops; it alone does the upkeep. */
const sleeper = 0;

/** Past the leases of uploads and of jobs. */
const pastLeasesMs = 2 * uploadLeaseMs;

const claiming = /update "blobs" set "state" = \$1, "claim"/;
const deletingRow = /delete from "blobs" where "claim"/;
const deletingObject = /^DELETE \//;
const claimingOrphan = /insert into "blobs"/;

interface Frozen {
  /** Resolves when the node stands still. */
  readonly stopped: Promise<void>;
  /** The message goes on as well. */
  wake(): void;
}

function freezeAt(cluster: Cluster, wire: TcpProxy, message: RegExp): Frozen {
  const node = cluster.node(sleeper);
  const stopped = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<void>();
  wire.watch((piece, direction) => {
    if (direction !== "request" || !message.test(piece.toString("latin1"))) return undefined;
    wire.watch(undefined);
    node.freeze();
    stopped.resolve();
    return awake.promise;
  });
  return {
    stopped: stopped.promise,
    wake: () => {
      awake.resolve();
      node.wake();
    },
  };
}

for (const storage of ["ceph", "shared folder"] as const) {
  describe(`A node that stops, with PostgreSQL and ${storage} (CLUSTER_SEED=${seed})`, () => {
    frozen(storage);
  });
}

function frozen(storage: ClusterOptions["storage"]): void {
  const random = new Random(seed);
  const given: { cluster?: Cluster; clients: Client[] } = { clients: [] };

  before(async () => {
    const cluster = await Cluster.start({ nodes: 2, storage, maintenance });
    given.cluster = cluster;
    given.clients = cluster.nodes.map(({ url }) => new Client(url));
  });
  after(async () => {
    for (const client of given.clients) client.close();
    await given.cluster?.close();
  });

  const cluster = (): Cluster => {
    assert(given.cluster !== undefined, "the cluster has started");
    return given.cluster;
  };
  const at = (number: number): Client => {
    const client = given.clients[number];
    assert(client !== undefined);
    return client;
  };
  const assertPulls = async (name: string, content: Uint8Array): Promise<void> => {
    for (const client of given.clients) {
      const pulled = await client.get(`/v2/${name}/blobs/${sha256(content)}`);
      assertStatus(pulled, 200);
      assert(pulled.bytes.equals(content), "every node gives the same bytes");
    }
  };
  /** What the node that woke had begun is behind it, and it has looked at everything anew. */
  const upkeepHasPassed = async (): Promise<void> => {
    const [begun] = await leases(cluster());
    assert(begun !== undefined);
    await until("two more runs of the upkeep", async () => {
      const [now] = await leases(cluster());
      return now !== undefined && Number(now.epoch) > Number(begun.epoch) + 2;
    });
  };

  test("amid an upload's body writes into nothing afterwards", async () => {
    const name = "frozen/upload";
    const content = random.bytes(16 * mib);
    const half = 7 * mib;
    const begun = await at(0).beginUpload(name);
    const first = await at(0).patch(begun, 0, content.subarray(0, mib));
    assertStatus(first, 202);
    const held = at(0).open("PATCH", locationOf(first), octets);
    await held.send(content.subarray(mib, half));
    cluster().node(sleeper).freeze();
    await lasting(pastLeasesMs);

    const status = await at(1).get(locationOf(first));
    assertStatus(status, 204);
    const offset = offsetOf(status);
    assert(offset >= mib && offset <= half, "what was acknowledged is there");
    const rest = { headers: octets, body: content.subarray(offset) };
    const end = withDigest(locationOf(status), sha256(content));
    assertStatus(await at(1).send("PUT", end, rest), 201);
    cluster().node(sleeper).wake();
    // Other bytes, which must not get anywhere.
    await held.send(random.bytes(9 * mib));
    assertStatus(await held.end(), 404, 416);
    await assertPulls(name, content);
  });

  test("amid an upload's body moves nothing for whoever has gone on since", async () => {
    const name = "frozen/gone-on";
    const content = random.bytes(20 * mib);
    const begun = await at(0).beginUpload(name);
    const held = at(0).open("PATCH", begun, octets);
    await held.send(content.subarray(0, 6 * mib));
    cluster().node(sleeper).freeze();
    await lasting(pastLeasesMs);

    const status = await at(1).get(begun);
    assertStatus(status, 204);
    const from = offsetOf(status);
    const patched = await at(1).patch(locationOf(status), from, content.subarray(from, 13 * mib));
    assertStatus(patched, 202);
    cluster().node(sleeper).wake();
    await held.send(random.bytes(3 * mib));
    assertStatus(await held.end(), 416);
    for (const client of given.clients) {
      const now = await client.get(locationOf(patched));
      assert.equal(offsetOf(now), 13 * mib, "the upload stands where it was acknowledged");
    }
    const rest = content.subarray(13 * mib);
    assertStatus(await at(0).finish(locationOf(patched), sha256(content), rest), 201);
    await assertPulls(name, content);
  });

  const moments = [
    ["claims a blob", claiming, "database"],
    ["deletes the row of a blob", deletingRow, "database"],
    ...(storage === "ceph" ? [["deletes an object", deletingObject, "store"] as const] : []),
  ] as const;
  for (const [number, [moment, message, wire]] of moments.entries()) {
    test(`before it ${moment} takes nothing that was pushed again`, async () => {
      const name = `frozen/collector-${number}`;
      const content = random.bytes(9000);
      const digest = await at(1).push(name, content);
      const target = wire === "database" ? cluster().databaseWire(sleeper) : storeWire(cluster());
      const sleeping = freezeAt(cluster(), target, message);
      assertStatus(await at(1).send("DELETE", `/v2/${name}/blobs/${digest}`), 202);
      await cluster().database.query("UPDATE blobs SET review_after = 0 WHERE digest = $1", [
        digest,
      ]);
      await sleeping.stopped;
      await lasting(pastLeasesMs);

      await at(1).push(name, content);
      sleeping.wake();
      await upkeepHasPassed();
      await assertPulls(name, content);
    });
  }

  test("before it removes what nobody knows takes nothing that was pushed since", async () => {
    const name = "frozen/sweeper";
    const content = random.bytes(9000);
    const inFolder = storage === "shared folder";
    const wire = inFolder ? cluster().databaseWire(sleeper) : storeWire(cluster());
    const sleeping = freezeAt(cluster(), wire, inFolder ? claimingOrphan : deletingObject);
    const orphan = await leaveOrphan(cluster(), content);
    await sleeping.stopped;
    await lasting(pastLeasesMs);

    await at(1).push(name, content);
    sleeping.wake();
    await upkeepHasPassed();
    await assertPulls(name, content);
    if (!inFolder) {
      const keys = await cluster().inBucket.bucket.keys();
      assert(!keys.includes(orphan), "what nobody knows is gone");
    }
  });
}

/** Only the sleeper does any upkeep. */
function maintenance(node: number): Readonly<Record<string, unknown>> {
  const isOn = node === sleeper;
  return {
    uploadpurging: { enabled: false },
    collect: { enabled: isOn, interval: "200ms" },
    sweep: { enabled: isOn, interval: "300ms", grace: "0s" },
    lease: `${uploadLeaseMs}ms`,
    firstdelay: "0s",
  };
}

function leases({ database }: Cluster): Promise<readonly { readonly epoch: string }[]> {
  return database.query("SELECT epoch::text FROM leases WHERE name = 'upkeep/content'");
}

function storeWire({ inBucket }: Cluster): TcpProxy {
  const wire = inBucket.wires[sleeper];
  assert(wire !== undefined);
  return wire;
}

/** Bytes that a commit has left which was cut off; resolves with their key. */
async function leaveOrphan({ place }: Cluster, content: Uint8Array): Promise<string> {
  if ("bucket" in place) {
    const upload = randomUUID();
    const key = `longshore/data/${upload.slice(0, 2)}/${upload}/${randomUUID()}`;
    await place.bucket.put(key, content);
    return key;
  }
  const hex = sha256(content).slice("sha256:".length);
  const key = `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  const file = join(place.root, key);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  return key;
}
