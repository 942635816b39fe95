/** Finding out what a registry has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageMaker } from "./images.ts";
import { createPodman } from "./podman.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const skopeo = await createSkopeo(workspace);

/** What `skopeo inspect` prints, in part. */
interface Inspected {
  readonly Name: string;
  readonly Digest: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
  readonly Architecture: string;
}

const image = await images.make();
const name = "shop/window";
const repository = `${server.host}/${name}`;
await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${repository}:v0`);

const { bytes } = await registry.manifest(name, "v0");
const tags = Array.from({ length: 250 }, (_, number) => `v${number}`);
for (const tag of tags) await registry.pushManifest(name, tag, Uint8Array.from(bytes));
const inOrder = tags.toSorted();

const unordered = server.lacking("it lists tags as they lie on the disk, all at once");

test("skopeo lists all of 250 tags", async () => {
  assert.deepEqual((await skopeo.listTags(repository)).toSorted(), inOrder);
});

test("tags are listed in order", { expectFailure: unordered }, async () => {
  assert.deepEqual(await skopeo.listTags(repository), inOrder);
});

test("podman searches through all of 250 tags", async () => {
  const podman = await createPodman(workspace);
  const listed = await podman.podman(
    ...["search", "--list-tags", "--limit", "1000", "--tls-verify=false"],
    ...["--format", "json", repository],
  );
  const found = JSON.parse(listed) as readonly { readonly Tags: readonly string[] }[];
  assert.deepEqual(
    found.map(({ Tags }) => Tags.toSorted()),
    [inOrder],
  );
});

test("pages of tags follow each other by links", { expectFailure: unordered }, async () => {
  const seen: string[] = [];
  const pageSizes: number[] = [];
  let path: string | undefined = `/v2/${name}/tags/list?n=60`;
  while (path !== undefined) {
    const answer = await registry.request("GET", path);
    assert.equal(answer.status, 200);
    const page = (await answer.json()) as { readonly name: string; readonly tags: string[] };
    assert.equal(page.name, name);
    seen.push(...page.tags);
    pageSizes.push(page.tags.length);
    path = /<([^>]+)>; *rel="?next"?/.exec(answer.headers.get("link") ?? "")?.[1];
  }
  assert.deepEqual(seen, inOrder);
  assert.deepEqual(pageSizes, [60, 60, 60, 60, 10]);
});

test("podman finds repositories in the catalog", async () => {
  for (const other of ["shop/counter", "attic"]) {
    await skopeo.copy(`docker://${repository}:v0`, `docker://${server.host}/${other}:v0`);
  }
  const podman = await createPodman(workspace);
  const search = ["search", "--tls-verify=false", "--format", "{{.Name}}"];
  const found = await podman.podman(...search, `${server.host}/shop`);
  const names = found.trim().split("\n").toSorted();
  assert.deepEqual(names, [`${server.host}/shop/counter`, repository]);
});

test("skopeo inspects an image without pulling it", async () => {
  const found = JSON.parse(await skopeo.inspect(`${repository}:v7`)) as Inspected;
  assert.equal(found.Name, repository);
  assert.equal(found.Digest, image.manifest.digest);
  assert.deepEqual(found.RepoTags.toSorted(), inOrder);
  assert.deepEqual(
    found.Layers,
    image.layers.map(({ digest }) => digest),
  );
  assert.equal(found.Architecture, "amd64");
});

test("skopeo shows the manifest and the configuration as they were pushed", async () => {
  assert.equal(await skopeo.inspect(`${repository}:v7`, "--raw"), bytes.toString());
  const raw = await skopeo.inspect(`${repository}:v7`, "--config", "--raw");
  const blob = await registry.request("GET", `/v2/${name}/blobs/${image.config.digest}`);
  assert.equal(raw, await blob.text());
});
