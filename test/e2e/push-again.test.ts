/** Pushing what the registry has costs no upload. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clientNames, createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import { startRecorder } from "./recorder.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const recorder = await startRecorder(workspace, server);
const images = new ImageMaker(workspace);

for (const name of clientNames) {
  test(`${name} uploads nothing when it pushes an image again`, async () => {
    const image = await images.make();
    const repository = `again/${name}`;
    const reference = `${recorder.host}/${repository}:v1`;
    const client = await createClient(workspace, name);
    await client.load(image, reference);

    recorder.forget();
    await client.push(reference);
    const before = await registry.manifest(repository, "v1");
    const blobs = await registry.readWhole(repository, "v1");
    const blobBytes = blobs.reduce((sum, { size }) => sum + size, 0);
    assert.equal(recorder.uploadedBytes, blobBytes, "at first each byte passes once");

    recorder.forget();
    await client.push(reference);
    assert.deepEqual(recorder.uploads, [], "then none does");
    assert.equal((await registry.manifest(repository, "v1")).digest, before.digest);
  });
}

test("a client that has never seen the registry uploads nothing that is there", async () => {
  const image = await images.make();
  const reference = `${recorder.host}/again/fresh:v1`;
  for (const round of ["first", "second"]) {
    recorder.forget();
    const skopeo = await createSkopeo(workspace);
    await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${reference}`);
    const { uploads } = recorder;
    assert.equal(uploads.length > 0, round === "first", `${uploads.length} in the ${round} round`);
  }
});

test("of an image on a known base, only what is new is uploaded", async () => {
  const base = await images.make();
  const extended = await images.make({ base, layerBytes: [70_000] });
  const skopeo = await createSkopeo(workspace);
  const repository = `${recorder.host}/again/extended`;
  await skopeo.copy(`oci:${base.layout}:${base.tag}`, `docker://${repository}:base`);
  recorder.forget();
  await skopeo.copy(`oci:${extended.layout}:${extended.tag}`, `docker://${repository}:extended`);
  const fresh = [extended.config, ...extended.layers.slice(base.layers.length)];
  assert.equal(
    recorder.uploadedBytes,
    fresh.reduce((sum, { size }) => sum + size, 0),
  );
});
