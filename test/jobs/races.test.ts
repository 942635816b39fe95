/**
 * Collector, sweeper, a push of the content that they are about to remove, and a reader, in many
 * orders of their steps; leases do not hold back any of them (invariant I4).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OciError } from "../../src/oci/errors.ts";
import { UploadLost } from "../../src/storage/blob-store.ts";
import { interleave, type Actor } from "../race/support/interleaving.ts";
import { digestOfContent, origin } from "../race/support/node.ts";
import { Random, raceRounds, seedFrom } from "../race/support/random.ts";
import {
  abandon,
  assertClean,
  backends,
  cleanUp,
  Cluster,
  home,
  isPulled,
  leaveAside,
  leaveClaimed,
  push,
  strand,
  type Node,
} from "./support.ts";

/** How the content came to be nobody's. */
const pasts = ["abandoned", "claimed", "set aside", "stranded"] as const;

for (const [name, openBackend] of Object.entries(backends)) {
  test(`${name}: whoever pushes what is being removed has it, in any order`, async (context) => {
    const seed = seedFrom("JOBS_SEED");
    context.diagnostic(`JOBS_SEED=${seed}`);
    const random = new Random(seed);
    const cluster = await Cluster.open(context, await openBackend(context));
    for (let round = 0; round < raceRounds() * 3; round += 1) {
      try {
        await raceOnce(cluster, random);
      } catch (cause) {
        throw new Error(`JOBS_SEED=${seed}, in round ${round}`, { cause });
      }
    }
  });
}

async function raceOnce(cluster: Cluster, random: Random): Promise<void> {
  const healthy = await cluster.node();
  const content = random.bytes(100);
  const past = random.pick(pasts);
  await makeUnused(cluster, healthy, content, past);
  const jobs = random.pick([
    ["collect", "sweep"],
    ["sweep", "sweep"],
    ["collect", "collect", "sweep"],
  ] as const);
  // Without a grace a push that is just being committed is taken for one that was left behind. It
  // is refused then, and its client pushes again.
  let isLost = false;
  const asLost = (error: unknown): void => {
    isLost = error instanceof UploadLost;
    isLost ||= error instanceof OciError && error.code === "BLOB_UPLOAD_UNKNOWN";
    if (!isLost) throw error;
  };
  const actors: Record<string, Actor> = {
    push: async (gate) => {
      const node = await cluster.node(gate, { raced: true });
      await push(node, content).catch(asLost);
    },
    reader: async (gate) => read(await cluster.node(gate, { raced: true }), content),
  };
  for (const [index, job] of jobs.entries()) {
    actors[`${job} ${index}`] = async (gate) => {
      const node = await cluster.node(gate, { raced: true, lonely: true });
      await node.upkeep.runOnce(job);
    };
  }
  const { steps } = await interleave(actors, inBursts(random));
  try {
    if (isLost) await push(healthy, content);
    assert(await isPulled(healthy, content));
    await cleanUp(healthy);
    await assertClean(healthy, cluster.metadata, [content]);
    await healthy.registry.blobs.delete(home, digestOfContent(content), origin);
    await cleanUp(healthy);
    await assertClean(healthy, cluster.metadata, []);
  } catch (cause) {
    throw new Error(`${past}, after ${steps.join(", ")}`, { cause });
  }
}

async function makeUnused(
  cluster: Cluster,
  node: Node,
  content: Uint8Array,
  past: (typeof pasts)[number],
): Promise<void> {
  if (past === "stranded") {
    await strand(node, content, "committed");
    return;
  }
  await abandon(node, content);
  if (past === "claimed") await leaveClaimed(cluster, content);
  if (past === "set aside") await leaveAside(cluster, node, content);
}

/** Reads what it finds: right bytes, or that there is nothing. */
async function read(node: Node, content: Uint8Array): Promise<void> {
  for (let reads = 0; reads < 3; reads += 1) {
    try {
      assert(await isPulled(node, content), "nobody reads wrong bytes");
    } catch (error) {
      if (!(error instanceof OciError && error.code === "BLOB_UNKNOWN")) throw error;
    }
  }
}

/** Lets one actor take some steps before another one comes: what is rare comes that way. */
function inBursts(random: Random): (width: number) => number {
  let last = 0;
  return (width) => {
    if (random.chance(0.25) || last >= width) last = random.integer(0, width - 1);
    return last;
  };
}
