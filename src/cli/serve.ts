/** `longshore serve`: from a config file to a registry that is being opened. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { compose, type ComposedRegistry } from "../app.ts";
import { builtInConfig, type Config } from "../config/config.ts";
import { readConfig } from "./read-config.ts";
import type { Listeners } from "./servers.ts";
import type { WorkerLink } from "./worker-link.ts";

/**
 * Distribution's environment is not read yet. What decides there about access or where bytes lie
 * must not be ignored; anything else is no reason not to start.
 */
function checkEnvironment(names: readonly string[]): readonly string[] {
  const deciding = names.filter((name) =>
    /^REGISTRY_(AUTH|HTTP_TLS|PROXY|STORAGE)(_|$)/.test(name),
  );
  if (deciding.length > 0) {
    const isKey = /_S3(AWS)?_(ACCESS|SECRET)KEY\b/.test(deciding.join(" "));
    const hint = isKey ? "; S3's keys may be in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" : "";
    throw new Error(
      `${deciding.join(", ")}: this version does not read settings from the environment; ` +
        `put them into the config file, or unset them${hint}`,
    );
  }
  return names.map((name) => `${name} in the environment has no effect in this version`);
}

export async function runServe(file: string | undefined): Promise<void> {
  const names = Object.keys(process.env).filter((name) => /^REGISTRY_[A-Z]/.test(name));
  const environment = checkEnvironment(names);
  const read = file === undefined ? builtInConfig : await readConfig(file);
  const config: Config = { ...read, warnings: [...read.warnings, ...environment] };
  const count = workerCount(config);
  if (count === 1) {
    await serveConfig(config, { file, worker: undefined });
    return;
  }
  const { runWorkers } = await import("./workers.ts");
  await runWorkers(config, { file, count });
}

/** How many processes; `auto`: one for each core that this one may use. */
function workerCount({ http, storage }: Config): number {
  if (http.workers !== "auto") return http.workers;
  // Nobody else sees what lies in a process's memory.
  return storage === "memory" ? 1 : availableParallelism();
}

/** Serves what a config says, until told to stop. */
export async function serveConfig(
  config: Config,
  start: { readonly file: string | undefined; readonly worker: WorkerLink | undefined },
): Promise<void> {
  const listeners: Listeners = { early: [] };
  // The database's thread loads its code while this one loads the servers'.
  const opening = open(config, listeners);
  opening.catch(() => undefined);
  const { runServers } = await import("./servers.ts");
  await runServers(config, { ...start, opening, listeners });
}

function open(config: Config, listeners: Listeners): Promise<ComposedRegistry> {
  const { deleteEnabled, deleteReferenced, http, links, metadata, storage, upkeep } = config;
  const { uploadLeaseMs } = config;
  const isFolder = typeof storage === "object" && "root" in storage;
  return compose({
    http,
    links,
    metadata,
    upkeep,
    storage: isFolder ? { root: resolve(storage.root) } : storage,
    settings: {
      deleteEnabled,
      deleteReferenced,
      ...(uploadLeaseMs === undefined ? {} : { uploadLeaseMs }),
    },
    proxyEnv: process.env,
    observe: (request) => listeners.observe?.(request),
    observeJob: (run) => listeners.job?.(run),
    observeStorage: {
      called: (call) => listeners.storage?.called(call),
      retried: (retry) => listeners.storage?.retried(retry),
    },
    log: (message, fields) => listeners.log?.(message, fields),
    report: (problem, error) => {
      if (listeners.report === undefined) listeners.early.push([problem, error]);
      else listeners.report(problem, error);
    },
  });
}
