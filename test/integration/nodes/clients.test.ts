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
import { openWorkspace } from "../../e2e/workspace.ts";
import { Cluster } from "../support/cluster.ts";

const workspace = openWorkspace();
const images = new ImageMaker(workspace);
const cluster = await Cluster.start({ nodes: 3, storage: "ceph" });
after(() => cluster.close());
const registry = new RegistryApi({ url: cluster.balancer.endpoint });

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
