/**
 * Upkeep in places that several nodes share: a folder, an object store, memory. Each node's calls
 * pass a gate, at which a test stops it, ends it, or lets another one go first.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { adoptRoot } from "../../src/jobs/root-marker.ts";
import { defaultUpkeepSettings, type UpkeepSettings } from "../../src/jobs/settings.ts";
import {
  createUpkeep,
  type JobRun,
  type Upkeep,
  type UpkeepOptions,
} from "../../src/jobs/upkeep.ts";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import type { RepositoryName } from "../../src/oci/names.ts";
import { defaultSettings } from "../../src/registry/context.ts";
import { createUseCases, type Registry } from "../../src/registry/registry.ts";
import type { BlobKey, BlobStore, StoredUpload } from "../../src/storage/blob-store.ts";
import { collected } from "../../src/storage/contract-support.ts";
import { nodeFileCalls, type FileCalls } from "../../src/storage/filesystem-calls.ts";
import { createFilesystemStore } from "../../src/storage/filesystem.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";
import type { ObjectBucket } from "../../src/storage/objects/object-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { gatedFileCalls } from "../race/support/interleaving.ts";
import { bodyOf, digestOfContent, origin, repositoryOf } from "../race/support/node.ts";
import { temporaryFolder } from "../race/support/places.ts";
import { sha256, type Random } from "../race/support/random.ts";
import { MemoryBucket, MemoryObjects } from "../storage/memory-bucket.ts";

/** Passed before each call of a node that leaves the process. */
export type Gate = (call: string) => Promise<void>;

export const open: Gate = async () => undefined;

/** A backend that nodes share. */
export interface Backend {
  readonly openStore: (gate: Gate) => Promise<BlobStore>;
  /** With a gate only at calls that others notice, one at a time. */
  readonly openRaced: (gate: Gate) => Promise<BlobStore>;
}

export const backends: Readonly<Record<string, (context: TestContext) => Promise<Backend>>> = {
  filesystem: async (context) => {
    const root = join(await temporaryFolder(context), "root");
    const open = (calls: FileCalls): Promise<BlobStore> => createFilesystemStore({ root, calls });
    return {
      openStore: (gate) => open(gated(nodeFileCalls, gate)),
      openRaced: (gate) => open(gatedFileCalls(gate)),
    };
  },
  memory: async () => {
    const store = createMemoryStore({ now: Date.now });
    const openStore = async (gate: Gate): Promise<BlobStore> => gated(store, gate, listings);
    return { openStore, openRaced: openStore };
  },
  objects: async () => {
    const objects = new MemoryObjects();
    const newId = (): string => randomUUID();
    const openStore = async (gate: Gate): Promise<BlobStore> => {
      const bucket: ObjectBucket = gated(new MemoryBucket({ objects }), gate);
      return createObjectStore({ bucket, newId, now: Date.now });
    };
    return { openStore, openRaced: openStore };
  },
};

/** Methods of a store that answer with a listing and not with a promise. */
const listings: ReadonlySet<string | symbol> = new Set(["list", "listUploads", "listSetAside"]);

type Call = (...values: readonly unknown[]) => unknown;

/** Every function of `target` passes the gate first, and so do those of its `upkeep`. */
export function gated<T extends object>(
  target: T,
  gate: Gate,
  generators: ReadonlySet<string | symbol> = new Set(),
): T {
  return new Proxy(target, {
    get: (_, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === "upkeep") return gated(value as object, gate, generators);
      if (typeof value !== "function") return value;
      const call = value.bind(target) as Call;
      if (generators.has(name)) {
        return async function* (...values: readonly unknown[]) {
          await gate(String(name));
          yield* call(...values) as AsyncIterable<unknown>;
        };
      }
      return async (...values: readonly unknown[]) => {
        await gate(name === "execute" ? String(values[0]) : String(name));
        return await call(...values);
      };
    },
  });
}

export interface Node {
  readonly registry: Registry;
  readonly store: BlobStore;
  readonly upkeep: Upkeep;
  readonly reports: readonly string[];
}

/** As tests need it: at once, without a grace, and never silent for long. */
export const promptSettings: UpkeepSettings = {
  ...defaultUpkeepSettings,
  sweep: { ...defaultUpkeepSettings.sweep, graceMs: 0 },
  duty: 1,
};

