/** An upload's requests may each land on another node, and a node may die in between. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  assertStatus,
  Client,
  Disconnected,
  locationOf,
  octets,
  offsetOf,
  withDigest,
  type Answer,
} from "../../race/support/client.ts";
import { Random, seedFrom, sha256 } from "../../race/support/random.ts";
import { until } from "../../servers/server.ts";
import { Cluster, type ClusterOptions } from "../support/cluster.ts";

const mib = 1024 * 1024;
const seed = seedFrom("CLUSTER_SEED");

for (const storage of ["ceph", "shared folder"] as const) {
  describe(`An upload on three nodes, PostgreSQL and ${storage} (CLUSTER_SEED=${seed})`, () => {
    uploads(storage);
  });
}

function uploads(storage: ClusterOptions["storage"]): void {
  const random = new Random(seed);
  const given: { cluster?: Cluster; clients: Client[]; names: number } = { clients: [], names: 0 };

  before(async () => {
    const cluster = await Cluster.start({ nodes: 3, storage });
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
  /** A client of the node of this number, from 0. */
  const at = (number: number): Client => {
    const client = given.clients[number % given.clients.length];
    assert(client !== undefined);
    return client;
  };
  const repository = (): string => {
    given.names += 1;
    return `team/app-${given.names}`;
  };
  const assertPulls = async (name: string, content: Uint8Array): Promise<void> => {
    for (const client of given.clients) {
      const pulled = await client.get(`/v2/${name}/blobs/${sha256(content)}`);
      assertStatus(pulled, 200);
      assert(pulled.bytes.equals(content), "every node gives the same bytes");
    }
  };

  for (const [title, sizes] of [
    ["some bytes", [10, 20, 30]],
    ["pieces below a part's size", [2 * mib, mib + 1, 4 * mib - 3]],
    ["pieces of several parts, and a small tail", [11 * mib, 7 * mib + 5, 100]],
  ] as const) {
    test(`of ${title}: POST, each PATCH and PUT land on another node`, async () => {
      const name = repository();
      const pieces = sizes.map((size) => random.bytes(size));
      let location = await at(0).beginUpload(name);
      let offset = 0;
      for (const [index, piece] of pieces.entries()) {
        const patched = await at(index + 1).patch(location, offset, piece);
        assertStatus(patched, 202);
        offset += piece.byteLength;
        assert.equal(offsetOf(patched), offset);
        location = locationOf(patched);
      }
      const content = new Uint8Array(Buffer.concat(pieces));
      const status = await at(2).get(location);
      assertStatus(status, 204);
      assert.equal(offsetOf(status), offset, "any node knows how far it is");
      assertStatus(await at(1).finish(location, sha256(content)), 201);
      await assertPulls(name, content);
      for (const client of given.clients) assertStatus(await client.get(location), 404);
    });
  }

  test("in chunks without Content-Range, the last of them in the PUT", async () => {
    const name = repository();
    const [first, second, last] = [random.bytes(6 * mib), random.bytes(100), random.bytes(3 * mib)];
    let location = await at(1).beginUpload(name);
    for (const [number, piece] of [first, second].entries()) {
      const options = { headers: octets, body: piece };
      const patched = await at(number + 2).send("PATCH", location, options);
      assertStatus(patched, 202);
      location = locationOf(patched);
    }
    const content = new Uint8Array(Buffer.concat([first, second, last]));
    assertStatus(await at(1).finish(location, sha256(content), last), 201);
    await assertPulls(name, content);
  });

  test("in one request to one node can be pulled from the others at once", async () => {
    for (const [number, method] of (["post", "put", "patch"] as const).entries()) {
      const name = repository();
      const content = random.bytes(6 * mib + number);
      await at(number).push(name, content, method);
      await assertPulls(name, content);
    }
  });

  test("under its sha512, hashed by several nodes", async () => {
    const name = repository();
    const pieces = [random.bytes(6 * mib), random.bytes(3 * mib)];
    const content = Buffer.concat(pieces);
    const digest = `sha512:${createHash("sha512").update(content).digest("hex")}`;
    const begun = await at(0).send("POST", `/v2/${name}/blobs/uploads/?digest-algorithm=sha512`);
    assertStatus(begun, 202);
    let location = locationOf(begun);
    let offset = 0;
    for (const [number, piece] of pieces.entries()) {
      const patched = await at(number + 1).patch(location, offset, piece);
      assertStatus(patched, 202);
      offset += piece.byteLength;
      location = locationOf(patched);
    }
    assertStatus(await at(0).finish(location, digest), 201);
    for (const client of given.clients) {
      const pulled = await client.get(`/v2/${name}/blobs/${digest}`);
      assertStatus(pulled, 200);
      assert(pulled.bytes.equals(content));
    }
    await assertPulls(name, new Uint8Array(content));
  });

  test("with the wrong digest is refused by whichever node reads it again", async () => {
    const name = repository();
    const content = random.bytes(6 * mib);
    let location = await at(0).beginUpload(name);
    const half = 5 * mib + 17;
    for (const [number, [from, to]] of [
      [0, half],
      [half, content.byteLength],
    ].entries()) {
      const patched = await at(number).patch(location, from ?? 0, content.subarray(from, to));
      assertStatus(patched, 202);
      location = locationOf(patched);
    }
    const other = sha256(random.bytes(10));
    assertStatus(await at(2).finish(location, other), 400);
    assertStatus(await at(0).get(`/v2/${name}/blobs/${other}`), 404);
    assertStatus(await at(1).get(`/v2/${name}/blobs/${sha256(content)}`), 404);
  });

  test("that is given up on one node is unknown to the others", async () => {
    const name = repository();
    const location = await at(0).beginUpload(name);
    const patched = await at(1).patch(location, 0, random.bytes(6 * mib));
    assertStatus(patched, 202);
    assertStatus(await at(2).send("DELETE", locationOf(patched)), 204);
    for (const client of given.clients) assertStatus(await client.get(location), 404);
  });

  test("goes on where it stood when the node that took its bytes is killed", async () => {
    const name = repository();
    const content = random.bytes(20 * mib);
    const first = 6 * mib;
    const dying = cluster().node(1);
    const begun = await at(0).beginUpload(name);
    const patched = await at(1).patch(begun, 0, content.subarray(0, first));
    assertStatus(patched, 202);
    const broken = at(1).open("PATCH", locationOf(patched), octets);
    await broken.send(content.subarray(first, 17 * mib));
    await dying.kill();
    await assert.rejects(broken.answer, Disconnected);

    const status = await at(2).get(locationOf(patched));
    assertStatus(status, 204);
    const offset = offsetOf(status);
    assert(offset >= first, `what was acknowledged is there: ${offset}`);
    const end = withDigest(locationOf(status), sha256(content));
    const rest = { headers: octets, body: content.subarray(offset) };
    assertStatus(await afterLease(() => at(2).send("PUT", end, rest)), 201);
    await dying.start();
    await assertPulls(name, content);
  });

  test("is one writer's at a time, over all nodes", async () => {
    const name = repository();
    const content = random.bytes(8 * mib);
    const location = await at(0).beginUpload(name);
    const held = at(0).open("PATCH", location, octets);
    await held.send(content.subarray(0, 4 * mib));
    const id = location.split("?")[0]?.split("/").at(-1);
    await until("the first writer's lease", async () => {
      const writer = "SELECT FROM uploads WHERE id = $1 AND writer IS NOT NULL";
      return (await cluster().database.query(writer, [id])).length === 1;
    });
    const second = { headers: octets, body: content };
    const refused = await at(1).send("PATCH", location, second);
    assertStatus(refused, 416);
    assert(refused.header("retry-after") !== undefined, "it is told to come back");
    await held.send(content.subarray(4 * mib));
    const patched = await held.end();
    assertStatus(patched, 202);
    assert.equal(offsetOf(patched), content.byteLength);
    assertStatus(await at(2).finish(locationOf(patched), sha256(content)), 201);
    await assertPulls(name, content);
  });
}

/** Asks again while the dead node's lease runs, as the answer says one should. */
async function afterLease(ask: () => Promise<Answer>): Promise<Answer> {
  let answer = await ask();
  await until("the end of a lease", async () => {
    if (answer.status !== 416 || answer.header("retry-after") === undefined) return true;
    answer = await ask();
    return false;
  });
  return answer;
}
