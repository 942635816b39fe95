/** The formats that images come in: Docker's schema 2, other compressions, none. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { assertHolds, type ClientName } from "./client.ts";
import { createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import { mediaTypes } from "./layout.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const skopeo = await createSkopeo(workspace);

async function assertPulledBy(names: readonly ClientName[], reference: string): Promise<void> {
  for (const name of names) {
    const client = await createClient(workspace, name);
    await client.pull(reference);
    assertHolds(await client.held(reference), image);
  }
}

const image = await images.make();
const source = `oci:${image.layout}:${image.tag}`;

test("an image of Docker's schema 2, pushed by skopeo", async () => {
  const reference = `${server.host}/formats/schema2:v1`;
  await skopeo.copy(source, `docker://${reference}`, "--format", "v2s2");
  const { mediaType, manifest } = await registry.manifest("formats/schema2", "v1");
  assert.equal(mediaType, mediaTypes.dockerManifest);
  assert.equal(manifest.mediaType, mediaTypes.dockerManifest);
  await registry.readWhole("formats/schema2", "v1");
  await assertPulledBy(["podman", "buildah", "docker", "containerd"], reference);
});

test("an image of Docker's schema 2, pushed by docker", async () => {
  const reference = `${server.host}/formats/by-docker:v1`;
  const docker = await createClient(workspace, "docker");
  await docker.load(image, reference);
  await docker.push(reference);
  const { mediaType } = await registry.manifest("formats/by-docker", "v1");
  assert.equal(mediaType, mediaTypes.dockerManifest);
  await assertPulledBy(["podman", "buildah", "docker", "containerd"], reference);
});

test("layers compressed with zstd", async () => {
  const reference = `${server.host}/formats/zstd:v1`;
  const flags = ["--dest-compress", "--dest-compress-format", "zstd"];
  // One that remembers the layers pushed above would reuse them, compressed as they are.
  const fresh = await createSkopeo(workspace);
  await fresh.copy(source, `docker://${reference}`, ...flags);
  const { manifest } = await registry.manifest("formats/zstd", "v1");
  assert.deepEqual(
    manifest.layers?.map(({ mediaType }) => mediaType),
    image.layers.map(() => mediaTypes.zstdLayer),
  );
  await registry.readWhole("formats/zstd", "v1");
  // Debian's docker is too old for zstd.
  await assertPulledBy(["skopeo", "podman", "buildah", "containerd"], reference);
});

test("layers that are not compressed", async () => {
  const reference = `${server.host}/formats/plain:v1`;
  const folder = join(await workspace.newFolder("plain"), "image");
  const fresh = await createSkopeo(workspace);
  await fresh.copy(source, `dir:${folder}`, "--dest-decompress");
  await fresh.copy(`dir:${folder}`, `docker://${reference}`, "--preserve-digests");
  const { manifest } = await registry.manifest("formats/plain", "v1");
  assert.deepEqual(
    manifest.layers?.map(({ mediaType, digest }) => ({ mediaType, digest })),
    image.diffIds.map((digest) => ({ mediaType: mediaTypes.layer, digest })),
  );
  await registry.readWhole("formats/plain", "v1");
  await assertPulledBy(["skopeo", "podman", "buildah", "docker", "containerd"], reference);
});

test("formats of one image live beside each other under several tags", async () => {
  const repository = `${server.host}/formats/mixed`;
  await skopeo.copy(source, `docker://${repository}:oci`, "--format", "oci");
  await skopeo.copy(source, `docker://${repository}:docker`, "--format", "v2s2");
  const oci = await registry.manifest("formats/mixed", "oci");
  const docker = await registry.manifest("formats/mixed", "docker");
  assert.notEqual(oci.digest, docker.digest);
  assert.equal(oci.manifest.config?.digest, docker.manifest.config?.digest);
  for (const tag of ["oci", "docker"]) {
    await assertPulledBy(["docker", "containerd"], `${repository}:${tag}`);
  }
});
