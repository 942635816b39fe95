#!/usr/bin/env node
/**
 * The command line's first lines: they must run on any Node, say so on one that is too old, and set
 * up what cannot be set up later.
 */
const nodeMajorMin = 26;

/**
 * Threads of libuv's pool. They wait for disks: with the default of four, four slow syncs would
 * hold up every read of a blob.
 */
const threadPoolSize = "16";

if (Number(process.versions.node.split(".", 1)[0]) < nodeMajorMin) {
  process.stderr.write(`longshore needs Node ${nodeMajorMin}; this is ${process.version}\n`);
  process.exit(1);
}
process.env["UV_THREADPOOL_SIZE"] ??= threadPoolSize;
const { main } = await import("./main.ts");
await main(process.argv.slice(2));
