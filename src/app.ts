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
import type { MetadataStore } from "./metadata/metadata-store.ts";
import type { ObservedRequest } from "./observe/request-observer.ts";
import { defaultSettings, type RegistrySettings } from "./registry/context.ts";
import { createUseCases } from "./registry/registry.ts";
import type { BlobStore } from "./storage/blob-store.ts";

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
  readonly observe?: ((request: ObservedRequest) => void) | undefined;
  /** Told of failures behind an answer that was given all the same. */
  readonly report?: ((problem: string, error: unknown) => void) | undefined;
}

export interface ComposedRegistry {
  readonly handle: Handle;
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
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
  const registry = createUseCases({
    metadata,
    store,
    settings: { ...defaultSettings, ...options.settings },
    now: Date.now,
    newId: randomUUID,
    writer: `${hostname()}:${process.pid}:${randomUUID()}`,
    report: options.report ?? (() => undefined),
  });
  const observe = options.observe;
  const handle = createApp({
    registry,
    settings: { ...defaultHttpSettings, ...options.http },
    observe: observe === undefined ? () => undefined : (seen) => observe(toObserved(seen)),
    clock: () => performance.now(),
    newRequestId: randomUUID,
  });
  opened.defer(() => registry.close());
  return { handle, metadata, store, close: () => opened.disposeAsync() };
}

/** Both at once: either may be on the other side of a network. */
async function openPorts(
  { metadata, storage }: ComposeOptions,
  opened: AsyncDisposableStack,
): Promise<{ readonly metadata: MetadataStore; readonly store: BlobStore }> {
  const [database, bytes] = await Promise.allSettled([
    isMetadataStore(metadata) ? Promise.resolve(metadata) : openMetadata(metadata, storage),
    isBlobStore(storage) ? Promise.resolve(storage) : openStorage(storage, { now: Date.now }),
  ]);
  if (bytes.status === "fulfilled" && bytes.value !== storage) {
    opened.defer(() => bytes.value.close());
  }
  if (database.status === "fulfilled" && database.value !== metadata) {
    opened.defer(() => database.value.close());
  }
  if (database.status === "rejected") throw database.reason;
  if (bytes.status === "rejected") throw bytes.reason;
  return { metadata: database.value, store: bytes.value };
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
