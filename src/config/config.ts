/**
 * What Longshore can be told, in its own terms. `distribution-yaml.ts` makes it of a config file.
 */
import type { HttpSettings } from "../http/settings.ts";
import { defaultUpkeepSettings, type UpkeepSettings } from "../jobs/settings.ts";
import type { PostgresOptions } from "../metadata/postgres/postgres-options.ts";
import type { AzureOptions } from "../storage/azure/azure-options.ts";
import type { GcsOptions } from "../storage/gcs/gcs-options.ts";
import type { LinkOptions } from "../storage/links/link-options.ts";
import type { ResilienceSettings } from "../storage/objects/resilient-bucket-settings.ts";
import type { S3Options } from "../storage/s3/s3-options.ts";

export type LogLevel = "error" | "warn" | "info" | "debug";
export type LogFormat = "text" | "json";

export interface ListenAddress {
  /** Without one: every address of the machine. */
  readonly host: string | undefined;
  readonly port: number;
}

/** Where the bytes lie: in a folder of this machine, in nothing but memory, or elsewhere. */
export type StorageConfig = "memory" | { readonly root: string } | ObjectStorage;

/** An object store, and what all kinds of it share. */
export type ObjectStorage = (
  | { readonly s3: S3Options }
  | { readonly azure: AzureOptions }
  | { readonly gcs: GcsOptions }
) & {
  /** What every key begins with. By default nothing. */
  readonly rootDirectory?: string | undefined;
  /**
   * Committed content lies under Distribution's keys, for those who want the way back: at the price
   * of a copy within the store.
   */
  readonly distributionKeys?: boolean | undefined;
  /** Time limits and retries. */
  readonly resilience?: Partial<ResilienceSettings> | undefined;
};

export interface PostgresConfig extends PostgresOptions {
  /** A file that holds the password and perhaps a line break. It is read once, at the start. */
  readonly passwordFile?: string | undefined;
}

/** What the bytes mean: in a file of this machine, or in PostgreSQL. */
export type MetadataConfig =
  | { readonly sqlite: { readonly path: string } }
  | { readonly postgres: PostgresConfig };

export interface Config {
  readonly log: {
    readonly level: LogLevel;
    readonly format: LogFormat;
    readonly accessLog: boolean;
    readonly fields: Readonly<Record<string, string>>;
  };
  readonly storage: StorageConfig;
  /**
   * By default SQLite, in the storage's root, or in memory with the memory storage. Object stores
   * have no default.
   */
  readonly metadata: MetadataConfig | undefined;
  /** What changes the URLs that clients are sent to for a blob. */
  readonly links: readonly LinkOptions[];
  readonly deleteEnabled: boolean;
  readonly deleteReferenced: "deny" | "allow";
  /** How long an upload's writer may be silent before another takes over, ms. */
  readonly uploadLeaseMs: number | undefined;
  /** The jobs behind the registry. */
  readonly upkeep: UpkeepSettings;
  readonly http: Partial<HttpSettings> & {
    readonly listen: ListenAddress;
    /** How long requests in flight may take to end when the process is told to stop, ms. */
    readonly drainMs: number;
    /** Processes that answer on the one address; `auto`: one for each core. */
    readonly workers: number | "auto";
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
  storage: { root: "data" },
  metadata: undefined,
  links: [],
  deleteEnabled: true,
  deleteReferenced: "deny",
  uploadLeaseMs: undefined,
  upkeep: defaultUpkeepSettings,
  http: { listen: { host: undefined, port: defaultPort }, drainMs, workers: 1 },
  debug: undefined,
  warnings: [],
};
