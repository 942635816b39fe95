/**
 * Longshore, embedded: a container registry as a web-standard `fetch` function.
 *
 *     import { createRegistry } from "longshore";
 *     const registry = await createRegistry({ storage: "memory" });
 *     const response = await registry.fetch(new Request("http://localhost/v2/"));
 *
 * @module
 */
import { compose, type ComposeOptions } from "./app.ts";
import { toResponse } from "./http/exchange.ts";
import { serve } from "./node/serve.ts";

export type { HttpSettings } from "./http/settings.ts";
export type { RegistrySettings } from "./registry/context.ts";
export type { RunningServer } from "./node/serve.ts";

/** What an embedded registry can be told. Everything has a default. */
export interface RegistryOptions extends Partial<Omit<ComposeOptions, "observe">> {}

export interface EmbeddedRegistry {
  /** Answers any request below `/v2/`; never rejects. */
  fetch(request: Request): Promise<Response>;
  /** Listens on a port of its own, with everything that the edge of HTTP needs. */
  serve(options: { readonly port: number; readonly host?: string }): Promise<ServedRegistry>;
  /** Closes the database. To be called when nothing is in flight any more. */
  close(): Promise<void>;
}

export interface ServedRegistry {
  /** `http://host:port`. */
  readonly url: string;
  readonly port: number;
  /** Stops listening; requests in flight may take `drainMs` to end. */
  close(options: { readonly drainMs: number }): Promise<void>;
}

/** A registry in memory, or, with `storage: { root }`, in a folder. */
export async function createRegistry(options: RegistryOptions = {}): Promise<EmbeddedRegistry> {
  const composed = await compose({ storage: "memory", ...options });
  return {
    fetch: async (request) => toResponse(await composed.handle(request)),
    serve: (where) => serve({ ...where, handle: composed.handle }),
    close: () => composed.close(),
  };
}