/** Nobody waits for longer than nothing, but until it is told to stop. */
export async function noSleep(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}

export type NodeOptions = Partial<UpkeepOptions> & {
  /** Whether it believes to hold every lease, whoever else does: claims alone must be enough. */
  readonly lonely?: boolean;
  /** Whether its gate lets one call after the other pass. */
  readonly raced?: boolean;
};

/** Nodes that share a database and a backend. */
export class Cluster {
  readonly metadata: MetadataStore;
  readonly #backend: Backend;

  private constructor(metadata: MetadataStore, backend: Backend) {
    this.metadata = metadata;
    this.#backend = backend;
  }

  static async open(context: TestContext, backend: Backend): Promise<Cluster> {
    const metadata = await openSqliteStore({ path: ":memory:" });
    context.after(() => metadata.close());
    const cluster = new Cluster(metadata, backend);
    // A root is marked while it is empty.
    const { store } = await cluster.node();
    const { mayDelete } = await adoptRoot({ store, metadata, newId: () => randomUUID() });
    assert(mayDelete);
    return cluster;
  }

  /** A node that finds the root as it is. */
  static async nodeOf(metadata: MetadataStore, backend: Backend): Promise<Node> {
    return await new Cluster(metadata, backend).node();
  }

  async node(gate: Gate = open, options: NodeOptions = {}): Promise<Node> {
    const reports: string[] = [];
    const report = (problem: string, error: unknown): void => {
      reports.push(error instanceof Error ? `${problem}: ${error.message}` : problem);
    };
    const { lonely, raced, ...given } = options;
    const { openRaced, openStore } = this.#backend;
    const store = await (raced === true ? openRaced(gate) : openStore(gate));
    const gatedMetadata = gated(this.metadata, gate);
    const metadata = lonely === true ? withOwnLeases(gatedMetadata) : gatedMetadata;
    const common = { metadata, store, now: Date.now, newId: () => randomUUID(), report };
    const registry = createUseCases({
      ...common,
      settings: { ...defaultSettings, graceMs: 0 },
      writer: randomUUID(),
    });
    const upkeep = createUpkeep({
      ...common,
      settings: promptSettings,
      clock: () => performance.now(),
      sleep: noSleep,
      random: Math.random,
      holder: randomUUID(),
      ...given,
    });
    return { registry, store, upkeep, reports };
  }
}

/** Gives a node leases of its own. */
function withOwnLeases(metadata: MetadataStore): MetadataStore {
  const own = randomUUID();
  const rename = <T extends { readonly name: string }>(lease: T): T => ({
    ...lease,
    name: `${lease.name} ${own}`,
  });
  return new Proxy(metadata, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (property !== "execute" || typeof value !== "function") return value;
      return async (name: string, input: Record<string, unknown>) => {
        const lease = input["lease"] as { readonly name: string } | undefined;
        const isLease = name === "acquireLease" || name === "releaseLease";
        let renamed = input;
        if (isLease) renamed = rename(input as { readonly name: string });
        else if (name.startsWith("claim") && lease !== undefined) {
          renamed = { ...input, lease: rename(lease) };
        }
        return await (value as (...values: readonly unknown[]) => Promise<unknown>)(name, renamed);
      };
    },
  });
}

export const home: RepositoryName = repositoryOf("upkeep/home");
const elsewhere: RepositoryName = repositoryOf("upkeep/elsewhere");

export async function push(
  { registry }: Pick<Node, "registry">,
  content: Uint8Array,
  repository: RepositoryName = home,
): Promise<void> {
  await registry.uploads.push(repository, digestOfContent(content), bodyOf(content), origin);
}

/** Pushes content, and takes the link away again: nothing uses it, and no promise is left. */
export async function abandon(node: Pick<Node, "registry">, content: Uint8Array): Promise<void> {
  await push(node, content, elsewhere);
  await node.registry.blobs.delete(elsewhere, digestOfContent(content), origin);
}

