/**
 * Several equal nodes behind a load balancer without stickiness, on one database and one store.
 * Each node has a wire to both of its own, which a test can disturb.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNginx, type NginxServer } from "../../servers/nginx.ts";
import { freePorts } from "../../servers/ports.ts";
import type { PostgresServer } from "../../servers/postgres.ts";
import type { S3Server } from "../../servers/s3.ts";
import { startCeph, startPostgres } from "../../servers/servers.ts";
import { TestBucket } from "./bucket.ts";
import { createDatabase, type TestDatabase } from "./database.ts";
import { RegistryNode } from "./node-process.ts";
import { TcpProxy } from "./tcp-proxy.ts";

/** A section of a config file. */
export type Section = Readonly<Record<string, unknown>>;

export interface ClusterOptions {
  readonly nodes: number;
  /** Bytes in an S3 bucket, or in a folder that all nodes see. */
  readonly storage: "ceph" | "shared folder";
  /** Servers of its own, which may be stopped. */
  readonly ownServers?: boolean;
  /** How long the balancer waits for a node's answer. */
  readonly answerLimitSeconds?: number;
  /** `storage.maintenance` of each node, by its number from 0. By default there is no upkeep. */
  readonly maintenance?: (node: number) => Section;
  /** The nodes are begun by the test. */
  readonly unstarted?: boolean;
}

/** How long an upload's writer may be silent, ms: tests wait for its end, so it is short. */
export const uploadLeaseMs = 1000;

/** Small, so that a few megabytes are an upload of several parts. */
const s3ChunkBytes = 5 * 1024 * 1024;

const noUpkeep: Section = {
  uploadpurging: { enabled: false },
  collect: { enabled: false },
  sweep: { enabled: false },
};

export interface ClusterBucket {
  readonly ceph: S3Server;
  readonly bucket: TestBucket;
  /** From each node, by its number. */
  readonly wires: readonly TcpProxy[];
}

interface Parts {
  readonly nodes: readonly RegistryNode[];
  readonly balancer: NginxServer;
  readonly postgres: PostgresServer;
  readonly database: TestDatabase;
  /** To the database, from each node by its number. */
  readonly databaseWires: readonly TcpProxy[];
  /** Where the bytes lie: a folder, or a bucket. */
  readonly place: ClusterBucket | { readonly root: string };
}

export class Cluster {
  readonly nodes: readonly RegistryNode[];
  readonly balancer: NginxServer;
  readonly postgres: PostgresServer;
  readonly database: TestDatabase;
  readonly databaseWires: readonly TcpProxy[];
  readonly place: Parts["place"];
  readonly #opened: AsyncDisposableStack;

  private constructor(parts: Parts, opened: AsyncDisposableStack) {
    this.nodes = parts.nodes;
    this.balancer = parts.balancer;
    this.postgres = parts.postgres;
    this.database = parts.database;
    this.databaseWires = parts.databaseWires;
    this.place = parts.place;
    this.#opened = opened;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const opened = new AsyncDisposableStack();
    try {
      const cluster = new Cluster(await openParts(options, opened), opened);
      opened.defer(() => cluster.#stopNodes());
      if (options.unstarted !== true) {
        await Promise.all(cluster.nodes.map((node) => node.start()));
      }
      return cluster;
    } catch (error) {
      await opened.disposeAsync();
      throw error;
    }
  }

  /** A node by its number, from 0. */
  node(number: number): RegistryNode {
    const node = this.nodes[number];
    assert(node !== undefined, `there is no node ${number}`);
    return node;
  }

  databaseWire(number: number): TcpProxy {
    const wire = this.databaseWires[number];
    assert(wire !== undefined, `there is no node ${number}`);
    return wire;
  }

  get inBucket(): ClusterBucket {
    assert("bucket" in this.place, "the bytes are in a bucket");
    return this.place;
  }

  async close(): Promise<void> {
    await this.#opened.disposeAsync();
  }

  async #stopNodes(): Promise<void> {
    const running = this.nodes.filter((node) => node.running);
    const stopped = await Promise.allSettled(running.map((node) => node.stop()));
    for (const each of stopped) if (each.status === "rejected") throw each.reason;
  }
}

/** What is opened first is closed last. */
async function openParts(options: ClusterOptions, opened: AsyncDisposableStack): Promise<Parts> {
  const folder = await mkdtemp(join(tmpdir(), "longshore-cluster-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const own = options.ownServers ?? false;
  const [postgres, place] = await Promise.all([
    startPostgres({ own }),
    options.storage === "ceph"
      ? openBucket(own, options.nodes)
      : Promise.resolve({ root: join(folder, "root") }),
  ]);
  opened.defer(() => postgres.stop());
  opened.defer(() => closePlace(place));
  const database = await createDatabase(postgres.endpoint);
  const databaseWires = await startWires(postgres.endpoint, options.nodes);
  opened.defer(() => closeWires(databaseWires));
  const nodes: RegistryNode[] = [];
  for (const [number, wire] of databaseWires.entries()) {
    const config = configuration({ options, number, database: wire.through(database.url), place });
    const port = await freePorts();
    nodes.push(new RegistryNode({ name: `node-${number}`, port, folder, config }));
  }
  const hosts = nodes.map(({ host }) => host);
  const balancer = await startNginx(hosts, { answerLimitSeconds: options.answerLimitSeconds });
  opened.defer(() => balancer.stop());
  return { nodes, balancer, postgres, database, databaseWires, place };
}

function configuration(node: {
  readonly options: ClusterOptions;
  readonly number: number;
  readonly database: string;
  readonly place: Parts["place"];
}): Section {
  const { database, number, options, place } = node;
  return {
    log: { level: "warn", accesslog: { disabled: true } },
    storage: {
      ...storageSection(place, number),
      delete: { enabled: true },
      upload: { lease: `${uploadLeaseMs}ms` },
      maintenance: options.maintenance?.(number) ?? noUpkeep,
    },
    metadata: { postgres: { url: database } },
  };
}

function storageSection(place: Parts["place"], number: number): Section {
  if ("root" in place) return { filesystem: { rootdirectory: place.root } };
  const { bucket, ceph, wires } = place;
  const s3 = {
    bucket: bucket.name,
    regionendpoint: wires[number]?.through(ceph.endpoint),
    region: ceph.region,
    accesskey: ceph.accessKey,
    secretkey: ceph.secretKey,
    forcepathstyle: true,
    secure: false,
    chunksize: s3ChunkBytes,
  };
  return { s3, redirect: { disable: true } };
}

async function openBucket(own: boolean, nodes: number): Promise<ClusterBucket> {
  const ceph = await startCeph({ own });
  const bucket = await TestBucket.create(ceph);
  return { ceph, bucket, wires: await startWires(ceph.endpoint, nodes) };
}

async function closePlace(place: Parts["place"]): Promise<void> {
  if ("root" in place) return;
  await closeWires(place.wires);
  place.bucket.close();
  await place.ceph.stop();
}

async function startWires(endpoint: string, count: number): Promise<readonly TcpProxy[]> {
  return await Promise.all(Array.from({ length: count }, () => TcpProxy.start(endpoint)));
}

async function closeWires(wires: readonly TcpProxy[]): Promise<void> {
  await Promise.all(wires.map((wire) => wire.close()));
}
