/**
 * Run once around the whole integration suite (`node --test --test-global-setup`): starts each
 * server that tests can share, and names them to the processes of the test files.
 */
import process from "node:process";
import { serverNames, startShared, type SharedServers } from "./servers.ts";

const started: { servers?: SharedServers } = {};

export async function globalSetup(): Promise<void> {
  started.servers = await startShared(serverNames);
  Object.assign(process.env, started.servers.variables);
}

/** Not run when the suite is interrupted: then the servers end with the process all the same. */
export async function globalTeardown(): Promise<void> {
  await started.servers?.stop();
}
