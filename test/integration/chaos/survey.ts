/**
 * What is left behind when all is well again: nothing that the database does not know, no upload
 * that nobody goes on with, and a change log that readers can follow.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { compose, type ComposedRegistry } from "../../../src/app.ts";
import type { MetadataStore } from "../../../src/metadata/metadata-store.ts";
import { until } from "../../servers/server.ts";
import type { Cluster, ClusterBucket } from "../support/cluster.ts";
import { s3Options } from "../support/places.ts";

const jobs = ["purge", "collect", "sweep"] as const;

/** Every one of the nodes' leases is over by then, ms. */
const sweepLimitMs = 30_000;

/** A process that does the upkeep as nobody else does: at once, and without any grace. */
export async function openJanitor(cluster: Cluster): Promise<ComposedRegistry> {
  const { place } = cluster;
  const job = { enabled: false, intervalMs: 1000 };
  return await compose({
    storage: "bucket" in place ? { s3: s3Options(place.bucket) } : { root: place.root },
    metadata: { postgres: { url: cluster.database.url } },
    upkeep: {
      purge: { ...job, ageMs: 0, dryRun: false },
      collect: job,
      sweep: { ...job, graceMs: 0 },
      leaseMs: 1000,
      duty: 1,
    },
  });
}

/** Resolves with how much is there in the end. Throws where something is left behind. */
export async function survey(
  cluster: Cluster,
  janitor: ComposedRegistry,
): Promise<{ readonly objects: number }> {
  for (const job of jobs) {
    const name = `the end of the job "${job}"`;
    await until(name, () => isDone(cluster, janitor, job), sweepLimitMs);
  }
  const uploads = await cluster.database.query("SELECT id, writer, writer_until FROM uploads");
  assert.deepEqual(uploads, [], "no upload is stuck");
  const blobs = await cluster.database.query<{ key: string; state: string }>(
    'SELECT key, state FROM blobs ORDER BY key COLLATE "C"',
  );
  for (const { key, state } of blobs) assert.equal(state, "live", `${key} is there`);
  const { place } = cluster;
  const held = "bucket" in place ? await inBucket(place) : await inFolder(place.root);
  assert.deepEqual(held.unfinished, [], "no upload has left anything");
  assert.deepEqual(
    held.content,
    blobs.map(({ key }) => key),
    "what is stored is what the database knows",
  );
  return { objects: held.content.length };
}

interface Held {
  /** Keys, in byte order. */
  readonly content: readonly string[];
  /** Of uploads, and set aside by removals. */
  readonly unfinished: readonly string[];
}

async function inBucket({ bucket }: ClusterBucket): Promise<Held> {
  const keys = await bucket.keys("longshore/data/");
  return { content: keys, unfinished: await bucket.unfinished() };
}

async function inFolder(root: string): Promise<Held> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => file !== "longshore/store.json");
  return {
    content: files.filter((file) => file.startsWith("docker/")).toSorted(),
    unfinished: files.filter((file) => !file.startsWith("docker/")),
  };
}

async function isDone(
  { database }: Cluster,
  janitor: ComposedRegistry,
  job: (typeof jobs)[number],
): Promise<boolean> {
  const { outcome } = await janitor.upkeep.runOnce(job);
  assert.notEqual(outcome, "refused", "the root is this database's");
  if (outcome !== "done") return false;
  // An upload whose writer died is its own until the lease is over.
  const leased = "SELECT FROM uploads WHERE writer IS NOT NULL";
  return job !== "purge" || (await database.query(leased)).length === 0;
}

const changesMax = 500;

/**
 * Follows the change log as its readers do, while it is written. Whoever reads numbers what has no
 * place in it yet; several do.
 */
export class LogReader {
  readonly #metadata: MetadataStore;
  readonly #seen: number[] = [];
  #position = 0;

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  /** One page. */
  async read(): Promise<void> {
    const page = await this.#metadata.listChanges({ after: this.#position, limit: changesMax });
    for (const { position, seq } of page) {
      assert(position > this.#position, "positions grow");
      this.#position = position;
      this.#seen.push(seq);
    }
  }

  /** Nothing got a place before one that was read already, and nothing has none. */
  async assertComplete({ database }: Cluster): Promise<number> {
    await until("the end of the change log", async () => {
      await this.read();
      const later = "SELECT FROM changes WHERE position IS NULL OR position > $1 LIMIT 1";
      return (await database.query(later, [this.#position])).length === 0;
    });
    const all = await database.query<{ seq: string }>(
      "SELECT seq::text FROM changes ORDER BY changes.position",
    );
    assert.deepEqual(
      this.#seen,
      all.map(({ seq }) => Number(seq)),
      "a reader has seen every change, once, in the log's order",
    );
    return all.length;
  }
}
