/**
 * A node stands still in the middle of its upkeep, for longer than its leases run. Another one
 * takes over, and somebody pushes the very content that the first one was about to remove. Then it
 * wakes (invariant I4).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Random, seedFrom } from "../race/support/random.ts";
import {
  assertClean,
  backends,
  cleanUp,
  Cluster,
  isPulled,
  litter,
  promptSettings,
  push,
  type Gate,
  type Node,
} from "./support.ts";

for (const [name, openBackend] of Object.entries(backends)) {
  test(`${name}: a node that wakes after its lease harms nobody`, async (context) => {
    const seed = seedFrom("JOBS_SEED");
    context.diagnostic(`JOBS_SEED=${seed}`);
    const random = new Random(seed);
    const every = Number(process.env["JOBS_EVERY"] ?? 5);
    let steps = random.integer(0, every - 1);
    for (let isStopped = true; isStopped; steps += every) {
      const cluster = await Cluster.open(context, await openBackend(context));
      try {
        isStopped = await standStill(cluster, steps, random);
      } catch (cause) {
        throw new Error(`JOBS_SEED=${seed}, after ${steps} steps`, { cause });
      }
    }
    context.diagnostic(`${steps} steps`);
    assert(steps > 20);
  });
}

/** Whether the node had to stand still at all: it may be done by then. */
async function standStill(cluster: Cluster, steps: number, random: Random): Promise<boolean> {
  const healthy = await cluster.node();
  const { unused, used } = await litter(cluster, healthy, random);
  const process = new StoppedProcess(steps);
  // Some have no lease that anybody would respect: their claims alone have to do.
  const lonely = random.chance(0.5);
  const settings = { ...promptSettings, leaseMs: 1 };
  const zombie = await process.open(() => cluster.node(process.gate, { lonely, settings }));
  const running = zombie === undefined ? undefined : cleanUp(zombie).catch(() => undefined);
  const isStopped = await process.stops(running);
  const pushAll = async (): Promise<void> => {
    for (const content of unused) await push(healthy, content);
  };
  const takeOver = (): Promise<void> => cleanUpWhenFree(healthy);
  const happened = random.pick([
    [takeOver, pushAll],
    [pushAll, takeOver],
    [takeOver, pushAll, takeOver],
    [pushAll],
  ]);
  for (const happens of happened) await happens();
  const dies = random.chance(0.3);
  process.wake(dies ? random.integer(0, 10) : Infinity);
  await running;
  const all = [used, ...unused];
  if (!dies) for (const content of all) assert(await isPulled(healthy, content));
  await cleanUpWhenFree(healthy);
  await assertClean(healthy, cluster.metadata, all);
  return isStopped;
}

/** The stopped node's lease has to run out first, which is a matter of a millisecond. */
async function cleanUpWhenFree(node: Node): Promise<void> {
  while ((await node.upkeep.runOnce("sweep")).outcome === "busy") await setImmediate();
  await cleanUp(node);
}

/** A process that is stopped after so many calls, and may die some calls after it was woken. */
class StoppedProcess {
  #left: number;
  readonly #stopped = Promise.withResolvers<void>();
  readonly #woken = Promise.withResolvers<void>();

  constructor(steps: number) {
    this.#left = steps;
  }

  readonly gate: Gate = async () => {
    this.#left -= 1;
    if (this.#left >= 0) return;
    this.#stopped.resolve();
    await this.#woken.promise;
    this.#left -= 1;
    if (this.#left < 0) throw new Error("the process is dead");
  };

  /** It may be stopped before it has begun. */
  async open(start: () => Promise<Node>): Promise<Node | undefined> {
    const starting = start();
    starting.catch(() => undefined);
    const first = await Promise.race([starting, this.#stopped.promise]);
    return first ?? undefined;
  }

  /** Whether it is stopped before `running` ends. */
  async stops(running: Promise<unknown> | undefined): Promise<boolean> {
    const stopped = this.#stopped.promise.then(() => true);
    return await Promise.race([stopped, ...(running ? [running.then(() => false)] : [])]);
  }

  wake(stepsToLive: number): void {
    this.#left = stepsToLive;
    this.#woken.resolve();
  }
}
