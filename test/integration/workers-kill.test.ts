/**
 * A worker is killed amid pushes, again and again. The others answer, another takes its place, and
 * what a client was told is true afterwards.
 *
 * CRASH_SEED repeats a run as far as that is possible; CRASH_ROUNDS=50 kills fifty of them.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Inspection } from "../crash/inspect.ts";
import { Ledger, type PendingUpload } from "../crash/ledger.ts";
import { Worker } from "../crash/workload.ts";
import { assertStatus, Disconnected, octets, withDigest } from "../race/support/client.ts";
import { assertIntact } from "../race/support/places.ts";
import { Random, seedFrom, sha256 } from "../race/support/random.ts";
import { startPostgres } from "../servers/servers.ts";
import { Instance } from "../workers/instance.ts";
import { createDatabase } from "./support/database.ts";

const clientCount = 6;
const rounds = Number(process.env["CRASH_ROUNDS"] ?? 5);

/** Requests and pieces of bodies before a worker is killed. */
const ticksMax = 100;

test("a worker that is killed amid pushes loses nothing that was acknowledged", async (t) => {
  const seed = seedFrom("CRASH_SEED");
  t.diagnostic(`CRASH_SEED=${seed}`);
  await killAmidPushes(await Instance.start(t), new Random(seed));
});

test("nor does it with PostgreSQL", async (t) => {
  const seed = seedFrom("CRASH_SEED");
  t.diagnostic(`CRASH_SEED=${seed}`);
  const postgres = await startPostgres();
  const { drop, url } = await createDatabase(postgres.endpoint);
  t.after(async () => {
    await drop();
    await postgres.stop();
  });
  const sections = ["metadata:", "  postgres:", `    url: ${JSON.stringify(url)}`];
  await killAmidPushes(await Instance.start(t, { sections }), new Random(seed));
});

test("workers whose primary is killed end what they have begun, then themselves", async (t) => {
  const instance = await Instance.start(t);
  const pids = (await instance.workers()).map((worker) => worker.process_id ?? 0);
  const client = instance.client();
  const content = new Random(1).bytes(100_000);
  const location = await client.beginUpload("orphan/upload");
  const headers = { ...octets, "Content-Length": content.byteLength };
  const request = client.open("PUT", withDigest(location, sha256(content)), headers);
  await request.send(content.subarray(0, 50_000));
  // Its workers have its output's pipes too, so its end is not to be awaited here.
  instance.server.signal("SIGKILL");
  await request.send(content.subarray(50_000));
  assertStatus(await request.end(), 201);
  while (pids.some(isRunning)) await setImmediate();
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function killAmidPushes(instance: Instance, random: Random): Promise<void> {
  const ledger = new Ledger();
  const uploads = new Set<PendingUpload>();
  const sharedLayers = Array.from({ length: 3 }, () => random.bytes(30_000));
  const people = Array.from(
    { length: clientCount },
    (_, index) => new Worker(`w${index}`, random.fork()),
  );
  for (let round = 1; round <= rounds; round += 1) {
    const before = await instance.until((workers) => workers.every(({ up }) => up === 1));
    const { process_id: pid = 0 } = random.pick(before);
    let ticks = random.integer(20, ticksMax);
    const killed = Promise.withResolvers<void>();
    const tick = (): void => {
      ticks -= 1;
      if (ticks !== 0) return;
      process.kill(pid, "SIGKILL");
      killed.resolve();
    };
    const over = new AbortController();
    const work = async (person: Worker): Promise<void> => {
      const client = instance.client();
      try {
        while (!over.signal.aborted)
          await person.act({ client, ledger, uploads, sharedLayers, tick });
      } catch (error) {
        if (!(error instanceof Disconnected)) {
          throw new Error(instance.server.log, { cause: error });
        }
      }
    };
    const working = Promise.all(people.map(work));
    await Promise.race([killed.promise, working]);
    // Who comes anew is answered, by whichever worker lives.
    for (let count = 0; count < 4; count += 1) {
      assertStatus(await answerSoon(instance), 200);
    }
    const restarts = (now: readonly { readonly restarts?: number }[]): number =>
      now.reduce((sum, worker) => sum + (worker.restarts ?? 0), 0);
    const after = await instance.until(
      (now) => restarts(now) === round && now.every(({ up }) => up === 1),
    );
    assert(!after.some((worker) => worker.process_id === pid), "another process took its place");
    over.abort();
    await working;
    const inspection = new Inspection(instance.client());
    const interrupted = [...uploads];
    uploads.clear();
    await Promise.all(interrupted.map((upload) => inspection.resume(ledger, upload)));
    await inspection.settle(ledger, round === rounds ? ledger.all() : ledger.takeTouched());
    await inspection.pullAllTags();
  }
  await assertIntact(instance.root);
  const deaths = instance.server.log.match(/a worker died/g)?.length;
  assert.equal(deaths, rounds, instance.server.log);
  assert.equal(instance.server.log.trim().split("\n").length, rounds, instance.server.log);
  await instance.server.stop();
}

/** A connection that was on its way to the dead worker is lost with it; the next one is not. */
async function answerSoon(instance: Instance): ReturnType<ReturnType<Instance["client"]>["get"]> {
  for (;;) {
    try {
      return await instance.client().get("/v2/");
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      await setImmediate();
    }
  }
}
