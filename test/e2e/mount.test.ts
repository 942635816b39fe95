/** Layers that another repository has are mounted from there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "./client.ts";
import { clientNames, createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import { startRecorder, type Exchange } from "./recorder.ts";
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
  test(`${name} mounts layers into another repository instead of uploading them`, async () => {
    const image = await images.make();
    const [source, target] = [`original/${name}`, `copy/${name}`];
    const skopeo = await createSkopeo(workspace);
    const sourceReference = `${recorder.host}/${source}:v1`;
    await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${sourceReference}`);

    const client = await createClient(workspace, name);
    const targetReference = `${recorder.host}/${target}:v1`;
    await client.pull(sourceReference);
    await client.tag(sourceReference, targetReference);
    recorder.forget();
    await client.push(targetReference);

    const mounts = recorder.uploads.filter(isMount);
    assert.deepEqual(
      mounts
        .map(mountedDigest)
        .filter((digest) => digest !== image.config.digest)
        .toSorted(),
      image.layers.map(({ digest }) => digest).toSorted(),
      "each layer is mounted",
    );
    assert.deepEqual(new Set(mounts.map((mount) => query(mount).get("from"))), new Set([source]));
    assert.deepEqual(new Set(mounts.map(({ status }) => status)), new Set([201]));
    assert(recorder.uploadedBytes <= image.config.size, "no layer is uploaded");
    await registry.readWhole(target, "v1");

    await skopeo.delete(`${server.host}/${source}:v1`);
    const another = await createClient(workspace, "skopeo");
    await another.pull(targetReference);
    assertHolds(await another.held(targetReference), image);
  });
}

function isMount(exchange: Exchange): boolean {
  return exchange.method === "POST" && query(exchange).has("mount");
}

function mountedDigest(exchange: Exchange): string {
  return query(exchange).get("mount") ?? "";
}

function query({ path }: Exchange): URLSearchParams {
  return new URL(path, recorder.url).searchParams;
}
