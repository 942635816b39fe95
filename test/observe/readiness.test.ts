/** Whether the registry is ready, as a balancer asks: often, and of something that may hang. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { pino } from "pino";
import { serveDebug } from "../../src/cli/debug-server.ts";
import { readinessOf } from "../../src/cli/readiness-checks.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { Readiness } from "../../src/observe/readiness.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";

const startMs = Date.UTC(2026, 0, 2, 3, 4, 5);

function given(checks: Readonly<Record<string, () => Promise<unknown>>>, deadlineMs?: number) {
  const clock = { now: startMs };
  const readiness = new Readiness({
    checks: Object.entries(checks).map(([name, check]) => ({ name, check })),
    now: () => clock.now,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  });
  return { clock, readiness };
}

describe("Readiness", () => {
  it("is asked of each once a second, however many ask", async () => {
    const asked = { storage: 0, database: 0 };
    const { clock, readiness } = given({
      storage: async () => (asked.storage += 1),
      database: async () => (asked.database += 1),
    });
    for (let second = 1; second <= 3; second += 1) {
      const reports = await Promise.all(Array.from({ length: 50 }, () => readiness.report()));
      assert.deepEqual(
        reports,
        Array.from({ length: 50 }, () => ({})),
      );
      assert.deepEqual(await readiness.report(), {});
      assert.deepEqual(asked, { storage: second, database: second });
      clock.now += 1000;
    }
  });

  it("says what is down, why, and since when, until it is up", async () => {
    let failure: Error | undefined = new Error("connect ECONNREFUSED 10.0.0.1:5432");
    const { clock, readiness } = given({
      storage: () => Promise.resolve(),
      database: () => (failure === undefined ? Promise.resolve() : Promise.reject(failure)),
    });
    const since = "(since 2026-01-02T03:04:05.000Z)";
    assert.deepEqual(await readiness.report(), { database: `${failure.message} ${since}` });
    clock.now += 60_000;
    failure = new Error("again", { cause: new Error("https://u:p@db.example/x?password=secret") });
    const again = `again (https://db.example/x?...) ${since}`;
    assert.deepEqual(await readiness.report(), { database: again });
    clock.now += 60_000;
    failure = undefined;
    assert.deepEqual(await readiness.report(), {});
    clock.now += 60_000;
    failure = new Error("down");
    const later = "down (since 2026-01-02T03:07:05.000Z)";
    assert.deepEqual(await readiness.report(), { database: later });
  });

  it("does not wait for what hangs, nor ask it again before it has answered", async () => {
    let asked = 0;
    const answer = Promise.withResolvers<void>();
    const hanging = (): Promise<void> => {
      asked += 1;
      return asked === 1 ? answer.promise : Promise.resolve();
    };
    const { clock, readiness } = given({ storage: hanging }, 20);
    for (let count = 0; count < 3; count += 1) {
      const { storage = "" } = await readiness.report();
      assert.match(storage, /^does not answer \(since 2026-01-02T03:04:05/);
      clock.now += 1000;
    }
    assert.equal(asked, 1);
    answer.resolve();
    await setImmediate();
    assert.deepEqual(await readiness.report(), {});
    assert.equal(asked, 2);
  });

  it("survives a check that throws before it promises anything", async () => {
    const { clock, readiness } = given({
      storage: () => {
        throw new TypeError("closed");
      },
    });
    for (let count = 0; count < 2; count += 1) {
      assert.match((await readiness.report())["storage"] ?? "", /^closed/);
      clock.now += 1000;
    }
  });
});

describe("The debug server", () => {
  it("tells whether the process lives, and whether it is ready", async (t) => {
    const store = createMemoryStore({ now: Date.now });
    const metadata = await openSqliteStore({ path: ":memory:" });
    let isDown = false;
    const { readMarker } = store.upkeep;
    const upkeep = {
      ...store.upkeep,
      readMarker: () => (isDown ? Promise.reject(new Error("no route")) : readMarker()),
    };
    const failing = Object.assign(Object.create(store) as typeof store, { upkeep });
    const metrics = new Metrics();
    metrics.storage.called({ store: "s3", operation: "get", outcome: "ok", durationMs: 5 });
    metrics.storage.retried({ store: "s3", operation: "get", cause: "body" });
    const checked = readinessOf({ metadata, store: failing });
    let isCached = true;
    const server = await serveDebug(
      { listen: { host: "127.0.0.1", port: 0 }, prometheusPath: "/metrics" },
      {
        metrics,
        readiness: {
          report: () =>
            isCached ? checked.report() : readinessOf({ metadata, store: failing }).report(),
        },
        logger: pino({ level: "silent" }),
      },
    );
    t.after(async () => {
      await server.close({ drainMs: 0 });
      await metadata.close();
    });
    const ask = async (path: string, method = "GET"): Promise<readonly [number, string]> => {
      const response = await fetch(`${server.url}${path}`, { method });
      return [response.status, await response.text()];
    };
    for (const path of ["/livez", "/readyz", "/debug/health"]) {
      assert.deepEqual(await ask(path), [200, "{}"]);
      assert.deepEqual(await ask(path, "HEAD"), [200, ""]);
      assert.deepEqual(await ask(path, "POST"), [404, ""]);
    }
    isDown = true;
    isCached = false;
    assert.deepEqual(await ask("/livez"), [200, "{}"]);
    for (const path of ["/readyz", "/debug/health"]) {
      const [status, text] = await ask(path);
      assert.equal(status, 503);
      const report = JSON.parse(text) as Record<string, string>;
      assert.deepEqual(Object.keys(report), ["storagedriver_memory"]);
      assert.match(report["storagedriver_memory"] ?? "", /^no route \(since 2[0-9-]+T[0-9:.]+Z\)$/);
    }
    const [, text] = await ask("/metrics");
    const labels = 'store="s3",operation="get"';
    assert(text.includes(`longshore_storage_calls_total{${labels},outcome="ok"} 1`), text);
    assert(text.includes(`longshore_storage_retries_total{${labels},cause="body"} 1`));
    assert(
      text.includes('registry_storage_action_seconds_count{driver="s3",action="GetContent"} 1'),
    );
    assert.deepEqual(await ask("/nowhere"), [404, ""]);
  });
});
