/** Fresh places for a registry's bytes and for its metadata, on every kind of server. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MetadataConfig, StorageConfig } from "../../../src/config/config.ts";
import type { AzureServer } from "../../servers/azurite.ts";
import type { S3Server } from "../../servers/s3.ts";
import type { TestServer } from "../../servers/server.ts";
import { startAzurite, startCeph, startPostgres, startSwift } from "../../servers/servers.ts";
import { TestBucket } from "./bucket.ts";
import { createDatabase } from "./database.ts";

export const storageKinds = ["filesystem", "memory", "ceph", "swift", "azurite"] as const;
export const metadataKinds = ["sqlite", "postgres"] as const;
export type StorageKind = (typeof storageKinds)[number];
export type MetadataKind = (typeof metadataKinds)[number];

export interface RegistryPlace {
  readonly storage: StorageConfig;
  /** Without it, what belongs to the storage. */
  readonly metadata: MetadataConfig | undefined;
  remove(): Promise<void>;
}

interface Part<T> {
  readonly config: T;
  remove(): Promise<void>;
}

/** Opened once in a process: the servers are found or started, and a bucket is made. */
const openStorages = new Map<StorageKind, Promise<Opened<StorageConfig>>>();
const openDatabases = new Map<MetadataKind, Promise<Opened<MetadataConfig>>>();

export async function makePlace(
  storageKind: StorageKind,
  metadataKind: MetadataKind,
): Promise<RegistryPlace> {
  const [storages, databases] = await Promise.all([
    openStorages.getOrInsertComputed(storageKind, () => storageOpeners[storageKind]()),
    openDatabases.getOrInsertComputed(metadataKind, () => databaseOpeners[metadataKind]()),
  ]);
  const [storage, metadata] = await Promise.all([storages.make(), databases.make()]);
  return {
    storage: storage.config,
    metadata: metadata.config,
    remove: async () => {
      await metadata.remove();
      await storage.remove();
    },
  };
}

/** To be called when the process needs no more of them. */
export async function closePlaces(): Promise<void> {
  const opened = [...openStorages.values(), ...openDatabases.values()];
  for (const each of await Promise.allSettled<Opened<unknown>>(opened)) {
    // What could not be opened has told so, and left nothing.
    if (each.status === "fulfilled") await each.value.close();
  }
  openStorages.clear();
  openDatabases.clear();
}

export function parseStorage(name: string = "filesystem"): StorageKind {
  const found = storageKinds.find((kind) => kind === name);
  if (found === undefined) throw new Error(`No storage is called ${name}: ${storageKinds.join()}`);
  return found;
}

export function parseMetadata(name: string = "sqlite"): MetadataKind {
  const found = metadataKinds.find((kind) => kind === name);
  if (found === undefined)
    throw new Error(`No database is called ${name}: ${metadataKinds.join()}`);
  return found;
}

interface Opened<T> {
  make(): Promise<Part<T>>;
  close(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

const storageOpeners: Readonly<Record<StorageKind, () => Promise<Opened<StorageConfig>>>> = {
  filesystem: () =>
    Promise.resolve({
      make: async () => {
        const { folder, remove } = await newFolder();
        return { config: { root: folder }, remove };
      },
      close: nothing,
    }),
  memory: () =>
    Promise.resolve({
      make: () => Promise.resolve({ config: "memory", remove: nothing }),
      close: nothing,
    }),
  ceph: async () => openOn(await startCeph(), openS3),
  swift: async () => openOn(await startSwift(), openS3),
  azurite: async () => openOn(await startAzurite(), openAzure),
};

const databaseOpeners: Readonly<Record<MetadataKind, () => Promise<Opened<MetadataConfig>>>> = {
  sqlite: () =>
    Promise.resolve({
      make: async () => {
        const { folder, remove } = await newFolder();
        return { config: { sqlite: { path: join(folder, "metadata.db") } }, remove };
      },
      close: nothing,
    }),
  postgres: async () => {
    const server = await startPostgres();
    return {
      make: async () => {
        const { drop, url } = await createDatabase(server.endpoint);
        return { config: { postgres: { url } }, remove: drop };
      },
      close: () => server.stop(),
    };
  },
};

async function newFolder(): Promise<{ readonly folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "longshore-place-"));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Small, so that tests that push a few megabytes see uploads of several parts. */
const s3ChunkBytes = 5 * 1024 * 1024;

async function openOn<T extends TestServer>(
  server: T,
  open: (server: T) => Promise<Opened<StorageConfig>>,
): Promise<Opened<StorageConfig>> {
  try {
    return await open(server);
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** One bucket, in which each registry has a folder: a bucket takes Ceph half a second. */
async function openS3(server: S3Server): Promise<Opened<StorageConfig>> {
  const bucket = await TestBucket.create(server);
  return {
    make: () =>
      Promise.resolve({
        config: { s3: s3Options(bucket), rootDirectory: newDirectory() },
        remove: nothing,
      }),
    close: async () => {
      bucket.close();
      await server.stop();
    },
  };
}

export function s3Options({
  name,
  server,
}: TestBucket): Extract<StorageConfig, { s3: unknown }>["s3"] {
  return {
    bucket: name,
    endpoint: server.endpoint,
    region: server.region,
    accessKey: server.accessKey,
    secretKey: server.secretKey,
    forcePathStyle: true,
    secure: false,
    chunkSize: s3ChunkBytes,
  };
}

async function openAzure(server: AzureServer): Promise<Opened<StorageConfig>> {
  // The vendor's package is an optional one.
  const { createContainer } = await import("./azure-container.ts");
  const container = await createContainer(server);
  return {
    make: () =>
      Promise.resolve({
        config: {
          azure: {
            accountName: server.account,
            container,
            credentials: { type: "shared_key", accountKey: server.key },
            serviceUrl: server.endpoint,
          },
          rootDirectory: newDirectory(),
        },
        remove: nothing,
      }),
    close: () => server.stop(),
  };
}

function newDirectory(): string {
  return `/registry-${randomBytes(6).toString("hex")}`;
}
