#!/usr/bin/env node
/**
 * The command line's first lines: they must run on any Node, say so on one that is too old, and set
 * up what cannot be set up later.
 */
const nodeMajorMin = 26;

/**
 * What only a process's beginning decides.
 *
 * - Threads of libuv's pool wait for disks: with the default of four, four slow syncs would hold up
 *   every read of a blob.
 * - V8 lets the young generation grow to tens of MiB under load, and a registry's requests leave
 *   nothing behind that is worth the room (measured: some 10 MiB less at the same CPU).
 * - One memory arena per pair of threads instead of eight per core.
 */
const environment = { UV_THREADPOOL_SIZE: "16", MALLOC_ARENA_MAX: "2" };
const heapFlags = ["--max-semi-space-size=2"];

/** Set in a process that was begun anew. */
const begunMark = "LONGSHORE_BEGUN";

if (Number(process.versions.node.split(".", 1)[0]) < nodeMajorMin) {
  process.stderr.write(`longshore needs Node ${nodeMajorMin}; this is ${process.version}\n`);
  process.exit(1);
}

/** Begins the process anew: same process id, files and arguments, other settings. */
function beginAnew(): void {
  const [program = process.execPath, script = "", ...args] = process.argv;
  const env = { ...environment, ...process.env, [begunMark]: "1" };
  process.execve?.(program, [program, ...process.execArgv, ...heapFlags, script, ...args], env);
}

// Only a long-lived process is worth it, and Windows cannot do it.
const isServer = process.argv[2] === "serve" && process.platform !== "win32";
if (isServer && process.env[begunMark] === undefined) beginAnew();
const { main } = await import("./main.ts");
await main(process.argv.slice(2));
