/** Pushes that end in the middle, and servers that do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "./client.ts";
import { digestOf } from "./digests.ts";
import { ImageMaker, mib } from "./images.ts";
import type { LayoutImage } from "./layout.ts";
import { startRecorder } from "./recorder.ts";
import { locationOf, RegistryApi, withQuery } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo, type Skopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const recorder = await startRecorder(workspace, server);
const images = new ImageMaker(workspace);

async function pushAndPull(skopeo: Skopeo, image: LayoutImage, name: string): Promise<void> {
  const reference = `${server.host}/${name}`;
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${reference}`);
  const fresh = await createSkopeo(workspace);
  await fresh.pull(reference);
  assertHolds(await fresh.held(reference), image);
}

test("a client that is killed in mid-upload leaves nothing to see, and pushes again", async () => {
  const image = await images.make({ layerBytes: [32 * mib] });
  const skopeo = await createSkopeo(workspace);
  const held = recorder.holdUploadsAfter(8 * mib);
  const target = `docker://${recorder.host}/broken/client:v1`;
  const push = skopeo.startCopy(`oci:${image.layout}:${image.tag}`, target);
  await held;
  await push.stop("SIGKILL");
  recorder.release();

  assert.equal(await registry.manifestStatus("broken/client", "v1"), 404);
  const [layer] = image.layers;
  assert(layer !== undefined);
  const path = `/v2/broken/client/blobs/${layer.digest}`;
  assert.equal(await registry.status("HEAD", path), 404, "half a layer is no layer");
  await pushAndPull(skopeo, image, "broken/client:v1");
});

test("a server that is killed in mid-upload loses nothing else, and takes the push", async () => {
  const [before, image] = [await images.make(), await images.make({ layerBytes: [32 * mib] })];
  const skopeo = await createSkopeo(workspace);
  await pushAndPull(skopeo, before, "broken/server:before");
  const held = recorder.holdUploadsAfter(8 * mib);
  const target = `docker://${recorder.host}/broken/server:v1`;
  const push = skopeo.startCopy(`oci:${image.layout}:${image.tag}`, target);
  await held;
  await server.crash();
  const { code } = await push.exited;
  recorder.release();
  assert.notEqual(code, 0, "the client sees that its push failed");

  assert.deepEqual(await registry.tags("broken/server"), ["before"]);
  await registry.readWhole("broken/server", "before");
  await pushAndPull(skopeo, image, "broken/server:v1");
});

test("what was pushed before a restart is pulled after it", async () => {
  const image = await images.make();
  const skopeo = await createSkopeo(workspace);
  const reference = `${server.host}/kept/app:v1`;
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${reference}`);
  await server.restart();
  await skopeo.pull(reference);
  assertHolds(await skopeo.held(reference), image);
});

test("an upload that was begun before a restart is finished after it", async () => {
  const bytes = images.noise(3 * mib);
  const half = 2 * mib;
  const headers = { "content-type": "application/octet-stream" };
  const begun = await registry.startUpload("kept/upload");
  const first = await registry.request("PATCH", begun, { headers, body: bytes.subarray(0, half) });
  assert.equal(first.status, 202);
  await first.arrayBuffer();

  await server.restart();
  const status = await registry.request("GET", locationOf(first));
  assert.equal(status.status, 204);
  assert.equal(status.headers.get("range"), `0-${half - 1}`);
  const second = await registry.request("PATCH", locationOf(status), {
    headers: { ...headers, "content-range": `${half}-${bytes.length - 1}` },
    body: bytes.subarray(half),
  });
  assert.equal(second.status, 202);
  await second.arrayBuffer();
  const digest = digestOf(bytes);
  const end = withQuery(locationOf(second), "digest", digest);
  assert.equal(await registry.status("PUT", end), 201);
  assert.deepEqual(await registry.blob("kept/upload", digest), { digest, size: bytes.length });
});
