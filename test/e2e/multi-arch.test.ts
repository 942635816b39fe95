/** Images for several platforms: an index of manifests, and indexes of indexes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createBuildah } from "./buildah.ts";
import { assertHolds } from "./client.ts";
import { clientNames, createClient } from "./clients.ts";
import { startContainerd } from "./containerd.ts";
import { digestOf } from "./digests.ts";
import { ImageMaker } from "./images.ts";
import {
  addIndex,
  blobFile,
  mediaTypes,
  readImage,
  type Descriptor,
  type LayoutImage,
  type Platform,
} from "./layout.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);

const platforms: readonly Platform[] = [
  { os: "linux", architecture: "amd64" },
  { os: "linux", architecture: "arm64", variant: "v8" },
  { os: "linux", architecture: "s390x" },
];
const base = await images.make({ layerBytes: [100_000] });
const built: LayoutImage[] = [];
for (const platform of platforms) {
  built.push(await images.make({ base, platform, layerBytes: [50_000] }));
}
const { layout } = base;
const children: readonly Descriptor[] = built.map(({ manifest }, position) => {
  const platform = platforms[position];
  return { ...manifest, ...(platform === undefined ? {} : { platform }) };
});
const index = await addIndex(layout, "multi", children);

const byHand = `${server.host}/multi/by-hand:v1`;

test("skopeo pushes an index with all its images, and copies it on unchanged", async () => {
  const skopeo = await createSkopeo(workspace);
  await skopeo.copy(`oci:${layout}:multi`, `docker://${byHand}`, "--all");
  const pushed = await registry.manifest("multi/by-hand", "v1");
  assert.equal(pushed.digest, index.digest);
  assert.equal(pushed.mediaType, mediaTypes.index);
  // Of each image: its entry in the index, its configuration, the base's layer, its own.
  assert.equal((await registry.readWhole("multi/by-hand", "v1")).length, 4 * platforms.length);

  const copy = `docker://${server.host}/multi/copied:v1`;
  await skopeo.copy(`docker://${byHand}`, copy, "--all");
  assert.equal((await registry.manifest("multi/copied", "v1")).digest, index.digest);
  await registry.readWhole("multi/copied", "v1");
});

for (const name of clientNames) {
  test(`${name} pulls the one image that is for a platform`, async () => {
    for (const [position, image] of built.entries()) {
      const client = await createClient(workspace, name);
      const { os = "", architecture = "", variant } = platforms[position] ?? {};
      const platform = [os, architecture, variant ?? []].flat().join("/");
      await client.pull(byHand, { platform });
      assertHolds(await client.held(byHand), image);
    }
  });
}

for (const [format, mediaType] of [
  ["oci", mediaTypes.index],
  ["v2s2", mediaTypes.dockerList],
] as const) {
  test(`buildah pushes a list of images that it put together, as ${format}`, async () => {
    const buildah = await createBuildah(workspace);
    const repository = `multi/buildah-${format}`;
    await buildah.buildah("manifest", "create", "everywhere");
    for (const { tag } of built) {
      await buildah.buildah("manifest", "add", "everywhere", `oci:${layout}:${tag}`);
    }
    await buildah.buildah(
      ...["manifest", "push", "--all", "--tls-verify=false", "--format", format],
      ...["everywhere", `docker://${server.host}/${repository}:v1`],
    );
    const pushed = await registry.manifest(repository, "v1");
    assert.equal(pushed.mediaType, mediaType);
    assert.deepEqual(
      pushed.manifest.manifests?.map(({ platform }) => platform?.architecture ?? "").toSorted(),
      platforms.map(({ architecture }) => architecture).toSorted(),
    );
    await registry.readWhole(repository, "v1");
    const docker = await createClient(workspace, "docker");
    await docker.pull(`${server.host}/${repository}:v1`, { platform: "linux/s390x" });
  });
}

test("an index of an index keeps its digest, and containerd pulls all of it", async () => {
  const repository = "multi/by-hand";
  const outer = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [index] }),
  );
  await registry.pushManifest(repository, "nested", outer, mediaTypes.index);
  assert.equal((await registry.manifest(repository, "nested")).digest, digestOf(outer));
  assert.equal((await registry.readWhole(repository, "nested")).length, 1 + 4 * platforms.length);

  const containerd = await startContainerd(workspace);
  const reference = `${server.host}/${repository}:nested`;
  await containerd.ctr("content", "fetch", "--plain-http", "--all-platforms", reference);
  const layout = containerd.contentStore;
  assert.deepEqual(await readFile(blobFile(layout, digestOf(outer))), outer);
  for (const image of built) {
    const { config, diffIds } = await readImage(layout, undefined, image.manifest);
    assert.deepEqual({ config, diffIds }, { config: image.config, diffIds: image.diffIds });
  }
});
