/** An image of more than a gigabyte in one layer. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { beforeEach, test } from "node:test";
import { createGzip } from "node:zlib";
import { assertHolds } from "./client.ts";
import { createClient } from "./clients.ts";
import { hashFile } from "./digests.ts";
import { startDocker } from "./docker.ts";
import { ImageMaker, mib } from "./images.ts";
import { addJson, addTag, blobFile, createLayout, mediaTypes } from "./layout.ts";
import type { Descriptor, LayoutImage } from "./layout.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { tarEnd, tarEntry } from "./tar.ts";
import { openWorkspace, say } from "./workspace.ts";

const contentBytes = 1100 * mib;
/** What a small registry may take of a machine's memory, whatever passes through it. */
const memoryBytesMax = 150 * mib;
const memoryGrowthBytesMax = 60 * mib;

const workspace = openWorkspace();
const server = await startServer(workspace, { compiled: true });
const registry = new RegistryApi(server);
const { nowBytes: idleBytes } = await server.memory();
const images = new ImageMaker(workspace);
const image = await makeBigImage();
const skopeoReference = `${server.host}/big/by-skopeo:v1`;

beforeEach(sayMemory);

test("skopeo pulls back, identical, a gigabyte that it pushed", async () => {
  const skopeo = await createSkopeo(workspace);
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${skopeoReference}`);
  await sayMemory();
  assert.equal((await registry.manifest("big/by-skopeo", "v1")).digest, image.manifest.digest);
  await skopeo.pull(skopeoReference);
  assertHolds(await skopeo.held(skopeoReference), image);
  await rm(skopeo.layoutOf(skopeoReference), { recursive: true });
});

test("containerd pulls that gigabyte, and pushes it in one request", async () => {
  const containerd = await createClient(workspace, "containerd");
  await containerd.pull(skopeoReference);
  assertHolds(await containerd.held(skopeoReference), image);
  // Under another name of this machine, so that it is not mounted.
  const reference = `${server.host.replace("127.0.0.1", "localhost")}/big/by-containerd:v1`;
  await containerd.tag(skopeoReference, reference);
  await containerd.push(reference);
  await registry.readWhole("big/by-containerd", "v1");
});

test("docker pulls that gigabyte", async () => {
  const docker = await startDocker(workspace);
  await docker.pull(skopeoReference);
  const format = "{{.Id}} {{json .RootFS.Layers}}";
  const held = await docker.docker("image", "inspect", "--format", format, skopeoReference);
  assert.equal(held.trim(), `${image.config.digest} ${JSON.stringify(image.diffIds)}`);
});

test("the server's memory did not grow with what passed through it", async () => {
  const { peakBytes } = await server.memory();
  assert(peakBytes <= memoryBytesMax, `${peakBytes} bytes of memory at the peak`);
  const growth = peakBytes - idleBytes;
  assert(growth <= memoryGrowthBytesMax, `${growth} bytes of memory above those when idle`);
});

async function sayMemory(): Promise<void> {
  const { nowBytes, peakBytes } = await server.memory();
  const [now, peak] = [nowBytes, peakBytes].map((bytes) => `${Math.round(bytes / mib)} MiB`);
  say(`the server's memory: ${now}, at its peak ${peak}`);
}

/** One layer with one file of noise, which gzip stores without trying to make it smaller. */
async function makeBigImage(): Promise<LayoutImage> {
  const layout = join(await workspace.newFolder("big"), "layout");
  await createLayout(layout);
  const { layer, diffId } = await writeBigLayer(layout);
  const config = await addJson(
    layout,
    {
      ...{ architecture: "amd64", os: "linux", config: { Cmd: ["/noise"] } },
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created_by: "a test" }],
    },
    mediaTypes.config,
  );
  const manifest = await addJson(
    layout,
    { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [layer] },
    mediaTypes.manifest,
  );
  await addTag(layout, "big", manifest);
  say(`made an image with one layer of ${layer.size} bytes`);
  return { layout, tag: "big", manifest, config, layers: [layer], diffIds: [diffId] };
}

async function writeBigLayer(layout: string): Promise<{ layer: Descriptor; diffId: string }> {
  const tarHash = createHash("sha256");
  async function* tar(): AsyncGenerator<Buffer> {
    const { header, padding } = tarEntry("noise", contentBytes);
    yield header;
    for (let done = 0; done < contentBytes; done += mib) yield images.noise(mib);
    yield padding;
    yield tarEnd;
  }
  async function* hashed(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      tarHash.update(chunk);
      yield chunk;
    }
  }
  const file = join(layout, "layer");
  const gzip = createGzip({ level: 0, chunkSize: mib });
  await pipeline(tar, hashed, gzip, createWriteStream(file, { highWaterMark: mib }));
  const { digest } = await hashFile(file);
  await rename(file, blobFile(layout, digest));
  const { size } = await stat(blobFile(layout, digest));
  return {
    layer: { mediaType: mediaTypes.gzipLayer, digest, size },
    diffId: `sha256:${tarHash.digest("hex")}`,
  };
}
