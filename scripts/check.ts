/**
 * Everything that can be said about the code without running it: types, lint, format, what is
 * unused. All of them run, also when an earlier one has found something.
 */
import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import process from "node:process";

const checks: Readonly<Record<string, readonly string[]>> = {
  types: ["tsc", "--noEmit"],
  lint: ["oxlint", "--type-aware", "--deny-warnings", "--report-unused-disable-directives"],
  format: ["oxfmt", "--check"],
  unused: ["knip"],
};

for (const [name, [tool = "", ...args]] of Object.entries(checks)) {
  process.stdout.write(`\n# ${name}: ${tool}\n`);
  const start = performance.now();
  const { status, error } = spawnSync(tool, args, { stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) process.exitCode = 1;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`# ${name}: ${status === 0 ? "ok" : "FAILED"}, ${seconds} s\n`);
}
