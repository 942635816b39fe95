/** Deleting, what is seen afterwards, and pushing the same again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "./client.ts";
import { clientNames, createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import type { LayoutImage } from "./layout.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const skopeo = await createSkopeo(workspace);

async function push(image: LayoutImage, target: string): Promise<void> {
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${server.host}/${target}`);
}

test("skopeo deletes an image, every client says that it is gone, and a push heals", async () => {
  const [image, other] = [await images.make(), await images.make()];
  await push(image, "gone/app:v1");
  await push(image, "gone/app:also-v1");
  await push(other, "gone/app:v2");
  const reference = `${server.host}/gone/app:v1`;

  await skopeo.delete(reference);
  // skopeo deletes by digest: every tag of that digest goes, and no other.
  assert.deepEqual(await skopeo.listTags(`${server.host}/gone/app`), ["v2"]);
  assert.equal(await registry.manifestStatus("gone/app", image.manifest.digest), 404);
  for (const name of clientNames) {
    const client = await createClient(workspace, name);
    assert.match(await client.pullInVain(reference), /manifest unknown|not found/i, name);
  }
  assert.match(await skopeo.deleteInVain(reference), /Image may not exist/);

  await push(image, "gone/app:v1");
  const fresh = await createSkopeo(workspace);
  await fresh.pull(reference);
  assertHolds(await fresh.held(reference), image);
  await registry.readWhole("gone/app", "v2");
});

test(
  "a tag is deleted alone, and what it named stays",
  { expectFailure: server.lacking("DELETE by tag came with version 3") },
  async () => {
    const image = await images.make();
    await push(image, "gone/tag:v1");
    await push(image, "gone/tag:v2");
    assert.equal(await registry.status("DELETE", "/v2/gone/tag/manifests/v1"), 202);
    assert.deepEqual(await registry.tags("gone/tag"), ["v2"]);
    assert.equal(await registry.manifestStatus("gone/tag", "v1"), 404);
    const reference = `${server.host}/gone/tag@${image.manifest.digest}`;
    const fresh = await createSkopeo(workspace);
    await fresh.pull(reference);
    assertHolds(await fresh.held(reference), image);
  },
);

test(
  "a layer in use is not deleted; once its manifest is gone, it is",
  { expectFailure: server.lacking("it deletes layers that are in use") },
  async () => {
    const image = await images.make();
    await push(image, "gone/layer:v1");
    const [layer] = image.layers;
    assert(layer !== undefined);
    const path = `/v2/gone/layer/blobs/${layer.digest}`;
    assert.equal(await registry.status("DELETE", path), 405);
    await registry.readWhole("gone/layer", "v1");

    await skopeo.delete(`${server.host}/gone/layer:v1`);
    assert.equal(await registry.status("DELETE", path), 202);
    assert.equal(await registry.status("HEAD", path), 404);
    await push(image, "gone/layer:v1");
    await registry.readWhole("gone/layer", "v1");
  },
);

test("what is deleted in one repository stays in another", async () => {
  const image = await images.make();
  await push(image, "gone/here:v1");
  await push(image, "gone/there:v1");
  await skopeo.delete(`${server.host}/gone/here:v1`);
  for (const { digest } of [image.config, ...image.layers]) {
    assert.equal(await registry.status("DELETE", `/v2/gone/here/blobs/${digest}`), 202);
  }
  const reference = `${server.host}/gone/there:v1`;
  const fresh = await createSkopeo(workspace);
  await fresh.pull(reference);
  assertHolds(await fresh.held(reference), image);
});
