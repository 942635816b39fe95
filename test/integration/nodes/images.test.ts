/** What one node has acknowledged every node knows, and what it has deleted none does. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertStatus, Client, imageManifest } from "../../race/support/client.ts";
import { Random, seedFrom, sha256 } from "../../race/support/random.ts";
import { Cluster } from "../support/cluster.ts";

const seed = seedFrom("CLUSTER_SEED");

describe(`Three nodes, PostgreSQL and Ceph (CLUSTER_SEED=${seed})`, () => {
  const random = new Random(seed);
  const given: { cluster?: Cluster; clients: Client[] } = { clients: [] };

  before(async () => {
    given.cluster = await Cluster.start({ nodes: 3, storage: "ceph" });
    given.clients = given.cluster.nodes.map(({ url }) => new Client(url));
  });
  after(async () => {
    for (const client of given.clients) client.close();
    await given.cluster?.close();
  });

  const at = (number: number): Client => {
    const client = given.clients[number % given.clients.length];
    assert(client !== undefined);
    return client;
  };

  /** Each request lands on the next node. */
  const pushImage = async (name: string, tag: string): Promise<Buffer> => {
    const [config, ...layers] = [random.bytes(200), random.bytes(5000), random.bytes(70_000)];
    for (const [number, content] of [config, ...layers].entries()) {
      await at(number).push(name, content);
    }
    const manifest = imageManifest(config, layers);
    assertStatus(await at(random.integer(0, 2)).putManifest(name, tag, manifest), 201);
    return manifest;
  };

  test("an image is pushed through all of them and pulled from each", async () => {
    const manifest = await pushImage("all/image", "v1");
    for (const client of given.clients) {
      const pulled = await client.get("/v2/all/image/manifests/v1");
      assertStatus(pulled, 200);
      assert(pulled.bytes.equals(manifest));
      assert.deepEqual(await client.tags("all/image"), ["v1"]);
    }
  });

  test("a tag that is moved on one node has moved on every node", async () => {
    const before = await pushImage("all/moved", "v1");
    const after = await pushImage("all/moved", "v2");
    assertStatus(await at(0).putManifest("all/moved", "latest", before), 201);
    for (let move = 0; move < 6; move += 1) {
      const target = move % 2 === 0 ? after : before;
      assertStatus(await at(move).putManifest("all/moved", "latest", target), 201);
      for (const client of given.clients) {
        const pulled = await client.get("/v2/all/moved/manifests/latest");
        assert.equal(pulled.header("docker-content-digest"), sha256(target));
      }
    }
  });

  test("what is deleted on one node is gone on every node, and can be pushed again", async () => {
    const name = "all/deleted";
    const manifest = await pushImage(name, "v1");
    const digest = sha256(manifest);
    assertStatus(await at(1).send("DELETE", `/v2/${name}/manifests/${digest}`), 202);
    for (const client of given.clients) {
      assertStatus(await client.get(`/v2/${name}/manifests/v1`), 404);
      assertStatus(await client.get(`/v2/${name}/manifests/${digest}`), 404);
    }
    assertStatus(await at(2).putManifest(name, "v1", manifest), 201);
    for (const client of given.clients) {
      assertStatus(await client.get(`/v2/${name}/manifests/v1`), 200);
    }
  });

  test("a blob is mounted on a node that has never seen it", async () => {
    const content = random.bytes(9000);
    const digest = await at(0).push("all/source", content);
    const query = `mount=${digest}&from=all/source`;
    assertStatus(await at(1).send("POST", `/v2/all/target/blobs/uploads/?${query}`), 201);
    const pulled = await at(2).get(`/v2/all/target/blobs/${digest}`);
    assert(pulled.bytes.equals(content));
  });

  test("pages of a list go on at any node", async () => {
    for (let number = 10; number < 20; number += 1) {
      await pushImage(`pages/app-${number}`, `v${number}`);
    }
    const found: string[] = [];
    let next: string | undefined = "/v2/_catalog?n=3";
    for (let page = 0; next !== undefined; page += 1) {
      const answer = await at(page).get(next);
      assertStatus(answer, 200);
      const { repositories } = JSON.parse(answer.bytes.toString()) as {
        readonly repositories: readonly string[];
      };
      found.push(...repositories);
      next = /<([^>]+)>/.exec(answer.header("link") ?? "")?.[1];
    }
    assert.equal(new Set(found).size, found.length);
    const expected = Array.from({ length: 10 }, (_, index) => `pages/app-${10 + index}`);
    assert.deepEqual(
      found.filter((name) => name.startsWith("pages/")),
      expected,
    );
  });
});
