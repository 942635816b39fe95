/** Many clients at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "./client.ts";
import { ImageMaker, mib } from "./images.ts";
import type { LayoutImage } from "./layout.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo, type Skopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const clientCount = 8;
const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const clients: Skopeo[] = [];
const pushed: LayoutImage[] = [];
const base = await images.make({ layerBytes: [8 * mib, 2 * mib, 1000] });
for (let count = 0; count < clientCount; count++) {
  clients.push(await createSkopeo(workspace));
  pushed.push(await images.make({ base, layerBytes: [mib + count, 10 * count] }));
}

for (const [where, repositoryOf] of [
  ["one repository", () => "shared/app"],
  ["a repository each", (count: number) => `shared/app-${count}`],
] as const) {
  test(`${clientCount} pushes at once of images that share layers, into ${where}`, async () => {
    const references = pushed.map((_, count) => `${repositoryOf(count)}:v${count}`);
    await Promise.all(
      clients.map((client, count) => {
        const { layout, tag } = at(pushed, count);
        const target = `docker://${server.host}/${at(references, count)}`;
        return client.copy(`oci:${layout}:${tag}`, target);
      }),
    );
    for (const [count, image] of pushed.entries()) {
      const { digest } = await registry.manifest(repositoryOf(count), `v${count}`);
      assert.equal(digest, image.manifest.digest);
    }
    await Promise.all(
      clients.map(async (client, count) => {
        const reference = `${server.host}/${at(references, count)}`;
        await client.pull(reference);
        assertHolds(await client.held(reference), at(pushed, count));
      }),
    );
  });
}

function at<T>(list: readonly T[], position: number): T {
  const item = list[position];
  assert(item !== undefined);
  return item;
}
