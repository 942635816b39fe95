/** Each client pushes an image and pulls it back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "./client.ts";
import { clientNames, createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);

for (const name of clientNames) {
  test(`${name} pulls back, identical, what it pushed`, async () => {
    const image = await images.make();
    const repository = `team/by-${name}`;
    const reference = `${server.host}/${repository}:v1`;

    const pusher = await createClient(workspace, name);
    await pusher.load(image, reference);
    await pusher.push(reference);

    const { digest, manifest } = await registry.manifest(repository, "v1");
    assert.equal(manifest.config?.digest, image.config.digest);
    assert.equal((await registry.readWhole(repository, "v1")).length, 1 + image.layers.length);

    const puller = await createClient(workspace, name);
    await puller.pull(reference);
    const held = await puller.held(reference);
    assertHolds(held, image);
    assert.equal(held.manifest, digest);
  });
}
