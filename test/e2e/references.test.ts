/** An image is named by a tag, which moves, or by its digest, which does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "./client.ts";
import { clientNames, createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const skopeo = await createSkopeo(workspace);

const older = await images.make();
const newer = await images.make();
const name = "team/app";
const repository = `${server.host}/${name}`;
for (const image of [older, newer]) {
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${repository}:latest`);
}

test("a moved tag names the newer image, and the older one is there by its digest", async () => {
  assert.equal((await registry.manifest(name, "latest")).digest, newer.manifest.digest);
  assert.equal(
    (await registry.manifest(name, older.manifest.digest)).digest,
    older.manifest.digest,
  );
  assert.deepEqual(await registry.tags(name), ["latest"]);
});

for (const clientName of clientNames) {
  test(`${clientName} pulls by tag and by digest, and sees the tag move`, async () => {
    const client = await createClient(workspace, clientName);
    const byDigest = `${repository}@${older.manifest.digest}`;
    await client.pull(byDigest);
    const held = await client.held(byDigest);
    assertHolds(held, older);
    assert.equal(held.manifest, older.manifest.digest);

    const tagged = `${repository}:moving-${clientName}`;
    for (const image of [older, newer]) {
      await skopeo.copy(`docker://${repository}@${image.manifest.digest}`, `docker://${tagged}`);
      await client.pull(tagged);
      assertHolds(await client.held(tagged), image);
    }
  });
}

test("a tag or digest that was never pushed is unknown, and every client says so", async () => {
  for (const clientName of clientNames) {
    const client = await createClient(workspace, clientName);
    for (const reference of [":never", `@sha256:${"0".repeat(64)}`]) {
      const said = await client.pullInVain(`${repository}${reference}`);
      assert.match(said, /manifest unknown|not found/i);
    }
  }
});
