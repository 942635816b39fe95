/** What a row needs to find in a registry before it is measured. Nothing here is timed. */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectStatus, inParallel } from "./http-client.ts";
import type { Connection, Reply } from "./http-client.ts";

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY = Buffer.from("{}");

/** Connections that prepare at once: enough for a server that groups its commits. */
const CONNECTIONS = 32;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface ManifestParts {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function descriptor(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

export function manifestBytes(parts: ManifestParts): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, ...parts }));
}

/** Where an upload goes on, as the last answer said; with a digest, where it ends. */
export function uploadUrl(reply: Reply, digest?: string): string {
  const location = reply.headers.get("location");
  if (location === undefined) throw new Error("an upload's answer has no Location");
  if (digest === undefined) return location;
  return `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
}

async function pushBlob(
  connection: Connection,
  repository: string,
  bytes: Uint8Array,
): Promise<void> {
  const begun = await connection.send({
    method: "POST",
    path: `/v2/${repository}/blobs/uploads/`,
  });
  const path = uploadUrl(expectStatus(begun, 202), digestOf(bytes));
  const headers = { "Content-Type": "application/octet-stream" };
  expectStatus(await connection.send({ method: "PUT", path, headers, body: bytes }), 201);
}

async function putManifest(
  connection: Connection,
  at: { readonly repository: string; readonly reference: string; readonly type?: string },
  body: Uint8Array,
): Promise<void> {
  const path = `/v2/${at.repository}/manifests/${at.reference}`;
  const headers = { "Content-Type": at.type ?? MANIFEST_TYPE };
  expectStatus(await connection.send({ method: "PUT", path, headers, body }), 201);
}

/** Blobs of random bytes. Returns the paths to get them from. */
export async function seedBlobs(
  port: number,
  options: { readonly repository: string; readonly count: number; readonly bytes: number },
): Promise<readonly string[]> {
  const paths: string[] = [];
  await inParallel({ port, connections: CONNECTIONS, count: options.count }, async (connection) => {
    const bytes = randomBytes(options.bytes);
    await pushBlob(connection, options.repository, bytes);
    paths.push(`/v2/${options.repository}/blobs/${digestOf(bytes)}`);
  });
  return paths;
}

export interface SeededImages {
  readonly byTag: readonly string[];
  readonly byDigest: readonly string[];
  readonly blobs: readonly string[];
}

/** Images whose manifests have about 1.2 KB, as an image with five layers has. */
export async function seedImages(port: number, count: number): Promise<SeededImages> {
  const byTag: string[] = [];
  const byDigest: string[] = [];
  const blobs: string[] = [];
  await inParallel({ port, connections: 4, count }, async (connection, index) => {
    const repository = `bench/app-${index % 10}`;
    const contents = Array.from({ length: 6 }, () => randomBytes(512));
    for (const content of contents) await pushBlob(connection, repository, content);
    const [config, ...layers] = contents.map((content) => descriptor(LAYER_TYPE, content));
    if (config === undefined) return;
    const created = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString();
    const body = manifestBytes({
      config,
      layers,
      annotations: { "org.opencontainers.image.created": created },
    });
    await putManifest(connection, { repository, reference: `v1.${index}` }, body);
    byTag.push(`/v2/${repository}/manifests/v1.${index}`);
    byDigest.push(`/v2/${repository}/manifests/${digestOf(body)}`);
    blobs.push(`/v2/${repository}/blobs/${config.digest}`);
  });
  return { byTag, byDigest, blobs };
}

/** An image as a real client pushes it: looks for each blob, begins, streams, ends. */
export async function pushImage(
  connection: Connection,
  image: {
    readonly repository: string;
    readonly tag: string;
    readonly layers: number;
    readonly bytes: number;
  },
): Promise<void> {
  const { repository } = image;
  const contents = Array.from({ length: image.layers + 1 }, () => randomBytes(image.bytes));
  for (const content of contents) await pushLikeDocker(connection, repository, content);
  const [config, ...layers] = contents.map((content) => descriptor(LAYER_TYPE, content));
  if (config === undefined) return;
  const body = manifestBytes({ config, layers });
  await putManifest(connection, { repository, reference: image.tag }, body);
}

async function pushLikeDocker(
  connection: Connection,
  repository: string,
  bytes: Uint8Array,
): Promise<void> {
  const blob = `/v2/${repository}/blobs/${digestOf(bytes)}`;
  expectStatus(await connection.send({ method: "HEAD", path: blob }), 404);
  const uploads = `/v2/${repository}/blobs/uploads/`;
  const begun = expectStatus(await connection.send({ method: "POST", path: uploads }), 202);
  const headers = { "Content-Type": "application/octet-stream" };
  const patch = { method: "PATCH", path: uploadUrl(begun), headers, body: bytes };
  const patched = expectStatus(await connection.send(patch), 202);
  const path = uploadUrl(patched, digestOf(bytes));
  expectStatus(await connection.send({ method: "PUT", path }), 201);
}

export async function pullImage(
  connection: Connection,
  image: { readonly repository: string; readonly tag: string },
): Promise<void> {
  const path = `/v2/${image.repository}/manifests/${image.tag}`;
  const headers = { Accept: MANIFEST_TYPE };
  expectStatus(await connection.send({ method: "GET", path, headers }), 200);
}

/** An index without children: a manifest that needs nothing else to be there. */
const emptyIndex = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [] }),
);

export function tagName(index: number): string {
  return `v${String(index).padStart(6, "0")}`;
}

export function repositoryName(index: number): string {
  return `bench/many/r${String(index).padStart(6, "0")}`;
}

export async function seedTags(port: number, repository: string, count: number): Promise<void> {
  await inParallel({ port, connections: CONNECTIONS, count }, async (connection, index) => {
    const at = { repository, reference: tagName(index), type: INDEX_TYPE };
    await putManifest(connection, at, emptyIndex);
  });
}

export async function seedRepositories(port: number, count: number): Promise<void> {
  await inParallel({ port, connections: CONNECTIONS, count }, async (connection, index) => {
    const at = { repository: repositoryName(index), reference: "latest", type: INDEX_TYPE };
    await putManifest(connection, at, emptyIndex);
  });
}

/**
 * The same tags, in the files that docker-registry keeps them in: pushing them takes it minutes.
 */
export function writeTags(root: string, repository: string, count: number): void {
  const manifests = join(root, "docker/registry/v2/repositories", repository, "_manifests");
  const hex = digestOf(emptyIndex).slice("sha256:".length);
  for (let index = 0; index < count; index += 1) {
    const current = join(manifests, "tags", tagName(index), "current");
    mkdirSync(current, { recursive: true });
    writeFileSync(join(current, "link"), `sha256:${hex}`);
  }
}

export function writeRepositories(root: string, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const folder = join(root, "docker/registry/v2/repositories", repositoryName(index));
    for (const inside of ["_layers", "_manifests", "_uploads"]) {
      mkdirSync(join(folder, inside), { recursive: true });
    }
  }
}

/**
 * Artifacts, `perSubject` of them for each subject; subjects need not exist. Returns the subjects.
 */
export async function seedReferrers(
  port: number,
  options: { readonly repository: string; readonly count: number; readonly perSubject: number },
): Promise<readonly string[]> {
  const { repository, count, perSubject } = options;
  const subjects = Array.from({ length: Math.ceil(count / perSubject) }, (_, index) =>
    descriptor(MANIFEST_TYPE, Buffer.from(`subject ${index}`)),
  );
  await seedManifests(port, repository, count, (index) => {
    const subject = subjects[Math.floor(index / perSubject)];
    return { artifactType: "application/vnd.example.sbom", ...(subject && { subject }) };
  });
  return subjects.map((subject) => subject.digest);
}

/** Many small manifests, each different, in ten repositories. */
export async function seedManyManifests(port: number, count: number): Promise<void> {
  for (let repository = 0; repository < 10; repository += 1) {
    await seedManifests(port, `bench/start-${repository}`, count / 10, () => ({}));
  }
}

async function seedManifests(
  port: number,
  repository: string,
  count: number,
  parts: (index: number) => Partial<ManifestParts>,
): Promise<void> {
  await inParallel({ port, connections: 1, count: 1 }, (connection) =>
    pushBlob(connection, repository, EMPTY),
  );
  const empty = descriptor(EMPTY_TYPE, EMPTY);
  await inParallel({ port, connections: CONNECTIONS, count }, async (connection, index) => {
    const annotations = { "org.example.number": `${index}` };
    const body = manifestBytes({ config: empty, layers: [empty], annotations, ...parts(index) });
    await putManifest(connection, { repository, reference: digestOf(body) }, body);
  });
}
