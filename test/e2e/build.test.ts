/** Building on an image of the registry and pushing what comes out: what people do all day. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createBuildah } from "./buildah.ts";
import { startDocker } from "./docker.ts";
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

const base = await images.make();
const baseReference = `${recorder.host}/bases/small:v1`;
const skopeo = await createSkopeo(workspace);
await skopeo.copy(`oci:${base.layout}:${base.tag}`, `docker://${baseReference}`);

const contentBytes = 300_000;
const context = join(await workspace.newFolder("build"), "context");
await mkdir(context);
await writeFile(join(context, "app"), images.noise(contentBytes));
await writeFile(
  join(context, "Dockerfile"),
  `FROM ${baseReference}\nCOPY app /app\nENV BUILT=yes\nCMD ["/app"]\n`,
);

async function assertBuiltOnBase(repository: string): Promise<void> {
  const { manifest } = await registry.manifest(repository, "v1");
  const layers = manifest.layers?.map(({ digest }) => digest) ?? [];
  assert.deepEqual(
    layers.slice(0, base.layers.length),
    base.layers.map(({ digest }) => digest),
  );
  assert.equal(layers.length, base.layers.length + 1);
  await registry.readWhole(repository, "v1");
  // The new layer is a little more than its noise; the base's megabytes are mounted.
  assert(recorder.uploadedBytes > contentBytes);
  assert(recorder.uploadedBytes < contentBytes + 20_000, `${recorder.uploadedBytes} uploaded`);
  assert.equal(
    recorder.uploads.filter(({ path, status }) => /mount=/.test(path) && status === 201).length,
    base.layers.length,
  );
}

test("docker builds on an image of the registry and uploads only the new layer", async () => {
  const docker = await startDocker(workspace);
  const reference = `${recorder.host}/apps/by-docker:v1`;
  await docker.docker("build", "--tag", reference, context);
  recorder.forget();
  await docker.push(reference);
  await assertBuiltOnBase("apps/by-docker");
});

test("buildah builds on an image of the registry and uploads only the new layer", async () => {
  const buildah = await createBuildah(workspace);
  const reference = `${recorder.host}/apps/by-buildah:v1`;
  await buildah.buildah("build", "--tls-verify=false", "--tag", reference, context);
  recorder.forget();
  await buildah.push(reference);
  await assertBuiltOnBase("apps/by-buildah");
});
