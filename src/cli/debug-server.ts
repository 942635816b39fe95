/**
 * The debug server: metrics and health, on an address of its own that the public does not reach.
 *
 * - `/livez`: this process answers. Red means: begin it anew.
 * - `/readyz`, and Distribution's `/debug/health`: what it stands on answers too. Red means: send
 *   clients elsewhere. Beginning it anew would not help.
 */
import type { Config } from "../config/config.ts";
import { serve, type RunningServer } from "../node/serve.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { HealthReport } from "../observe/readiness.ts";

export interface DebugSinks {
  readonly metrics: Pick<Metrics, "render">;
  readonly readiness: { report(): Promise<HealthReport> };
  readonly logger: Logger;
}

interface DebugAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | null;
}

const notFound: DebugAnswer = { status: 404, headers: [["Content-Length", "0"]], body: null };

export function serveDebug(
  debug: NonNullable<Config["debug"]>,
  sinks: DebugSinks,
): Promise<RunningServer> {
  const { host, port } = debug.listen;
  return serve({
    port,
    ...(host === undefined ? {} : { host }),
    handle: async ({ method, url }) => {
      // As Distribution has it: any other method finds nothing.
      if (method !== "GET" && method !== "HEAD") return notFound;
      const path = new URL(url).pathname;
      if (path === debug.prometheusPath) return await metricsAnswer(sinks.metrics);
      if (path === "/livez") return healthAnswer({});
      if (path !== "/readyz" && path !== "/debug/health") return notFound;
      return healthAnswer(await sinks.readiness.report());
    },
    onError: (error) => sinks.logger.error({ err: error }, "the debug server failed"),
  });
}

async function metricsAnswer(metrics: Pick<Metrics, "render">): Promise<DebugAnswer> {
  const { contentType, text } = await metrics.render();
  return { status: 200, headers: [["Content-Type", contentType]], body: text };
}

/** A map of what is down, empty when nothing is. */
function healthAnswer(report: HealthReport): DebugAnswer {
  return {
    status: Object.keys(report).length === 0 ? 200 : 503,
    headers: [
      ["Content-Type", "application/json"],
      ["Cache-Control", "no-store"],
    ],
    body: JSON.stringify(report),
  };
}
