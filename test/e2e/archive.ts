/** What clients write when they save an image. */
import assert from "node:assert/strict";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HeldImage } from "./client.ts";
import { hashFile, hashUncompressed } from "./digests.ts";
import { diffIdsIn, type Descriptor, type Manifest } from "./layout.ts";
import { run } from "./processes.ts";

interface ArchivedImage {
  readonly Config: string;
  readonly Layers: readonly string[];
}

/** Hashes the one image in a Docker archive (`docker save`). The archive is gone then. */
export async function readDockerArchive(archive: string): Promise<Omit<HeldImage, "manifest">> {
  const folder = await unpack(archive);
  const images = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as unknown;
  const [image, ...others] = images as readonly ArchivedImage[];
  assert(image !== undefined && others.length === 0, "one image in the archive");
  const config = (await hashFile(join(folder, image.Config))).digest;
  const diffIds: string[] = [];
  for (const layer of image.Layers) diffIds.push((await hashFile(join(folder, layer))).digest);
  assert.deepEqual(diffIds, await diffIdsIn(join(folder, image.Config)));
  await rm(folder, { recursive: true });
  return { config, diffIds };
}

/** Hashes an image that was written to skopeo's `dir:` transport: its blobs beside its manifest. */
export async function readImageFolder(folder: string): Promise<Omit<HeldImage, "manifest">> {
  const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as Manifest;
  const { config, layers = [] } = manifest;
  assert(config !== undefined, "an image has a configuration");
  const configFile = blobFileIn(folder, config);
  const diffIds: string[] = [];
  for (const layer of layers) {
    const file = blobFileIn(folder, layer);
    assert.equal((await hashFile(file)).digest, layer.digest);
    // The media type may tell of a compression that the layer had in the registry.
    diffIds.push((await hashUncompressed(file)).digest);
  }
  assert.deepEqual(diffIds, await diffIdsIn(configFile));
  const held = { config: (await hashFile(configFile)).digest, diffIds };
  await rm(folder, { recursive: true });
  return held;
}

function blobFileIn(folder: string, { digest }: Descriptor): string {
  return join(folder, digest.replace(/^.*:/, ""));
}

/** Unpacks a tar beside itself, removes it, and returns the folder. */
async function unpack(archive: string): Promise<string> {
  const folder = `${archive}.unpacked`;
  await mkdir(folder);
  await run(["tar", "-xf", archive, "-C", folder]);
  await rm(archive);
  return folder;
}
