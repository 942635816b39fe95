/** `longshore serve`: from a config file to a running registry, and back down. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { compose, type ComposedRegistry } from "../app.ts";
import { builtInConfig, type Config } from "../config/config.ts";
import { ConfigError, parseDistributionYaml } from "../config/distribution-yaml.ts";
import { serve, type RunningServer } from "../node/serve.ts";
import { createAccessLog, type AccessLog } from "../observe/access-log.ts";
import { createLogger, type Logger } from "../observe/logger.ts";
import { Metrics } from "../observe/metrics.ts";
import { createRequestObserver } from "../observe/request-observer.ts";
import { serveDebug } from "./debug-server.ts";
import { packageVersion } from "./version.ts";

export async function runServe(file: string | undefined): Promise<void> {
  const config = file === undefined ? builtInConfig : await readConfig(file);
  const { drainMs } = config.http;
  const { fields, format, level } = config.log;
  const logger = createLogger({ level, format, fields });
  for (const warning of config.warnings) logger.warn(`${file ?? "config"}: ${warning}`);
  const accessLog = config.log.accessLog ? createAccessLog(Date.now) : undefined;
  const metrics = new Metrics();
  const registry = await composeFrom(config, { logger, accessLog, metrics });
  await warnOfForeignContent(config, registry, logger);
  const server = await listen(config, registry, logger);
  const debug =
    config.debug === undefined ? undefined : await serveDebug(config.debug, { metrics, logger });
  process.stdout.write(await greeting(config, server));
  await stopSignal(logger);
  await Promise.all([server.close({ drainMs }), debug?.close({ drainMs })]);
  await registry.close();
  accessLog?.close();
  logger.info("stopped");
}

async function readConfig(file: string): Promise<Config> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new Error(`${file} cannot be read`, { cause: error });
  }
  try {
    return parseDistributionYaml(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.message.split("\n").map((line) => `  ${line}`);
    throw new Error(`${file} cannot be used:\n${lines.join("\n")}`, { cause: error });
  }
}

function composeFrom(
  config: Config,
  sinks: {
    readonly logger: Logger;
    readonly accessLog: AccessLog | undefined;
    readonly metrics: Metrics;
  },
): Promise<ComposedRegistry> {
  const { deleteEnabled, deleteReferenced, storage, uploadLeaseMs } = config;
  return compose({
    storage: storage.kind === "memory" ? "memory" : { root: resolve(storage.root) },
    metadataPath: config.metadataPath,
    settings: {
      deleteEnabled,
      deleteReferenced,
      ...(uploadLeaseMs === undefined ? {} : { uploadLeaseMs }),
    },
    http: config.http,
    observe: createRequestObserver(sinks),
    report: (problem, error) => sinks.logger.error({ err: error }, problem),
  });
}

/** Blobs stay where Distribution keeps them, but what its links and tags mean is not read yet. */
async function warnOfForeignContent(
  { storage }: Config,
  { metadata }: ComposedRegistry,
  logger: Logger,
): Promise<void> {
  if (storage.kind !== "filesystem") return;
  if (!existsSync(join(storage.root, "docker", "registry", "v2", "repositories"))) return;
  const { items } = await metadata.listRepositories({ after: "", limit: 1 });
  if (items.length > 0) return;
  logger.warn(
    `${resolve(storage.root)} holds a registry of CNCF Distribution: this version cannot import ` +
      "it, so its images are not visible here; nothing of it is changed",
  );
}

function listen(
  config: Config,
  registry: ComposedRegistry,
  logger: Logger,
): Promise<RunningServer> {
  const { host, port } = config.http.listen;
  return serve({
    handle: registry.handle,
    port,
    ...(host === undefined ? {} : { host }),
    onError: (error, context) => logger.error({ err: error, ...context }, "an answer failed"),
    onRefused: (refusal, context) => logger.info({ ...context }, refusal.message),
  });
}

/** What somebody who has just started it wants to know. */
async function greeting(config: Config, server: RunningServer): Promise<string> {
  const { storage } = config;
  const data =
    storage.kind === "memory" ? "memory only: gone when it stops" : resolve(storage.root);
  const address = server.url.replace(/^https?:\/\//, "");
  return [
    `Longshore ${await packageVersion()}`,
    `  listening on  ${server.url}`,
    `  data in       ${data}`,
    `  deletes       ${config.deleteEnabled ? "on" : "off (storage.delete.enabled)"}`,
    `  access        open to everybody who can reach it`,
    ``,
    `Push a first image:`,
    `  docker tag alpine ${address}/library/alpine`,
    `  docker push ${address}/library/alpine`,
    ``,
    ``,
  ].join("\n");
}

/** Resolves on SIGTERM or SIGINT. A second one ends the process at once. */
async function stopSignal(logger: Logger): Promise<void> {
  const { promise, resolve: stop } = Promise.withResolvers<NodeJS.Signals>();
  const signals = ["SIGTERM", "SIGINT"] as const;
  for (const signal of signals) process.once(signal, () => stop(signal));
  const signal = await promise;
  logger.info(`${signal}: waiting for requests in flight; a second signal ends them`);
  for (const second of signals) process.once(second, () => process.exit(1));
}
