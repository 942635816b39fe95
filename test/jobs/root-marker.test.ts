/** Which root a database may delete in: the one that carries its mark, and no other. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test, type TestContext } from "node:test";
import { adoptRoot, type RootVerdict } from "../../src/jobs/root-marker.ts";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import type { BlobStore } from "../../src/storage/blob-store.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";
import {
  assertClean,
  backends,
  Cluster,
  gated,
  open,
  push,
  strand,
  type Backend,
} from "./support.ts";

async function newDatabase(context: TestContext): Promise<MetadataStore> {
  const metadata = await openSqliteStore({ path: ":memory:" });
  context.after(() => metadata.close());
  return metadata;
}

function newRoot(): BlobStore {
  return createMemoryStore({ now: Date.now });
}

async function adopt(store: BlobStore, metadata: MetadataStore): Promise<RootVerdict> {
  return await adoptRoot({ store, metadata, newId: () => randomUUID() });
}

/** The mark that a warning tells to write. */
function remedyIn({ warning = "" }: RootVerdict): string {
  const [mark] = /\{"store":"[^"]+","epoch":\d+\}/.exec(warning) ?? [];
  assert(mark !== undefined, `no mark is told of in: ${warning}`);
  return mark;
}

const content = new TextEncoder().encode("content");

/** A database that something was pushed to, with the root that it was pushed to. */
async function used(context: TestContext): Promise<{ store: BlobStore; metadata: MetadataStore }> {
  const store = newRoot();
  const backend: Backend = { openStore: async () => store, openRaced: async () => store };
  const cluster = await Cluster.open(context, backend);
  await push(await cluster.node(), content);
  return { store, metadata: cluster.metadata };
}

for (const [name, openBackend] of Object.entries(backends)) {
  test(`${name}: a new database and an empty root are marked as each other's`, async (context) => {
    const metadata = await newDatabase(context);
    const { openStore } = await openBackend(context);
    const store = await openStore(open);
    assert.deepEqual(await adopt(store, metadata), { mayDelete: true });
    const identity = await metadata.upkeep.storeIdentity();
    assert(identity !== undefined);
    const marker: unknown = JSON.parse((await store.upkeep.readMarker()) ?? "");
    assert.deepEqual(marker, { store: identity.id, epoch: identity.epoch });
    await strand({ store }, content, "committed");
    assert.deepEqual(await adopt(store, metadata), { mayDelete: true });
    assert.deepEqual(await adopt(await openStore(open), metadata), { mayDelete: true });
    assert.deepEqual(await metadata.upkeep.storeIdentity(), identity);
  });
}

test("of nodes that start at once all write the same mark", async (context) => {
  for (let round = 0; round < 20; round += 1) {
    const metadata = await newDatabase(context);
    const store = newRoot();
    const verdicts = await Promise.all([1, 2, 3].map(() => adopt(store, metadata)));
    assert(verdicts.every(({ mayDelete }) => mayDelete));
    assert.deepEqual(await adopt(store, metadata), { mayDelete: true });
  }
});

test("a node that is late by a push of another one sees the mark after all", async (context) => {
  const metadata = await newDatabase(context);
  const store = newRoot();
  // It has seen no mark; before it looks for content, the other node marks the root and serves.
  const slow = gated(store, async (call) => {
    if (call !== "holdsContent" || (await store.upkeep.readMarker()) !== undefined) return;
    assert.deepEqual(await adopt(store, metadata), { mayDelete: true });
    await strand({ store }, content, "committed");
  });
  assert.deepEqual(await adopt(slow, metadata), { mayDelete: true });
});

test("a crash between the two marks is mended by the next start", async (context) => {
  const metadata = await newDatabase(context);
  const store = newRoot();
  const dying = gated(store, async (call) => {
    if (call === "writeMarker") throw new Error("the process is dead");
  });
  await assert.rejects(adopt(dying, metadata), /the process is dead/);
  const identity = await metadata.upkeep.storeIdentity();
  assert(identity !== undefined);
  assert.deepEqual(await adopt(store, metadata), { mayDelete: true });
  assert.deepEqual(await metadata.upkeep.storeIdentity(), identity);
});

