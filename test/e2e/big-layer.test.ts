/** An image of more than a gigabyte in one layer. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { createGzip } from "node:zlib";
import { assertHolds } from "./client.ts";
import { createClient } from "./clients.ts";
import { hashFile } from "./digests.ts";
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

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const image = await makeBigImage();

test("skopeo pulls back, identical, a gigabyte that it pushed", async () => {
  const reference = `${server.host}/big/by-skopeo:v1`;
  const skopeo = await createSkopeo(workspace);
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${reference}`);
  assert.equal((await registry.manifest("big/by-skopeo", "v1")).digest, image.manifest.digest);
  await registry.readWhole("big/by-skopeo", "v1");
  await skopeo.pull(reference);
  assertHolds(await skopeo.held(reference), image);
  await rm(skopeo.layoutOf(reference), { recursive: true });
});

test("containerd pulls back, identical, a gigabyte that it pushed", async () => {
  const reference = `${server.host}/big/by-containerd:v1`;
  const pusher = await createClient(workspace, "containerd");
  await pusher.load(image, reference);
  await pusher.push(reference);
  const puller = await createClient(workspace, "containerd");
  await puller.pull(reference);
  assertHolds(await puller.held(reference), image);
});

test("docker pulls a gigabyte", async () => {
  const docker = await createClient(workspace, "docker");
  await docker.pull(`${server.host}/big/by-skopeo:v1`);
  assertHolds(await docker.held(`${server.host}/big/by-skopeo:v1`), image);
});

test("the server's memory did not grow with what passed through it", async () => {
  const peak = await server.peakMemoryBytes();
  say(`the server's memory at its peak: ${(peak / mib).toFixed(0)} MiB`);
  assert(peak <= memoryBytesMax, `${peak} bytes of memory at the peak`);
});

/** One layer with one file of noise; compressing that would only take time, so gzip merely stores it. */
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
