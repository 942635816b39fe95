/**
 * `http.workers`: one port, several processes. This process, the primary, has the socket and
 * accepts; each connection goes to the worker that has the fewest, which serves it from its first
 * byte to its last. The primary sees no request, opens no database, and begins a worker anew when
 * one dies.
 *
 * Registry clients open few connections and keep them, so it matters where each one goes. Of four
 * that came together to two workers, all went to the same one in 12 % of 400 tries with a socket
 * for each worker (SO_REUSEPORT), and in 77 % with one socket that both accept from. Dealt out in
 * turn (`node:cluster`) they are even, until short connections come between long ones: then one
 * worker had all eight long ones. Here the port also stays open, and its backlog kept, while
 * workers die. Handing a connection over costs some 60 us, once.
 */
import type { Config } from "../config/config.ts";
import type { RunningServer } from "../node/serve.ts";
import { createLogger } from "../observe/logger.ts";
import { ConnectionDealer } from "./connection-dealer.ts";
import { listening, stopSignal } from "./lifecycle.ts";
import { WorkerFleet } from "./worker-fleet.ts";

export async function runWorkers(
  config: Config,
  start: { readonly file: string | undefined; readonly count: number },
): Promise<void> {
  refuseUnshared(config);
  const { count, file } = start;
  const { fields, format, level } = config.log;
  const logger = createLogger({ level, format, fields });
  for (const warning of config.warnings) logger.warn(`${file ?? "config"}: ${warning}`);
  const dealer = new ConnectionDealer((error) => {
    logger.error({ err: error }, "a connection could not be accepted");
  });
  const address = await listening("http.addr", dealer.listen(config.http.listen));
  const fleet = new WorkerFleet({
    count,
    logger,
    dealer,
    clock: () => performance.now(),
    task: { config, file, address },
  });
  let debug: RunningServer | undefined;
  try {
    const greeting = await fleet.begin();
    if (config.debug !== undefined) {
      const { serveWorkersDebug } = await import("./workers-debug.ts");
      debug = await listening(
        "http.debug.addr",
        serveWorkersDebug(config.debug, { fleet, logger }),
      );
    }
    process.stdout.write(greeting);
    await Promise.race([stopSignal(logger, () => endAtOnce(fleet)), fleet.lost]);
  } finally {
    dealer.close();
    await fleet.end(config.http.drainMs);
    await debug?.close({ drainMs: 0 });
  }
  logger.info("stopped");
}

/** What lies in one process's memory is not there for the next. */
function refuseUnshared({ storage }: Config): void {
  if (storage !== "memory") return;
  throw new Error(
    "http.workers: with the memory storage each worker would have a registry of its own; " +
      "use one worker, or another storage",
  );
}

function endAtOnce(fleet: WorkerFleet): void {
  fleet.kill();
  process.exit(1);
}