test("in a root of unknown content nothing is deleted until somebody marks it", async (context) => {
  const metadata = await newDatabase(context);
  const store = newRoot();
  await strand({ store }, content, "committed");
  const verdict = await adopt(store, metadata);
  assert.equal(verdict.mayDelete, false);
  assert.match(verdict.warning ?? "", /^nothing is deleted: .* content that no marker speaks of/);
  assert.equal(await store.upkeep.readMarker(), undefined);
  assert.deepEqual(await adopt(store, metadata), verdict);
  await store.upkeep.writeMarker(`${remedyIn(verdict)}\n`);
  assert.deepEqual(await adopt(store, metadata), { mayDelete: true });
});

test("in another database's root nothing is deleted", async (context) => {
  const { store } = await used(context);
  const marker = await store.upkeep.readMarker();
  const other = await newDatabase(context);
  const first = await adopt(store, other);
  assert.equal(first.mayDelete, false);
  assert.match(first.warning ?? "", /belongs to no storage yet/);
  // The right database may still be copied to where this one is.
  assert.equal(await other.upkeep.storeIdentity(), undefined);
  await adopt(newRoot(), other);
  const second = await adopt(store, other);
  assert.equal(second.mayDelete, false);
  assert.match(second.warning ?? "", /this database is that of store/);
  assert.equal(await store.upkeep.readMarker(), marker);
  await store.upkeep.writeMarker(remedyIn(second));
  assert.deepEqual(await adopt(store, other), { mayDelete: true });
});

test("a mark that cannot be read, or is of another epoch, is somebody else's", async (context) => {
  const { metadata, store } = await used(context);
  const { id } = (await metadata.upkeep.storeIdentity()) ?? {};
  const marks = ["", "{", "null", "[]", '{"store":1,"epoch":1}', `{"store":"${id}","epoch":2}`];
  for (const mark of marks) {
    await store.upkeep.writeMarker(mark);
    assert.equal((await adopt(store, metadata)).mayDelete, false, mark);
  }
});

test("an empty root is not marked by a database that knows content", async (context) => {
  const { metadata } = await used(context);
  const empty = newRoot();
  const verdict = await adopt(empty, metadata);
  assert.equal(verdict.mayDelete, false);
  assert.match(verdict.warning ?? "", /is empty and not marked/);
  assert.equal(await empty.upkeep.readMarker(), undefined);
  await empty.upkeep.writeMarker(remedyIn(verdict));
  assert.deepEqual(await adopt(empty, metadata), { mayDelete: true });
});

test("no job runs in a root that is not the database's, and all do once it is", async (context) => {
  const metadata = await newDatabase(context);
  const store = newRoot();
  await strand({ store }, content, "committed");
  const backend: Backend = { openStore: async () => store, openRaced: async () => store };
  const node = await Cluster.nodeOf(metadata, backend);
  for (const job of ["purge", "collect", "sweep"] as const) {
    assert.equal((await node.upkeep.runOnce(job)).outcome, "refused");
  }
  assert.equal(node.reports.length, 1, "it is said once");
  await store.upkeep.writeMarker(remedyIn({ mayDelete: false, warning: node.reports[0] ?? "" }));
  assert.equal((await node.upkeep.runOnce("sweep")).counts.removed, 1);
  await assertClean(node, metadata, []);
});

test("a storage that is away keeps a new registry from starting, no other one", async (context) => {
  const away = new Error("the storage is away");
  const broken = gated(newRoot(), async () => {
    throw away;
  });
  const backend: Backend = { openStore: async () => broken, openRaced: async () => broken };
  const fresh = await Cluster.nodeOf(await newDatabase(context), backend);
  await assert.rejects(fresh.upkeep.start(), away);
  const { metadata } = await used(context);
  const old = await Cluster.nodeOf(metadata, backend);
  await old.upkeep.start();
  await old.upkeep.close();
  assert.match(old.reports.join("\n"), /could not be looked at/);
});
