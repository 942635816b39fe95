/** Which node does a job, when, and what a run of it says. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createUpkeep, type JobRun } from "../../src/jobs/upkeep.ts";
import { imageManifest, imageType } from "../race/support/client.ts";
import { digestOfContent, origin } from "../race/support/node.ts";
import {
  abandon,
  assertClean,
  backends,
  cleanUp,
  Cluster,
  home,
  leaveClaimed,
  noSleep,
  open,
  promptSettings,
  push,
  strand,
  type Gate,
} from "./support.ts";

const hourMs = 60 * 60 * 1000;

function contentOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function openCluster(context: TestContext, name: string): Promise<Cluster> {
  const openBackend = backends[name];
  assert(openBackend !== undefined);
  return await Cluster.open(context, await openBackend(context));
}

const nothing = { seen: 0, removed: 0, bytes: 0, kept: 0, failed: 0 };

for (const name of Object.keys(backends)) {
  test(`${name}: what nothing links is collected, and what is linked stays`, async (context) => {
    const cluster = await openCluster(context, name);
    const node = await cluster.node();
    await push(node, contentOf("used"));
    await abandon(node, contentOf("unused"));
    const { counts, outcome } = await node.upkeep.runOnce("collect");
    assert.equal(outcome, "done");
    assert.deepEqual(counts, { ...nothing, seen: 1, removed: 1, bytes: 6 });
    await assertClean(node, cluster.metadata, [contentOf("used")]);
    assert.deepEqual((await node.upkeep.runOnce("collect")).counts, nothing);
    assert.deepEqual(node.reports, []);
  });

  test(`${name}: unknown bytes are swept once their grace is over`, async (context) => {
    const cluster = await openCluster(context, name);
    const node = await cluster.node();
    await push(node, contentOf("used"));
    await strand(node, contentOf("committed"), "committed");
    await strand(node, contentOf("uploaded"), "uploaded");
    const sweep = { ...promptSettings.sweep, graceMs: hourMs };
    const patient = await cluster.node(open, { settings: { ...promptSettings, sweep } });
    assert.equal((await patient.upkeep.runOnce("sweep")).counts.removed, 0);
    const later = await cluster.node(open, {
      settings: { ...promptSettings, sweep },
      now: () => Date.now() + hourMs,
    });
    assert.equal((await later.upkeep.runOnce("sweep")).counts.removed, 2);
    await assertClean(node, cluster.metadata, [contentOf("used")]);
  });

  test(`${name}: pages of orphans are swept, and all others stay`, async (context) => {
    const cluster = await openCluster(context, name);
    const node = await cluster.node();
    const used = Array.from({ length: 60 }, (_, index) => contentOf(`used ${index}`));
    for (const [index, content] of used.entries()) {
      await push(node, content);
      await strand(node, contentOf(`orphan ${index}`), index % 2 === 0 ? "committed" : "uploaded");
    }
    const { counts } = await node.upkeep.runOnce("sweep");
    assert.equal(counts.removed, 60);
    await assertClean(node, cluster.metadata, used);
  });
}

test("uploads that nobody goes on with are ended, bytes and all", async (context) => {
  const cluster = await openCluster(context, "filesystem");
  const { metadata } = cluster;
  const node = await cluster.node();
  const { id } = await node.registry.uploads.create(home, "sha256");
  const stream = ReadableStream.from([contentOf("half of it")]);
  const { signal } = new AbortController();
  await node.registry.uploads.append({ repository: home, id }, { stream, signal });
  const purgeAfter = async (ageMs: number, dryRun: boolean): Promise<JobRun["counts"]> => {
    const purge = { ...promptSettings.purge, ageMs, dryRun };
    const { upkeep } = await cluster.node(open, { settings: { ...promptSettings, purge } });
    return (await upkeep.runOnce("purge")).counts;
  };
  assert.deepEqual(await purgeAfter(hourMs, false), nothing);
  const one = { ...nothing, seen: 1, removed: 1, bytes: 10 };
  assert.deepEqual(await purgeAfter(0, true), one);
  assert.notEqual(await metadata.findUpload(home, id), undefined);
  assert.deepEqual(await purgeAfter(0, false), one);
  assert.equal(await metadata.findUpload(home, id), undefined);
  await assertClean(node, metadata, []);
});

test("an upload that somebody writes to is not ended", async (context) => {
  const cluster = await openCluster(context, "filesystem");
  const node = await cluster.node();
  const { id } = await node.registry.uploads.create(home, "sha256");
  const purge = { ...promptSettings.purge, ageMs: 0 };
  let acquire = true;
  // Between the list and the end somebody comes to write.
  const gate: Gate = async (call) => {
    if (call !== "deleteUpload" || !acquire) return;
    acquire = false;
    const writer = { repository: home, id, writer: "late", leaseMs: hourMs };
    await cluster.metadata.execute("acquireUpload", writer);
  };
  const { upkeep } = await cluster.node(gate, { settings: { ...promptSettings, purge } });
  const { counts } = await upkeep.runOnce("purge");
  assert.deepEqual(counts, { ...nothing, seen: 1, kept: 1 });
  assert.equal(acquire, false);
  assert.notEqual(await cluster.metadata.findUpload(home, id), undefined);
});

test("what a remover has left is taken up under another claim: it may wake", async (context) => {
  const cluster = await openCluster(context, "filesystem");
  const node = await cluster.node();
  const content = contentOf("claimed");
  await abandon(node, content);
  await leaveClaimed(cluster, content);
  const [left] = await cluster.metadata.upkeep.listClaims({ after: 0, limit: 1 });
  assert(left !== undefined);
  const claims: string[] = [];
  const store = new Proxy(node.store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== "remove") {
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      }
      return (...[key, claim, confirm]: Parameters<typeof target.remove>) => {
        claims.push(claim);
        return target.remove(key, claim, confirm);
      };
    },
  });
  await cleanUp(await cluster.node(open, { store }));
  assert.equal(claims.length, 1);
  assert(!claims.includes(left.claim));
});

test("while one node works another one is told that it is busy", async (context) => {
  const cluster = await openCluster(context, "memory");
  const entered = Promise.withResolvers<void>();
  const leave = Promise.withResolvers<void>();
  const working = await cluster.node(async (call) => {
    if (call !== "listSetAside") return;
    entered.resolve();
    await leave.promise;
  });
  const other = await cluster.node();
  const run = working.upkeep.runOnce("sweep");
  await entered.promise;
  for (const job of ["sweep", "collect"] as const) {
    assert.equal((await other.upkeep.runOnce(job)).outcome, "busy");
  }
  assert.equal((await other.upkeep.runOnce("purge")).outcome, "done");
  leave.resolve();
  assert.equal((await run).outcome, "done");
  assert.equal((await other.upkeep.runOnce("sweep")).outcome, "done");
});

test("in one process one job runs at a time", async (context) => {
  const cluster = await openCluster(context, "memory");
  const calls: string[] = [];
  const node = await cluster.node(async (call) => void calls.push(call));
  await Promise.all([node.upkeep.runOnce("collect"), node.upkeep.runOnce("sweep")]);
  const leases = calls.filter((call) => call.endsWith("Lease"));
  assert.deepEqual(leases, ["acquireLease", "releaseLease", "acquireLease", "releaseLease"]);
});

test("a node that has lost its lease stops", async (context) => {
  const cluster = await openCluster(context, "memory");
  const node = await cluster.node();
  for (const text of ["one", "two"]) await abandon(node, contentOf(text));
  let stolen = false;
  const gate: Gate = async (call) => {
    if (call !== "claimBlob" || stolen) return;
    stolen = true;
    const thief = { name: "upkeep/content", holder: "thief", leaseMs: hourMs };
    let taken = await cluster.metadata.execute("acquireLease", thief);
    while (taken.outcome === "busy") {
      await setImmediate();
      taken = await cluster.metadata.execute("acquireLease", thief);
    }
  };
  const slow = await cluster.node(gate, { settings: { ...promptSettings, leaseMs: 1 } });
  const { counts, outcome } = await slow.upkeep.runOnce("collect");
  assert.equal(outcome, "stopped");
  assert.equal(counts.removed, 0);
});

test("what cannot be removed does not keep the rest, unless nothing can", async (context) => {
  const cluster = await openCluster(context, "filesystem");
  const node = await cluster.node();
  const texts = Array.from({ length: 15 }, (_, index) => `unused ${index}`);
  for (const text of texts) await abandon(node, contentOf(text));
  let renames = 0;
  const flaky = await cluster.node(async (call) => {
    if (call !== "rename") return;
    renames += 1;
    if (renames === 3) throw new Error("input/output error");
  });
  const { counts } = await flaky.upkeep.runOnce("collect");
  assert.equal(counts.failed, 1);
  assert.equal(counts.removed, 14);
  assert.deepEqual(flaky.reports, ["upkeep could not remove something: input/output error"]);
  for (const text of texts) await abandon(node, contentOf(text));
  const broken = await cluster.node(async (call) => {
    if (call === "rename") throw new Error("the disk is gone");
  });
  await assert.rejects(broken.upkeep.runOnce("collect"), /the disk is gone/);
  assert.equal(broken.reports.length, 9);
  await cleanUp(node);
  await assertClean(node, cluster.metadata, []);
});

test("of many nodes one does a job, and the others when it is due again", async (context) => {
  const cluster = await openCluster(context, "memory");
  const intervalMs = 50;
  const runs: JobRun[] = [];
  const enough = Promise.withResolvers<void>();
  const begin = performance.now();
  const observe = (run: JobRun): void => {
    if (run.outcome === "done") runs.push(run);
    if (runs.length === 6) enough.resolve();
  };
  const settings = {
    ...promptSettings,
    collect: { enabled: true, intervalMs },
    sweep: { ...promptSettings.sweep, enabled: false },
    purge: { ...promptSettings.purge, enabled: false },
    firstDelayMaxMs: 0,
  };
  const upkeeps = await Promise.all(
    [1, 2, 3].map(async () => {
      const { store } = await cluster.node();
      const report = (problem: string): void => assert.fail(problem);
      return createUpkeep({
        metadata: cluster.metadata,
        store,
        settings,
        observe,
        report,
        now: Date.now,
        clock: () => performance.now(),
        random: Math.random,
        newId: () => randomUUID(),
        holder: randomUUID(),
      });
    }),
  );
  for (const upkeep of upkeeps) await upkeep.start();
  const timer = setTimeout(() => enough.reject(new Error("the jobs do not run")), 20_000);
  await enough.promise;
  clearTimeout(timer);
  for (const upkeep of upkeeps) await upkeep.close();
  // Each of the five runs after the first one was due, by the database's clock.
  assert(performance.now() - begin >= 5 * (intervalMs * 0.9 - 2));
  assert(runs.every(({ job }) => job === "collect"));
});

test("a job that fails is told of and tried again", async (context) => {
  const cluster = await openCluster(context, "memory");
  const reports: string[] = [];
  const done = Promise.withResolvers<void>();
  let fails = true;
  const { upkeep } = await cluster.node(
    async (call) => {
      if (call !== "listIdleUploads" || !fails) return;
      fails = false;
      throw new Error("the database is away");
    },
    {
      settings: {
        ...promptSettings,
        purge: { ...promptSettings.purge, intervalMs: 5 },
        collect: { enabled: false, intervalMs: 5 },
        sweep: { ...promptSettings.sweep, enabled: false },
        firstDelayMaxMs: 0,
      },
      sleep: async (ms, signal) => {
        if (ms > 1000) await noSleep(ms, signal);
        else await setImmediate();
      },
      report: (problem) => void reports.push(problem),
      observe: ({ outcome }) => {
        if (outcome === "done") done.resolve();
      },
    },
  );
  await upkeep.start();
  await done.promise;
  await upkeep.close();
  assert.deepEqual(reports, ['the upkeep\'s job "purge" failed']);
});

test("to close stops a sweep, and the next one finds what is left", async (context) => {
  const cluster = await openCluster(context, "memory");
  const node = await cluster.node();
  for (let index = 0; index < 150; index += 1) {
    await strand(node, contentOf(`orphan ${index}`), "committed");
  }
  let closed: Promise<void> | undefined;
  let removed = 0;
  const { upkeep } = await cluster.node(async (call) => {
    if (call !== "remove") return;
    removed += 1;
    if (removed === 50) closed = upkeep.close();
  });
  const { counts, outcome } = await upkeep.runOnce("sweep");
  await closed;
  assert.equal(outcome, "stopped");
  assert.equal(counts.removed, 50);
  assert.equal((await upkeep.runOnce("sweep")).outcome, "stopped");
  assert.equal((await node.upkeep.runOnce("sweep")).counts.removed, 100);
});

test("a job pauses for its share of the time", async (context) => {
  const cluster = await openCluster(context, "memory");
  const node = await cluster.node();
  for (let index = 0; index < 350; index += 1) {
    await strand(node, contentOf(`orphan ${index}`), "committed");
  }
  let clock = 0;
  const pauses: number[] = [];
  const { upkeep } = await cluster.node(
    async (call) => {
      if (call === "known") clock += 300;
    },
    {
      settings: { ...promptSettings, duty: 0.25 },
      clock: () => clock,
      sleep: async (ms, signal) => {
        // The lease's renewal sleeps as well.
        if (ms === promptSettings.leaseMs / 3) await noSleep(ms, signal);
        else pauses.push(ms);
      },
    },
  );
  await upkeep.runOnce("sweep");
  assert.deepEqual(pauses, [900, 900, 900]);
});

test("bytes at the digest of a manifest stay, whoever put them there", async (context) => {
  const cluster = await openCluster(context, "filesystem");
  const node = await cluster.node();
  const config = contentOf("config");
  await push(node, config);
  const bytes = imageManifest(config, []);
  const digest = digestOfContent(bytes);
  const manifest = { reference: { digest }, contentType: imageType, bytes, tags: [], origin };
  await node.registry.manifests.push(home, manifest);
  const key = await strand(node, bytes, "committed");
  assert.equal((await node.upkeep.runOnce("sweep")).counts.removed, 0);
  assert(key !== undefined);
  assert.notEqual(await node.store.stat(key), undefined);
  await node.registry.manifests.delete(home, { digest }, origin);
  assert.equal((await node.upkeep.runOnce("sweep")).counts.removed, 1);
  assert.equal(await node.store.stat(key), undefined);
});
