/**
 * The clients that people use push and pull through nginx, which sends each request to the next of
 * three nodes.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { assertHolds } from "../../e2e/client.ts";
import { clientNames, createClient } from "../../e2e/clients.ts";
import { ImageMaker, mib } from "../../e2e/images.ts";
import { RegistryApi } from "../../e2e/registry-api.ts";
import { createSkopeo } from "../../e2e/skopeo.ts";
import { openWorkspace } from "../../e2e/workspace.ts";
import { Cluster } from "../support/cluster.ts";
import type { RegistryNode } from "../support/node-process.ts";

const workspace = openWorkspace();
const images = new ImageMaker(workspace);
const cluster = await Cluster.start({ nodes: 3, storage: "ceph" });
after(() => cluster.close());
const registry = new RegistryApi({ url: cluster.balancer.endpoint });

/** Kills whichever node is first at the third part of a layer; resolves when it serves again. */
async function killAmidLayer(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<RegistryNode>();
  const { wires } = cluster.inBucket;
  for (const [number, wire] of wires.entries()) {
    wire.watch((piece, direction) => {
      if (direction !== "request" || !piece.includes("partNumber=3")) return undefined;
      for (const each of wires) each.watch(undefined);
      resolve(cluster.node(number));
      return undefined;
    });
  }
  const node = await promise;
  await node.kill();
  await node.start();
}

for (const name of clientNames) {
  test(`${name} pushes through the balancer, and pulls back the same`, async () => {
    // Several parts in the store, one, and none.
    const image = await images.make({ layerBytes: [17 * mib, 5 * mib, 3000] });
    const repository = `team/by-${name}`;
    const reference = `${cluster.balancer.host}/${repository}:v1`;

    const pusher = await createClient(workspace, name);
    await pusher.load(image, reference);
    await pusher.push(reference);
    const { digest } = await registry.manifest(repository, "v1");
    assert.equal((await registry.readWhole(repository, "v1")).length, 1 + image.layers.length);

    const puller = await createClient(workspace, name);
    await puller.pull(reference);
    const held = await puller.held(reference);
    assertHolds(held, image);
    assert.equal(held.manifest, digest);
  });
}

test("docker, which tries again by itself, finishes a push in which a node is killed", async () => {
  const image = await images.make({ layerBytes: [64 * mib, 3000] });
  const reference = `${cluster.balancer.host}/team/interrupted:docker`;
  const pusher = await createClient(workspace, "docker");
  await pusher.load(image, reference);
  const killed = killAmidLayer();
  await pusher.push(reference);
  await killed;
  const puller = await createClient(workspace, "skopeo");
  await puller.pull(reference);
  assert.equal((await puller.held(reference)).config, image.config.digest);
});

test("skopeo, which gives up when a node is killed, finishes at its next try", async () => {
  const image = await images.make({ layerBytes: [64 * mib, 3000] });
  const reference = `${cluster.balancer.host}/team/interrupted:skopeo`;
  const skopeo = await createSkopeo(workspace);
  const [source, target] = [`oci:${image.layout}:${image.tag}`, `docker://${reference}`];
  const killed = killAmidLayer();
  const first = skopeo.startCopy(source, target);
  await killed;
  assert.notEqual((await first.exited).code, 0, "it sees that its push failed");
  assert.equal(await registry.manifestStatus("team/interrupted", "skopeo"), 404);
  await skopeo.copy(source, target);
  await skopeo.pull(reference);
  assertHolds(await skopeo.held(reference), image);
});
