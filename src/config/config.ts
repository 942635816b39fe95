/**
 * What Longshore can be told, in its own terms. `distribution-yaml.ts` makes it of a config file.
 */
import type { HttpSettings } from "../http/settings.ts";

export type LogLevel = "error" | "warn" | "info" | "debug";
export type LogFormat = "text" | "json";

export interface ListenAddress {
  /** Without one: every address of the machine. */
  readonly host: string | undefined;
  readonly port: number;
}

export interface Config {
  readonly log: {
    readonly level: LogLevel;
    readonly format: LogFormat;
    readonly accessLog: boolean;
    readonly fields: Readonly<Record<string, string>>;
  };
  readonly storage:
    | { readonly kind: "filesystem"; readonly root: string }
    | { readonly kind: "memory" };
  /**
   * The database's file; by default in the storage's root, or in memory with the memory storage.
   */
  readonly metadataPath: string | undefined;
  readonly deleteEnabled: boolean;
  readonly deleteReferenced: "deny" | "allow";
  /** How long an upload's writer may be silent before another takes over, ms. */
  readonly uploadLeaseMs: number | undefined;
  readonly http: Partial<HttpSettings> & {
    readonly listen: ListenAddress;
    /** How long requests in flight may take to end when the process is told to stop, ms. */
    readonly drainMs: number;
  };
  readonly debug:
    | { readonly listen: ListenAddress; readonly prometheusPath: string | undefined }
    | undefined;
  /** Keys that were read and have no effect, and why: for the log. */
  readonly warnings: readonly string[];
}

/** Long enough for a layer that is nearly there; orchestrators kill after 30 s by themselves. */
const drainMs = 25_000;

const defaultPort = 5000;

/** What `longshore serve` does without a config file. */
export const builtInConfig: Config = {
  log: { level: "info", format: "text", accessLog: true, fields: {} },
  storage: { kind: "filesystem", root: "data" },
  metadataPath: undefined,
  deleteEnabled: true,
  deleteReferenced: "deny",
  uploadLeaseMs: undefined,
  http: { listen: { host: undefined, port: defaultPort }, drainMs },
  debug: undefined,
  warnings: [],
};
