/**
 * A node dies at each step of its upkeep, and another one goes on: nothing that somebody has pushed
 * is lost, and nothing is left that nobody has (invariant I4).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random, seedFrom } from "../race/support/random.ts";
import { assertClean, backends, cleanUp, Cluster, litter, type Gate } from "./support.ts";

/** Lets so many calls pass; from then on the process is dead. */
function fuse(steps: number): Gate {
  let left = steps;
  return async () => {
    left -= 1;
    if (left < 0) throw new Error("the process is dead");
  };
}

for (const [name, openBackend] of Object.entries(backends)) {
  test(`${name}: a node dies at any step, and another one goes on`, async (context) => {
    const seed = seedFrom("JOBS_SEED");
    context.diagnostic(`JOBS_SEED=${seed}`);
    const random = new Random(seed);
    const every = Number(process.env["JOBS_EVERY"] ?? 9);
    let steps = random.integer(0, every - 1);
    for (let isAlive = false; !isAlive; steps += every) {
      const cluster = await Cluster.open(context, await openBackend(context));
      const healthy = await cluster.node();
      const { used } = await litter(cluster, healthy, random);
      isAlive = await survives(cluster, steps);
      try {
        await cleanUp(healthy);
        await assertClean(healthy, cluster.metadata, [used]);
      } catch (cause) {
        throw new Error(`JOBS_SEED=${seed}, after ${steps} steps`, { cause });
      }
    }
    context.diagnostic(`${steps} steps`);
    assert(steps > 20);
  });
}

/** Whether a node comes to the end of its upkeep within so many steps. */
async function survives(cluster: Cluster, steps: number): Promise<boolean> {
  try {
    await cleanUp(await cluster.node(fuse(steps), { lonely: true }));
    return true;
  } catch {
    return false;
  }
}
