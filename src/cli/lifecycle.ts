/** How a server's process begins to listen, and is told to end. */
import type { Logger } from "../observe/logger.ts";

/** Says which key to change when the address cannot be had. */
export async function listening<T>(key: string, server: Promise<T>): Promise<T> {
  try {
    return await server;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${key}: ${reason}; another address can be set in a config file`, {
      cause: error,
    });
  }
}

/** Resolves on SIGTERM or SIGINT. A second one is for `endAtOnce`. */
export async function stopSignal(logger: Logger, endAtOnce: () => void): Promise<void> {
  const { promise, resolve: stop } = Promise.withResolvers<NodeJS.Signals>();
  const signals = ["SIGTERM", "SIGINT"] as const;
  for (const signal of signals) process.once(signal, () => stop(signal));
  const signal = await promise;
  logger.info(`${signal}: waiting for requests in flight; a second signal ends them`);
  for (const second of signals) process.once(second, endAtOnce);
}
