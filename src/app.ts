/** The composition root: the only file that names adapters. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { openMetadata } from "./app-metadata.ts";
import { openStorage } from "./app-storage.ts";
import type { MetadataConfig, StorageConfig } from "./config/config.ts";
import { createApp, type Observation } from "./http/app.ts";
import type { Handle } from "./http/exchange.ts";
import { defaultHttpSettings, type HttpSettings } from "./http/settings.ts";
import { pathStart } from "./http/urls.ts";
import {
  createUpkeep,
  defaultUpkeepSettings,
  type JobRun,
  type Upkeep,
  type UpkeepSettings,
} from "./jobs/upkeep.ts";
import type { MetadataStore } from "./metadata/metadata-store.ts";
import type { ObservedRequest } from "./observe/request-observer.ts";
import { defaultSettings, type RegistrySettings } from "./registry/context.ts";
import { createUseCases } from "./registry/registry.ts";
import type { BlobStore } from "./storage/blob-store.ts";
import type { LinkOptions } from "./storage/links/link-options.ts";
import type { BucketObserver } from "./storage/objects/resilient-bucket-settings.ts";

export interface ComposeOptions {
  /** Where the bytes lie. A store of one's own is not closed with the registry. */
  readonly storage: StorageConfig | BlobStore;
  /**
   * The database. By default SQLite: in the storage's root, or in memory where the bytes are; any
   * other storage has none. A store of one's own is not closed with the registry.
   */
  readonly metadata?: MetadataConfig | MetadataStore | undefined;
  readonly settings?: Partial<RegistrySettings>;
  readonly http?: Partial<HttpSettings>;
  /** What changes the URLs that clients are sent to for a blob. By default nothing. */
  readonly links?: readonly LinkOptions[];
  /** The jobs behind the registry; `false`: none in this process. */
  readonly upkeep?: Partial<UpkeepSettings> | false;
  /**
   * An environment whose HTTPS_PROXY, HTTP_PROXY and NO_PROXY say how an object store is reached.
   * By default none is read.
   */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>> | undefined;
  readonly observe?: ((request: ObservedRequest) => void) | undefined;
  readonly observeJob?: ((run: JobRun) => void) | undefined;
  readonly observeStorage?: BucketObserver | undefined;
  /** Takes what a storage was asked to log (`loglevel` of S3). */
  readonly log?: ((message: string, fields: object) => void) | undefined;
  /**
   * Told of failures behind an answer that was given all the same, and, without an error, of what
   * an operator should know.
   */
  readonly report?: ((problem: string, error: unknown) => void) | undefined;
}

export interface ComposedRegistry {
  readonly handle: Handle;
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
  readonly upkeep: Pick<Upkeep, "runOnce">;
  close(): Promise<void>;
}

export async function compose(options: ComposeOptions): Promise<ComposedRegistry> {
  const opened = new AsyncDisposableStack();
  try {
    return await composeWith(options, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

/** What was opened is closed in the opposite order. */
async function composeWith(
  options: ComposeOptions,
  opened: AsyncDisposableStack,
): Promise<ComposedRegistry> {
  const { metadata, store } = await openPorts(options, opened);
  const writer = `${hostname()}:${process.pid}:${randomUUID()}`;
  const report = options.report ?? (() => undefined);
  const registry = createUseCases({
    metadata,
    store,
    settings: { ...defaultSettings, ...options.settings },
    now: Date.now,
    newId: randomUUID,
    writer,
    report,
  });
  opened.defer(() => registry.close());
  const upkeep = createUpkeep({
    metadata,
    store,
    settings: { ...defaultUpkeepSettings, ...options.upkeep },
    now: Date.now,
    clock,
    random: Math.random,
    newId: randomUUID,
    holder: writer,
    report,
    observe: options.observeJob,
  });
  opened.defer(() => upkeep.close());
  if (options.upkeep !== false) await upkeep.start();
  const observe = options.observe;
  const handle = createApp({
    registry,
    settings: { ...defaultHttpSettings, ...options.http },
    observe: observe === undefined ? () => undefined : (seen) => observe(toObserved(seen)),
    clock,
    newRequestId: randomUUID,
  });
  return { handle, metadata, store, upkeep, close: () => opened.disposeAsync() };
}

/** Milliseconds that never go back. */
function clock(): number {
  return performance.now();
}

/** Both at once: either may be on the other side of a network. */
async function openPorts(
  options: ComposeOptions,
  opened: AsyncDisposableStack,
): Promise<{ readonly metadata: MetadataStore; readonly store: BlobStore }> {
  const { metadata, storage } = options;
  const [database, bytes] = await Promise.allSettled([
    isMetadataStore(metadata)
      ? Promise.resolve(metadata)
      : openMetadata(metadata, storage, { now: clock, random: Math.random }),
    openBytes(options),
  ]);
  // Whoever has made a store closes it.
  if (bytes.status === "fulfilled" && !isBlobStore(storage)) {
    opened.defer(() => bytes.value.close());
  }
  if (database.status === "fulfilled" && !isMetadataStore(metadata)) {
    opened.defer(() => database.value.close());
  }
  if (database.status === "rejected") throw database.reason;
  if (bytes.status === "rejected") throw bytes.reason;
  return { metadata: database.value, store: bytes.value };
}

async function openBytes(options: ComposeOptions): Promise<BlobStore> {
  const { links = [], log, observeStorage, proxyEnv, storage } = options;
  const report = options.report ?? (() => undefined);
  const store = isBlobStore(storage)
    ? storage
    : await openStorage(storage, {
        now: Date.now,
        clock,
        random: Math.random,
        newId: randomUUID,
        observer: observeStorage,
        proxyEnv,
        log: log ?? (() => undefined),
        report,
      });
  if (links.length === 0) return store;
  try {
    const { linkStore } = await import("./storage/links/linked-store.ts");
    return await linkStore(store, links, {
      s3RootDirectory: s3RootDirectory(storage),
      now: Date.now,
      fetch,
      report,
    });
  } catch (error) {
    if (!isBlobStore(storage)) await store.close();
    throw error;
  }
}

function s3RootDirectory(storage: ComposeOptions["storage"]): string | undefined {
  const isS3 = typeof storage === "object" && "s3" in storage;
  return isS3 ? (storage.rootDirectory ?? "") : undefined;
}

function isBlobStore(storage: ComposeOptions["storage"]): storage is BlobStore {
  return typeof storage === "object" && "append" in storage;
}

function isMetadataStore(metadata: ComposeOptions["metadata"]): metadata is MetadataStore {
  return metadata !== undefined && "execute" in metadata;
}

/** Distribution's names of the endpoints, for metrics. */
const handlerNames: Readonly<Record<Observation["route"], string>> = {
  base: "base",
  catalog: "catalog",
  discover: "extensions",
  tags: "tags",
  manifest: "manifest",
  blob: "blob",
  uploads: "blob_upload",
  upload: "blob_upload_chunk",
  referrers: "referrers",
  none: "none",
};

function toObserved(seen: Observation): ObservedRequest {
  const { answer, durationMs, error, request, requestId, route } = seen;
  const { headers, method, remoteAddress, url } = request;
  const length = answer.headers.find(([name]) => name === "Content-Length");
  return {
    method,
    url,
    target: url.slice(pathStart(url)),
    remoteAddress,
    header: (name) => headers.get(name),
    requestId,
    handler: handlerNames[route],
    status: answer.status,
    contentLength: length?.[1] ?? "0",
    durationMs,
    error,
  };
}
