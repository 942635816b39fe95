/**
 * Longshore, embedded: a container registry as a web-standard `fetch` function.
 *
 *     import { createRegistry } from "longshore";
 *     const registry = await createRegistry({ storage: "memory" });
 *     const response = await registry.fetch(new Request("http://localhost/v2/"));
 *
 * @module
 */
import { compose, type ComposeOptions, type ComposedRegistry } from "./app.ts";
import { toResponse } from "./http/exchange.ts";
import { serve } from "./node/serve.ts";

export type {
  MetadataConfig,
  ObjectStorage,
  PostgresConfig,
  StorageConfig,
} from "./config/config.ts";
export type { HttpSettings } from "./http/settings.ts";
export type { JobName, JobRun, UpkeepSettings } from "./jobs/upkeep.ts";
export type { RegistrySettings } from "./registry/context.ts";
export type { RunningServer } from "./node/serve.ts";
export type { AzureOptions } from "./storage/azure/azure-options.ts";
export type { GcsOptions } from "./storage/gcs/gcs-options.ts";
export type { LinkOptions } from "./storage/links/link-options.ts";
export type { S3Options } from "./storage/s3/s3-options.ts";

/** What an embedded registry can be told. Everything has a default. */
export interface RegistryOptions extends Partial<Omit<ComposeOptions, "observe">> {}

export interface EmbeddedRegistry {
  /** Answers any request below `/v2/`; never rejects. */
  fetch(request: Request): Promise<Response>;
  /** Listens on a port of its own, with everything that the edge of HTTP needs. */
  serve(options: { readonly port: number; readonly host?: string }): Promise<ServedRegistry>;
  /** Its upkeep runs by itself; this does one job now. */
  readonly upkeep: ComposedRegistry["upkeep"];
  /** Closes what it has opened. To be called when nothing is in flight any more. */
  close(): Promise<void>;
}

export interface ServedRegistry {
  /** `http://host:port`. */
  readonly url: string;
  readonly port: number;
  /** Stops listening; requests in flight may take `drainMs` to end. */
  close(options: { readonly drainMs: number }): Promise<void>;
}

/**
 * A registry in memory, in a folder, or on an object store with a database beside it:
 *
 *     await createRegistry({ storage: { root: "data" } });
 *     await createRegistry({
 *       storage: { s3: { bucket: "images", region: "eu-west-1" } },
 *       metadata: { postgres: { url: "postgres://longshore@database.example/longshore" } },
 *     });
 *
 * `longshore/storage` and `longshore/metadata` have what stores of one's own are made of.
 */
export async function createRegistry(options: RegistryOptions = {}): Promise<EmbeddedRegistry> {
  const composed = await compose({ storage: "memory", ...options });
  return {
    fetch: async (request) => toResponse(await composed.handle(request)),
    serve: (where) => serve({ ...where, handle: composed.handle }),
    upkeep: composed.upkeep,
    close: () => composed.close(),
  };
}
