/**
 * Starts servers for somebody who runs single test files again and again, prints the variables that
 * name them, and stops them on Ctrl-C.
 *
 *     node test/servers/main.ts ceph swift azurite postgres
 */
import { once } from "node:events";
import process from "node:process";
import { isServerName, startShared } from "./servers.ts";

const names = process.argv.slice(2);
for (const name of names) {
  if (!isServerName(name)) throw new Error(`No server is called ${name}`);
}
const shared = await startShared(names.filter(isServerName));
for (const [variable, value] of Object.entries(shared.variables)) {
  process.stdout.write(`export ${variable}='${value}'\n`);
}
// Somebody has to hold on to the event loop: servers' pipes do.
await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
await shared.stop();
