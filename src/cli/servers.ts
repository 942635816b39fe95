/** The servers around an opened registry: what they log, where they listen, how they stop. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ComposedRegistry, ComposeOptions } from "../app.ts";
import type { Config } from "../config/config.ts";
import { serve, serveConnections, type CarrierOptions, type RunningServer } from "../node/serve.ts";
import { createAccessLog } from "../observe/access-log.ts";
import { createLogger, type Logger } from "../observe/logger.ts";
import { Metrics } from "../observe/metrics.ts";
import type { Readiness } from "../observe/readiness.ts";
import { createRequestObserver, type ObservedRequest } from "../observe/request-observer.ts";
import type { StorageMetrics } from "../observe/storage-metrics.ts";
import { serveDebug } from "./debug-server.ts";
import { listening, stopSignal } from "./lifecycle.ts";
import { describeDatabase, describeStorage } from "./places.ts";
import { readinessOf } from "./readiness-checks.ts";
import { packageVersion } from "./version.ts";
import type { WorkerLink } from "./worker-link.ts";
import type { WorkerFigures } from "./worker-messages.ts";

/** Whom the registry tells; set before it has its first request. */
export interface Listeners {
  observe?: (request: ObservedRequest) => void;
  storage?: Pick<StorageMetrics, "called" | "retried">;
  job?: ComposeOptions["observeJob"];
  log?: (message: string, fields: object) => void;
  report?: (problem: string, error: unknown) => void;
  /** What it reported while nobody listened yet. */
  readonly early: (readonly [problem: string, error: unknown])[];
}

export async function runServers(
  config: Config,
  start: {
    readonly opening: Promise<ComposedRegistry>;
    readonly listeners: Listeners;
    readonly file: string | undefined;
    /** In a worker: how it is told what to serve, and for how long. */
    readonly worker: WorkerLink | undefined;
  },
): Promise<void> {
  const { worker } = start;
  const { fields, format, level } = config.log;
  const logger = createLogger({ level, format, fields });
  for (const warning of config.warnings) logger.warn(`${start.file ?? "config"}: ${warning}`);
  const accessLog = config.log.accessLog
    ? createAccessLog(Date.now, { isShared: worker !== undefined })
    : undefined;
  const metrics = new Metrics();
  const observe = createRequestObserver({ logger, metrics, accessLog });
  start.listeners.observe = observe;
  listenTo(start.listeners, { logger, metrics });
  const registry = await start.opening;
  try {
    await warnOfForeignContent(config, registry, logger);
    const readiness = readinessOf(registry);
    await listenUntilStopped(config, registry, { logger, metrics, observe, readiness, worker });
    logger.info("stopped");
  } finally {
    await registry.close();
    await accessLog?.close();
  }
}

function listenTo(
  listeners: Listeners,
  { logger, metrics }: { readonly logger: Logger; readonly metrics: Metrics },
): void {
  const report = (problem: string, error: unknown): void => {
    if (error === undefined) logger.warn(problem);
    else logger.error({ err: error }, problem);
  };
  listeners.storage = metrics.storage;
  listeners.job = ({ counts, durationMs, job, outcome }) => {
    const level = counts.removed + counts.failed > 0 ? "info" : "debug";
    const fields = { ...counts, durationMs: Math.round(durationMs) };
    logger[level](fields, `upkeep: ${job} ${outcome}`);
  };
  listeners.log = (message, fields) => logger.info(fields, message);
  listeners.report = report;
  for (const [problem, error] of listeners.early.splice(0)) report(problem, error);
}

interface Sinks {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly observe: (request: ObservedRequest) => void;
  readonly readiness: Readiness;
  readonly worker: WorkerLink | undefined;
}

/** Listens until the process is told to stop, and lets what is in flight end. */
async function listenUntilStopped(
  config: Config,
  registry: ComposedRegistry,
  sinks: Sinks,
): Promise<void> {
  const { drainMs } = config.http;
  const servers: RunningServer[] = [];
  try {
    const server = await listening("http.addr", listen(config, registry, sinks));
    servers.push(server);
    if (config.debug !== undefined) {
      servers.push(await listening("http.debug.addr", serveDebug(config.debug, sinks)));
    }
    const text = await greeting(config, server);
    if (sinks.worker === undefined) {
      process.stdout.write(text);
      await stopSignal(sinks.logger, () => process.exit(1));
    } else {
      sinks.worker.ready(text, {
        figures: () => workerFigures(server, sinks.metrics),
        health: () => sinks.readiness.report(),
      });
      await sinks.worker.stopped;
    }
  } finally {
    await Promise.all(servers.map((server) => server.close({ drainMs })));
  }
}

async function workerFigures(server: RunningServer, metrics: Metrics): Promise<WorkerFigures> {
  return {
    residentBytes: process.memoryUsage.rss(),
    connections: server.connectionCount,
    metrics: await metrics.collect(),
  };
}

/** Blobs stay where Distribution keeps them, but what its links and tags mean is not read yet. */
async function warnOfForeignContent(
  { storage }: Config,
  { metadata }: ComposedRegistry,
  logger: Logger,
): Promise<void> {
  if (typeof storage !== "object" || !("root" in storage)) return;
  if (!existsSync(join(storage.root, "docker", "registry", "v2", "repositories"))) return;
  const { items } = await metadata.listRepositories({ after: "", limit: 1 });
  if (items.length > 0) return;
  logger.warn(
    `${resolve(storage.root)} holds a registry of CNCF Distribution: this version cannot import ` +
      "it, so its images are not visible here; nothing of it is changed",
  );
}

async function listen(
  config: Config,
  registry: ComposedRegistry,
  { logger, observe, worker }: Sinks,
): Promise<RunningServer> {
  const { host, port } = config.http.listen;
  const carrier: CarrierOptions = {
    handle: registry.handle,
    onError: (error, context) => logger.error({ err: error, ...context }, "an answer failed"),
    onRefused: (refusal, context) =>
      observe({
        method: context.method ?? "-",
        url: "",
        target: context.target ?? "-",
        remoteAddress: context.remoteAddress,
        header: () => null,
        requestId: context.requestId,
        handler: "none",
        status: refusal.status,
        contentLength: "-",
        durationMs: 0,
        error: refusal,
      }),
  };
  if (worker !== undefined) return serveConnections(carrier, worker.source);
  return await serve({ ...carrier, port, ...(host === undefined ? {} : { host }) });
}

/** What somebody who has just started it wants to know. */
async function greeting(config: Config, server: RunningServer): Promise<string> {
  const address = server.url.replace(/^https?:\/\//, "");
  return [
    `Longshore ${await packageVersion()}`,
    `  listening on  ${server.url}`,
    `  data in       ${describeStorage(config.storage)}`,
    `  database      ${describeDatabase(config)}`,
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
