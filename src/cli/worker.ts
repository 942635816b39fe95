/**
 * A worker of `longshore serve`, with `http.workers`: a registry like any other, but for the
 * socket, which the primary process has (`workers.ts`).
 */
import { serveConfig } from "./serve.ts";
import { PrimaryChannel } from "./worker-link.ts";

const channel = new PrimaryChannel();
try {
  const task = await channel.task;
  process.title = `longshore worker ${task.worker}`;
  await serveConfig(task.config, { file: task.file, worker: channel.link(task) });
} catch (error) {
  await channel.fail(error instanceof Error ? error.message : String(error));
  // Whatever was opened before must not keep it: the primary waits for its end.
  process.exit(1);
}
channel.close();
