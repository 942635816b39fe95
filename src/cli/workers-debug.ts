/** The debug server of all workers: the primary answers for them. */
import type { Config } from "../config/config.ts";
import type { RunningServer } from "../node/serve.ts";
import type { Logger } from "../observe/logger.ts";
import { renderWorkerMetrics } from "../observe/worker-metrics.ts";
import { serveDebug } from "./debug-server.ts";
import type { WorkerFleet } from "./worker-fleet.ts";

export function serveWorkersDebug(
  debug: NonNullable<Config["debug"]>,
  sinks: { readonly fleet: WorkerFleet; readonly logger: Logger },
): Promise<RunningServer> {
  const { fleet, logger } = sinks;
  const render = async (): ReturnType<typeof renderWorkerMetrics> => {
    const states = await fleet.states();
    return await renderWorkerMetrics(states, { residentBytes: process.memoryUsage.rss() });
  };
  return serveDebug(debug, {
    metrics: { render },
    readiness: { report: () => fleet.health() },
    logger,
  });
}
