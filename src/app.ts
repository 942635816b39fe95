/** The composition root: the only file that names adapters. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";
import { createApp, type Observation } from "./http/app.ts";
import type { Handle } from "./http/exchange.ts";
import { defaultHttpSettings, type HttpSettings } from "./http/settings.ts";
import { pathStart } from "./http/urls.ts";
import type { MetadataStore } from "./metadata/metadata-store.ts";
import { openSqliteStore } from "./metadata/sqlite/sqlite-store.ts";
import type { ObservedRequest } from "./observe/request-observer.ts";
import { defaultSettings, type RegistrySettings } from "./registry/context.ts";
import { createUseCases } from "./registry/registry.ts";
import type { BlobStore } from "./storage/blob-store.ts";
import { createFilesystemStore } from "./storage/filesystem.ts";
import { createMemoryStore } from "./storage/memory.ts";

export interface ComposeOptions {
  /** A folder on this machine, or nothing but memory. */
  readonly storage: { readonly root: string } | "memory";
  /**
   * The database's file. By default it lies in the storage's root; with memory it is in memory too.
   */
  readonly metadataPath?: string | undefined;
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

/** Where the database lies below the storage's root. */
const databasePath = join("longshore", "metadata.db");

export async function compose(options: ComposeOptions): Promise<ComposedRegistry> {
  const { storage } = options;
  const inRoot = storage === "memory" ? ":memory:" : join(storage.root, databasePath);
  const metadata = await openSqliteStore({ path: options.metadataPath ?? inRoot });
  const store = await openStore(storage, metadata);
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
  const close = async (): Promise<void> => {
    await registry.close();
    await metadata.close();
    await store.close();
  };
  return { handle, metadata, store, close };
}

async function openStore(
  storage: ComposeOptions["storage"],
  metadata: MetadataStore,
): Promise<BlobStore> {
  if (storage === "memory") return createMemoryStore({ now: Date.now });
  try {
    return await createFilesystemStore({ root: storage.root });
  } catch (error) {
    await metadata.close();
    throw error;
  }
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
