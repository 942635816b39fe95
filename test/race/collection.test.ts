/**
 * Content that nobody uses is collected while somebody pushes it again, in every order of their
 * steps: whoever was told that it is there can read it (invariant I4).
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { OciError } from "../../src/oci/errors.ts";
import { createFilesystemStore } from "../../src/storage/filesystem.ts";
import { imageManifest, imageType } from "./support/client.ts";
import {
  gatedFileCalls,
  gatedMetadata,
  interleave,
  interleaveEveryWay,
  type Actor,
  type Gate,
  type Interleaving,
} from "./support/interleaving.ts";
import { bodyOf, digestOfContent, openNode, origin, repositoryOf } from "./support/node.ts";
import { assertIntact, strayFiles, temporaryFolder } from "./support/places.ts";
import { Random, seedFrom, sha256 } from "./support/random.ts";

const source = repositoryOf("race/source");
const target = repositoryOf("race/target");

/** Of three actors there are too many orders to try them all. */
const samples = Number(process.env["RACE_ROUNDS"] ?? 16) * 20;

test("a push against the collection of the same content, in every order", async (context) => {
  const scene = await openScene(context);
  const count = await interleaveEveryWay(async (choose) => {
    const content = await scene.abandoned();
    const done = await interleave(
      { push: scene.push(content), collector: scene.collector(content) },
      choose,
    );
    await scene.assertThere(content, done);
    return done;
  });
  context.diagnostic(`${count} orders`);
  assert(count > 100, "the steps were interleaved");
  assert.deepEqual(await strayFiles(scene.root), []);
  await assertIntact(scene.root);
});

test("a push against two collectors, in many orders", async (context) => {
  await inManyOrders(context, (scene, content) => ({
    push: scene.push(content),
    collector: scene.collector(content),
    second: scene.collector(content),
  }));
});

test("two pushes against the collection of the same content, in many orders", async (context) => {
  await inManyOrders(context, (scene, content) => ({
    push: scene.push(content),
    other: scene.push(content),
    collector: scene.collector(content),
  }));
});

test("a push against two collectors and a reader, in many orders", async (context) => {
  await inManyOrders(context, (scene, content) => ({
    push: scene.push(content),
    collector: scene.collector(content),
    second: scene.collector(content),
    reader: scene.reader(content),
  }));
});

async function inManyOrders(
  context: TestContext,
  actors: (scene: Scene, content: Uint8Array) => Readonly<Record<string, Actor>>,
): Promise<void> {
  const seed = seedFrom("RACE_SEED");
  context.diagnostic(`RACE_SEED=${seed}`);
  const random = new Random(seed);
  const scene = await openScene(context);
  for (let sample = 0; sample < samples; sample += 1) {
    const content = await scene.abandoned();
    const choose = (width: number): number => random.integer(0, width - 1);
    const done = await interleave(actors(scene, content), choose);
    await scene.assertThere(content, done);
  }
  assert.deepEqual(await strayFiles(scene.root), []);
  await assertIntact(scene.root);
}

interface Scene {
  readonly root: string;
  /** New content that was pushed once and that nobody uses: it may be collected at once. */
  abandoned(): Promise<Uint8Array>;
  push(content: Uint8Array): Actor;
  collector(content: Uint8Array): Actor;
  /** Reads what it finds: right bytes, or that there is nothing. */
  reader(content: Uint8Array): Actor;
  assertThere(content: Uint8Array, done: Interleaving): Promise<void>;
}

async function openScene(context: TestContext): Promise<Scene> {
  const root = join(await temporaryFolder(context), "root");
  const metadata = await openSqliteStore({ path: ":memory:" });
  context.after(() => metadata.close());
  const random = new Random(1);
  const plain = await openNode({ root, metadata, settings: { graceMs: 0 } });
  const gated = (gate: Gate) =>
    openNode({
      root,
      metadata: gatedMetadata(metadata, gate),
      calls: gatedFileCalls(gate),
    });
  const abandoned = async (): Promise<Uint8Array> => {
    const content = random.bytes(100);
    const { blobs, uploads } = plain.registry;
    await uploads.push(source, digestOfContent(content), bodyOf(content), origin);
    await blobs.delete(source, digestOfContent(content), origin);
    return content;
  };
  // The very first collection makes the folder for what it takes away, which is one step more.
  await collect(root, metadata, await abandoned(), async () => undefined);
  return {
    root,
    abandoned,
    push: (content) => async (gate) => {
      const { registry } = await gated(gate);
      await registry.uploads.push(target, digestOfContent(content), bodyOf(content), origin);
    },
    collector: (content) => async (gate) => {
      await collect(root, gatedMetadata(metadata, gate), content, gate);
    },
    reader: (content) => async (gate) => {
      const node = await gated(gate);
      for (let reads = 0; reads < 2; reads += 1) {
        const found = await pull(node.registry, content).catch((error: unknown) => {
          if (!(error instanceof OciError && error.code === "BLOB_UNKNOWN")) throw error;
        });
        if (found !== undefined) assert.equal(sha256(found), sha256(content));
      }
    },
    assertThere: (content, done) => assertThere(plain.registry, content, done),
  };
}

/** The collector's steps, as the design has them. */
async function collect(
  root: string,
  metadata: MetadataStore,
  content: Uint8Array,
  gate: Gate,
): Promise<void> {
  const store = await createFilesystemStore({ root, calls: gatedFileCalls(gate) });
  const claim = randomUUID();
  const digest = digestOfContent(content);
  const claimed = await metadata.execute("claimBlob", { digest, claim });
  if (claimed.outcome !== "claimed") return;
  let isDeleted = false;
  await store.remove(claimed.key, claim, async () => {
    const { outcome } = await metadata.execute("deleteClaimedBlob", { claim });
    isDeleted = outcome === "deleted";
    return isDeleted;
  });
  // A reader may have called the bytes missing while they were set aside.
  if (!isDeleted) await metadata.execute("confirmBlob", { digest, key: claimed.key });
}

type Registry = Awaited<ReturnType<typeof openNode>>["registry"];

/** Everything that the answer to the push has promised. */
async function assertThere(
  registry: Registry,
  content: Uint8Array,
  { steps }: Interleaving,
): Promise<void> {
  try {
    await registry.blobs.check(target, digestOfContent(content));
    const pulled = await pull(registry, content);
    assert.equal(sha256(pulled), sha256(content));
    const manifest = imageManifest(content, []);
    const digest = digestOfContent(manifest);
    const push = { reference: { digest }, contentType: imageType, bytes: manifest };
    await registry.manifests.push(target, { ...push, tags: [], origin });
  } catch (cause) {
    throw new Error(`after ${steps.join(", ")}`, { cause });
  }
}

async function pull(registry: Registry, content: Uint8Array): Promise<Uint8Array> {
  const { signal } = new AbortController();
  const blob = await registry.blobs.find(target, digestOfContent(content));
  const { body } = await registry.blobs.open(blob, { signal });
  assert(body instanceof Uint8Array, "small content comes as bytes");
  return body;
}
