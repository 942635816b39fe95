/**
 * Several equal nodes behind a load balancer without stickiness, on one database and one store.
 * Between them and both of these is a wire each that a test can disturb.
 */
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

export interface ClusterOptions {
  readonly nodes: number;
  /** Bytes in an S3 bucket, or in a folder that all nodes see. */
  readonly storage: "ceph" | "shared folder";
  /** Servers of its own, which may be stopped. */
  readonly ownServers?: boolean;
  /** How long the balancer waits for a node's answer. */
  readonly answerLimitSeconds?: number;
  /** Added to the configuration's section `storage`. */
  readonly storageSettings?: Readonly<Record<string, unknown>>;
  /** Added to the whole configuration. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** How long an upload's writer may be silent, ms: tests wait for its end, so it is short. */
export const uploadLeaseMs = 1000;

/** Small, so that a few megabytes are an upload of several parts. */
const s3ChunkBytes = 5 * 1024 * 1024;

export interface ClusterStorage {
  /** Goes into the nodes' configuration. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly ceph: S3Server | undefined;
  readonly bucket: TestBucket | undefined;
  /** The folder, if it is one. */
  readonly root: string | undefined;
  readonly wire: TcpProxy | undefined;
}

export class Cluster {
  readonly nodes: readonly RegistryNode[];
  readonly balancer: NginxServer;
  readonly postgres: PostgresServer;
  readonly database: TestDatabase;
  readonly databaseWire: TcpProxy;
  readonly storage: ClusterStorage;
  readonly #ends: (() => Promise<void>)[];

  private constructor(parts: Pick<Cluster, PartName>, ends: (() => Promise<void>)[]) {
    this.nodes = parts.nodes;
    this.balancer = parts.balancer;
    this.postgres = parts.postgres;
    this.database = parts.database;
    this.databaseWire = parts.databaseWire;
    this.storage = parts.storage;
    this.#ends = ends;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const ends: (() => Promise<void>)[] = [];
    try {
      const parts = await openParts(options, ends);
      const cluster = new Cluster(parts, ends);
      ends.push(() => cluster.#stopNodes());
      await Promise.all(cluster.nodes.map((node) => node.start()));
      return cluster;
    } catch (error) {
      await endAll(ends);
      throw error;
    }
  }

  /** A node of the cluster by its number, from 0; beyond the last one it is the first again. */
  node(number: number): RegistryNode {
    const node = this.nodes[number % this.nodes.length];
    if (node === undefined) throw new RangeError("a cluster without nodes");
    return node;
  }

  async close(): Promise<void> {
    await endAll(this.#ends);
  }

  async #stopNodes(): Promise<void> {
    const stopped = await Promise.allSettled(
      this.nodes.filter(({ running }) => running).map((node) => node.stop()),
    );
    for (const each of stopped) if (each.status === "rejected") throw each.reason;
  }
}

type PartName = "nodes" | "balancer" | "postgres" | "database" | "databaseWire" | "storage";

async function openParts(
  options: ClusterOptions,
  ends: (() => Promise<void>)[],
): Promise<Pick<Cluster, PartName>> {
  const folder = await mkdtemp(join(tmpdir(), "longshore-cluster-"));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  const own = options.ownServers ?? false;
  const [postgres, storage] = await Promise.all([
    startPostgres({ own }),
    options.storage === "ceph" ? openCeph(own) : openFolder(folder),
  ]);
  ends.push(() => postgres.stop());
  ends.push(() => closeStorage(storage));
  const databaseWire = await TcpProxy.start(postgres.endpoint);
  ends.push(() => databaseWire.close());
  const database = await createDatabase(postgres.endpoint);
  const config = {
    log: { level: "warn", accesslog: { disabled: true } },
    storage: {
      ...storage.config,
      delete: { enabled: true },
      upload: { lease: `${uploadLeaseMs}ms` },
      ...options.storageSettings,
    },
    metadata: { postgres: { url: databaseWire.through(database.url) } },
    ...options.settings,
  };
  const nodes: RegistryNode[] = [];
  for (let number = 1; number <= options.nodes; number += 1) {
    nodes.push(
      new RegistryNode({ name: `node-${number}`, port: await freePorts(), folder, config }),
    );
  }
  const balancer = await startNginx(
    nodes.map(({ host }) => host),
    { answerLimitSeconds: options.answerLimitSeconds },
  );
  ends.push(() => balancer.stop());
  return { nodes, balancer, postgres, database, databaseWire, storage };
}

async function openCeph(own: boolean): Promise<ClusterStorage> {
  const ceph = await startCeph({ own });
  const bucket = await TestBucket.create(ceph);
  const wire = await TcpProxy.start(ceph.endpoint);
  const s3 = {
    bucket: bucket.name,
    regionendpoint: wire.through(ceph.endpoint),
    region: ceph.region,
    accesskey: ceph.accessKey,
    secretkey: ceph.secretKey,
    forcepathstyle: true,
    secure: false,
    chunksize: s3ChunkBytes,
  };
  return { config: { s3, redirect: { disable: true } }, ceph, bucket, root: undefined, wire };
}

function openFolder(folder: string): Promise<ClusterStorage> {
  const root = join(folder, "root");
  return Promise.resolve({
    config: { filesystem: { rootdirectory: root } },
    ceph: undefined,
    bucket: undefined,
    root,
    wire: undefined,
  });
}

async function closeStorage({ bucket, ceph, wire }: ClusterStorage): Promise<void> {
  bucket?.close();
  await wire?.close();
  await ceph?.stop();
}

async function endAll(ends: (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
    await end().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw new AggregateError(failures, "The cluster did not end cleanly");
}
