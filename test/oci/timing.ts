/** A guard against super-linear work on hostile input. */
import assert from "node:assert/strict";

/**
 * Milliseconds of this thread's own computing. Linear work on a megabyte takes some tens of them at
 * most, quadratic work minutes: so far from both, a busy machine does not matter.
 */
const budgetMs = 2_000;

export function assertQuick(work: () => unknown): void {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  const elapsedMs = (user + system) / 1000;
  assert.ok(elapsedMs < budgetMs, `took ${elapsedMs} ms`);
}
