/** The debug server: metrics, on an address of its own that the public does not reach. */
import type { Config } from "../config/config.ts";
import { serve, type RunningServer } from "../node/serve.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";

export function serveDebug(
  debug: NonNullable<Config["debug"]>,
  sinks: { readonly metrics: Pick<Metrics, "render">; readonly logger: Logger },
): Promise<RunningServer> {
  const { host, port } = debug.listen;
  return serve({
    port,
    ...(host === undefined ? {} : { host }),
    handle: async (request) => {
      const path = new URL(request.url).pathname;
      if (path !== debug.prometheusPath || request.method !== "GET") {
        return { status: 404, headers: [["Content-Length", "0"]], body: null };
      }
      const { contentType, text } = await sinks.metrics.render();
      return { status: 200, headers: [["Content-Type", contentType]], body: text };
    },
    onError: (error) => sinks.logger.error({ err: error }, "the debug server failed"),
  });
}