/** Bytes in the store that the database was never told of: an upload, committed or not. */
export async function strand(
  { store }: Pick<Node, "store">,
  content: Uint8Array,
  how: "committed" | "uploaded",
): Promise<BlobKey | undefined> {
  const id = randomUUID();
  const begun = { id, state: await store.create(id) };
  const { state } = await store.append(begun, ReadableStream.from([content]), { offset: 0 });
  if (how === "uploaded") return undefined;
  const upload: StoredUpload = { id, state };
  const key = await store.commit(upload, digestOfContent(content), content.byteLength);
  await store.abort(upload, { keep: key });
  return key;
}

export async function isPulled(
  { registry }: Pick<Node, "registry">,
  content: Uint8Array,
  repository: RepositoryName = home,
): Promise<boolean> {
  const { signal } = new AbortController();
  const blob = await registry.blobs.find(repository, digestOfContent(content));
  const { body } = await registry.blobs.open(blob, { signal });
  const bytes = body instanceof Uint8Array ? body : Buffer.concat(await collected(body));
  return sha256(bytes) === sha256(content);
}

/** Runs both jobs that remove content, to their end. */
export async function cleanUp({ upkeep }: Pick<Node, "upkeep">): Promise<readonly JobRun[]> {
  const runs = [await upkeep.runOnce("sweep"), await upkeep.runOnce("collect")];
  for (const { counts, outcome } of runs) {
    assert.equal(outcome, "done");
    assert.equal(counts.failed, 0);
  }
  return runs;
}

/** Nothing lies in the store but this content, and nothing is half done. */
export async function assertClean(
  node: Node,
  metadata: MetadataStore,
  contents: readonly Uint8Array[],
): Promise<void> {
  const { store } = node;
  for (const content of contents) assert(await isPulled(node, content), "the content is there");
  const listed = await collected(store.list());
  const keys = await Promise.all(
    contents.map(async (content) => {
      const record = await metadata.findBlob(home, digestOfContent(content));
      return record?.key;
    }),
  );
  assert.deepEqual(new Set(listed.map(({ key }) => key)), new Set(keys));
  assert.deepEqual(await collected(store.upkeep.listSetAside()), []);
  assert.deepEqual(await collected(store.listUploads()), []);
  const { upkeep } = metadata;
  assert.deepEqual(await upkeep.listClaims({ after: 0, limit: 10 }), []);
  assert.deepEqual(await upkeep.listUnused({ after: 0, limit: 10 }), []);
}

/** Everything that upkeep has to do with; and one content, `used`, that stays. */
export async function litter(
  cluster: Cluster,
  node: Node,
  random: Random,
): Promise<{ readonly used: Uint8Array; readonly unused: readonly Uint8Array[] }> {
  const { metadata } = cluster;
  const { store } = node;
  const some = (): Uint8Array => random.bytes(100);
  const [used, unused, claimed, aside, orphan, claimedOrphan] = Array.from({ length: 6 }, some);
  assert(used && unused && claimed && aside && orphan && claimedOrphan);
  await push(node, used);
  for (const content of [unused, claimed, aside]) await abandon(node, content);
  await leaveClaimed(cluster, claimed);
  await leaveAside(cluster, node, aside);
  await strand(node, orphan, "committed");
  await strand(node, random.bytes(400_000), "uploaded");
  const key = await strand(node, claimedOrphan, "committed");
  if (key !== undefined && store.keys === "content") {
    const digest = digestOfContent(claimedOrphan);
    await metadata.execute("claimOrphan", { digest, key, size: 100, claim: randomUUID() });
  }
  return { used, unused: [unused, claimed, aside, orphan, claimedOrphan] };
}

/** A collector has claimed the content, and died. */
export async function leaveClaimed({ metadata }: Cluster, content: Uint8Array): Promise<void> {
  const dead = { digest: digestOfContent(content), claim: randomUUID() };
  const { outcome } = await metadata.execute("claimBlob", dead);
  assert.equal(outcome, "claimed");
}

/** A collector has set the content aside, and died. */
export async function leaveAside(
  { metadata }: Cluster,
  { store }: Pick<Node, "store">,
  content: Uint8Array,
): Promise<void> {
  const dead = { digest: digestOfContent(content), claim: randomUUID() };
  const found = await metadata.execute("claimBlob", dead);
  assert(found.outcome === "claimed");
  const asked = Promise.withResolvers<void>();
  const never = new Promise<boolean>(() => undefined);
  void store.remove(found.key, dead.claim, () => {
    asked.resolve();
    return never;
  });
  await asked.promise;
}
