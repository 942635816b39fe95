/** OCI image layouts: written by hand, and read with every hash checked. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, hashFile, hashUncompressed } from "./digests.ts";

export const mediaTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  gzipLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstdLayer: "application/vnd.oci.image.layer.v1.tar+zstd",
  empty: "application/vnd.oci.empty.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
} as const;

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
}

/** An image manifest or an index, as far as a test looks into it. */
export interface Manifest {
  readonly mediaType?: string;
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
  readonly manifests?: readonly Descriptor[];
}

/** An image in a layout's folder. */
export interface LayoutImage {
  readonly layout: string;
  readonly tag: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** The digests of the layers' tars. */
  readonly diffIds: readonly string[];
}

const tagAnnotation = "org.opencontainers.image.ref.name";

export async function createLayout(layout: string): Promise<void> {
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(join(layout, "index.json"), indexJson([]));
}

export function blobFile(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

async function addBlob(layout: string, bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
  const digest = digestOf(bytes);
  await writeFile(blobFile(layout, digest), bytes);
  return { mediaType, digest, size: bytes.byteLength };
}

export async function addJson(
  layout: string,
  value: object,
  mediaType: string,
): Promise<Descriptor> {
  return addBlob(layout, Buffer.from(JSON.stringify(value)), mediaType);
}

export async function addTag(layout: string, tag: string, manifest: Descriptor): Promise<void> {
  const kept = (await layoutManifests(layout)).filter((entry) => tagOf(entry) !== tag);
  const entry = { ...manifest, annotations: { [tagAnnotation]: tag } };
  await writeFile(join(layout, "index.json"), indexJson([...kept, entry]));
}

/** Writes an index of manifests that are in the layout already, and tags it. */
export async function addIndex(
  layout: string,
  tag: string,
  manifests: readonly Descriptor[],
): Promise<Descriptor> {
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  const descriptor = await addJson(layout, index, mediaTypes.index);
  await addTag(layout, tag, descriptor);
  return descriptor;
}

async function findManifest(layout: string, tag?: string): Promise<Descriptor> {
  const entries = await layoutManifests(layout);
  const found = entries.find((entry) => tag === undefined || tagOf(entry) === tag);
  assert(found !== undefined, `${layout} has ${tag ?? "a manifest"}`);
  const { mediaType, digest, size } = found;
  return { mediaType, digest, size };
}

export async function readManifest(layout: string, descriptor: Descriptor): Promise<Manifest> {
  const bytes = await readFile(blobFile(layout, descriptor.digest));
  assert.equal(digestOf(bytes), descriptor.digest, "the manifest's bytes hash to its digest");
  assert.equal(bytes.byteLength, descriptor.size, "the manifest's size");
  return JSON.parse(bytes.toString()) as Manifest;
}

/** Reads an image, and checks that each blob of it is there and hashes to its digest. */
export async function readImage(
  layout: string,
  tag?: string,
  manifest?: Descriptor,
): Promise<LayoutImage> {
  const descriptor = manifest ?? (await findManifest(layout, tag));
  const { config, layers } = await readManifest(layout, descriptor);
  assert(config !== undefined && layers !== undefined, `${layout} ${tag ?? ""} is an image`);
  for (const { digest, size } of [config, ...layers]) {
    assert.deepEqual(await hashFile(blobFile(layout, digest)), { digest, size });
  }
  const diffIds: string[] = [];
  for (const { digest } of layers) {
    diffIds.push((await hashUncompressed(blobFile(layout, digest))).digest);
  }
  assert.deepEqual(diffIds, await diffIdsIn(blobFile(layout, config.digest)));
  return { layout, tag: tag ?? "", manifest: descriptor, config, layers, diffIds };
}

/** The digests of the layers' tars that an image's configuration lists. */
export async function diffIdsIn(configFile: string): Promise<readonly string[]> {
  const config = JSON.parse(await readFile(configFile, "utf8")) as {
    readonly rootfs: { readonly diff_ids: readonly string[] };
  };
  return config.rootfs.diff_ids;
}

async function layoutManifests(layout: string): Promise<readonly Descriptor[]> {
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as Manifest;
  return index.manifests ?? [];
}

function tagOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.[tagAnnotation];
}

function indexJson(manifests: readonly Descriptor[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
}
