/** One tag that many clients move while others read it. */
import assert from "node:assert/strict";
import {
  assertStatus,
  imageManifest,
  referencesOf,
  type Answer,
  type Client,
} from "./support/client.ts";
import { race } from "./support/places.ts";
import { sha256, type Random } from "./support/random.ts";

const repository = "race/tags";
const writers = 32;
const readers = 8;
const movesEach = 8;

race("32 clients move one tag while others read it", async ({ clients, random }) => {
  const layer = random.bytes(1000);
  const configs = Array.from({ length: writers }, () => random.bytes(64));
  const contents = [layer, ...configs];
  await Promise.all(contents.map((content) => random.pick(clients).push(repository, content)));
  const manifests = configs.map((config) => imageManifest(config, [layer]));
  const known = new Map(manifests.map((manifest) => [sha256(manifest), manifest]));
  const blobs = new Set(contents.map(sha256));
  const move = async (manifest: Buffer, client: Client): Promise<void> => {
    assertStatus(await client.putManifest(repository, "moving", manifest), 201);
  };
  for (const manifest of manifests.slice(0, 1)) await move(manifest, random.pick(clients));

  const moving = new Set(manifests);
  let reads = 0;
  const write = async (own: Random, manifest: Buffer): Promise<void> => {
    for (let moves = 0; moves < movesEach; moves += 1) await move(manifest, own.pick(clients));
    moving.delete(manifest);
  };
  const read = async (own: Random): Promise<void> => {
    while (moving.size > 0) {
      const method = own.pick(["GET", "HEAD"]);
      const pulled = await own.pick(clients).send(method, `/v2/${repository}/manifests/moving`);
      assertKnown(pulled, known);
      if (method === "GET") {
        assert.equal(sha256(pulled.bytes), pulled.header("docker-content-digest"));
        for (const digest of referencesOf(pulled.bytes)) assert(blobs.has(digest));
      }
      reads += 1;
    }
  };
  await Promise.all([
    ...manifests.map((manifest) => write(random.fork(), manifest)),
    ...Array.from({ length: readers }, () => read(random.fork())),
  ]);
  assert(reads > readers, "the tag was read while it moved");

  const ends = await Promise.all(
    clients.map((client) => client.get(`/v2/${repository}/manifests/moving`)),
  );
  for (const end of ends) assertKnown(end, known);
  assert.equal(new Set(ends.map(({ bytes }) => sha256(bytes))).size, 1, "all servers agree");
  assert.deepEqual(await random.pick(clients).tags(repository), ["moving"]);
});

/** A whole manifest that somebody pushed, under its own digest. */
function assertKnown(pulled: Answer, known: ReadonlyMap<string, Buffer>): void {
  assertStatus(pulled, 200);
  const manifest = known.get(pulled.header("docker-content-digest") ?? "");
  assert(manifest !== undefined, "the tag names a manifest that nobody pushed");
  assert.equal(pulled.header("content-length"), String(manifest.byteLength));
}
