/** The debug server of all workers: the primary answers for them. */
import type { Config } from "../config/config.ts";
import type { RunningServer } from "../node/serve.ts";
import type { Logger } from "../observe/logger.ts";
import type { HealthReport } from "../observe/readiness.ts";
import { renderWorkerMetrics } from "../observe/worker-metrics.ts";
import { serveDebug } from "./debug-server.ts";
import type { WorkerFleet, WorkerState } from "./worker-fleet.ts";

export function serveWorkersDebug(
  debug: NonNullable<Config["debug"]>,
  sinks: { readonly fleet: WorkerFleet; readonly logger: Logger },
): Promise<RunningServer> {
  const { fleet, logger } = sinks;
  const render = async (): ReturnType<typeof renderWorkerMetrics> => {
    const states = await fleet.states();
    return await renderWorkerMetrics(states, { residentBytes: process.memoryUsage.rss() });
  };
  const report = async (): Promise<HealthReport> => healthOf(await fleet.states());
  return serveDebug(debug, { metrics: { render }, readiness: { report }, logger });
}

/** All workers stand on the same: what one misses is missing. One that can serve is enough. */
function healthOf(states: readonly WorkerState[]): HealthReport {
  const health = states.flatMap(({ report }) => (report === undefined ? [] : [report.health]));
  if (health.length === 0) return { workers: `none of ${states.length} answers` };
  return Object.assign({}, ...health) as HealthReport;
}
