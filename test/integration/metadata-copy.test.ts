/**
 * `longshore metadata copy` to PostgreSQL, and back: killed at random moments, with a registry on
 * the copy at the end. COPY_SEED repeats a run as far as that is possible.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { after, before, test, type TestContext } from "node:test";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { copyPlaces } from "../metadata/copy/copying.ts";
import { answersOf, assertFreshIds, fillRegistry } from "../metadata/copy/registry.ts";
import { newDatabase } from "../metadata/sqlite-support.ts";
import { Random, seedFrom } from "../race/support/random.ts";
import type { PostgresServer } from "../servers/postgres.ts";
import { startPostgres } from "../servers/servers.ts";
import { createDatabase, type TestDatabase } from "./support/database.ts";

let server: PostgresServer;
let source = "";
let sourceAnswers: unknown;

before(async () => {
  server = await startPostgres();
  source = await newDatabase();
  const store = await openSqliteStore({ path: source });
  await fillRegistry(store, { repositories: 12, images: 150, referrers: 120 });
  sourceAnswers = await answersOf(store);
  await store.close();
});

after(async () => await server?.stop());

async function emptyDatabase(t: TestContext): Promise<TestDatabase> {
  const database = await createDatabase(server.endpoint);
  t.after(() => database.drop());
  return database;
}

async function openOn({ url }: TestDatabase): Promise<MetadataStore> {
  return await openPostgresStore({ url }, { now: () => performance.now(), random: Math.random });
}

function lastNumbers(path: string): Record<string, number> {
  const db = new DatabaseSync(path, { readOnly: true });
  const rows = db.prepare("select name, seq from sqlite_sequence").all();
  db.close();
  return Object.fromEntries(rows.map(({ name, seq }) => [String(name), Number(seq)]));
}

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly said: string }>;
}

function startCopy(...args: readonly string[]): Run {
  const child = spawn(process.execPath, ["src/cli/longshore.ts", "metadata", "copy", ...args], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, said }));
  return { child, ended };
}

test("killed again and again, the copy comes to its end, and is a registry", async (t) => {
  const seed = seedFrom("COPY_SEED");
  t.diagnostic(`COPY_SEED=${seed}`);
  const random = new Random(seed);
  const database = await emptyDatabase(t);
  const args = ["--from", `sqlite:${source}`, "--to", database.url];
  const began = performance.now();
  let kills = 0;
  let result: Awaited<Run["ended"]>;
  for (;;) {
    const { child, ended } = startCopy(...args);
    // Later each time, so that it comes to its end at last.
    const timer = setTimeout(
      () => child.kill("SIGKILL"),
      200 + random.integer(0, 400) + kills * 30,
    );
    result = await ended;
    clearTimeout(timer);
    if (result.code !== null) break;
    kills += 1;
    assert(performance.now() - began < 300_000, "it should have come to its end by now");
  }
  assert.equal(result.code, 0, result.said);
  t.diagnostic(`${kills} kills`);
  assert(kills > 0, "it was killed once at least");
  const store = await openOn(database);
  t.after(() => store.close());
  assert.deepEqual(await answersOf(store), sourceAnswers);
  await assertFreshIds(store, { lastNumbers: lastNumbers(source) });
});

test("while it is not finished no registry opens the database", async (t) => {
  const database = await emptyDatabase(t);
  const { child, ended } = startCopy("--from", `sqlite:${source}`, "--to", database.url);
  const begun = "select journal from metadata_copy";
  while ((await database.query(begun).catch(() => [])).length === 0);
  child.kill("SIGKILL");
  const { code } = await ended;
  if (code === 0) return;
  await assert.rejects(openOn(database), /longshore metadata copy/);
});

test("two copies at once into one database: one of them says so", async (t) => {
  const database = await emptyDatabase(t);
  const other = await newDatabase();
  await (await openSqliteStore({ path: other })).close();
  const to = { postgres: { url: database.url } };
  const both = await Promise.allSettled([
    copyPlaces({ sqlite: { path: source } }, to),
    copyPlaces({ sqlite: { path: other } }, to),
  ]);
  const failed = both.filter((each) => each.status === "rejected");
  assert.equal(failed.length, 1);
  assert.match(String(failed[0]?.reason), /another copy is at work|unfinished copy of another/);
});

test("back to SQLite a copy has the log in its order, and all that was pushed since", async (t) => {
  const database = await emptyDatabase(t);
  const postgres = { postgres: { url: database.url } };
  await copyPlaces({ sqlite: { path: source } }, postgres);
  const moved = await openOn(database);
  await fillRegistry(moved, { repositories: 1, images: 4, referrers: 2 }, "since");
  const answers = await answersOf(moved);
  await moved.close();
  const target = await newDatabase();
  const result = await copyPlaces(postgres, { sqlite: { path: target } });
  assert.equal(result.store?.epoch, 3);
  const store = await openSqliteStore({ path: target });
  t.after(() => store.close());
  assert.deepEqual(await answersOf(store), answers);
  await assertFreshIds(store, { lastNumbers: lastNumbers(target) });
});

test("a node that writes to the source is noticed", async (t) => {
  const database = await emptyDatabase(t);
  await (await openOn(database)).close();
  const { Client } = await import("pg");
  const writer = new Client({ connectionString: database.url });
  // The database is dropped under its feet.
  writer.on("error", () => undefined);
  await writer.connect();
  t.after(() => writer.end());
  await writer.query(
    "begin; insert into repositories (name, state, created_at) values ('a', 'live', 1)",
  );
  const to = { sqlite: { path: await newDatabase() } };
  await assert.rejects(
    copyPlaces({ postgres: { url: database.url } }, to),
    /is being written: stop all nodes/,
  );
});

test("a wrong password, and nobody at the address, are told without the password", async () => {
  const url = new URL(server.endpoint);
  url.password = "wrong-secret";
  const wrong = startCopy("--from", `sqlite:${source}`, "--to", url.href);
  url.port = "1";
  const nobody = startCopy("--from", `sqlite:${source}`, "--to", url.href);
  for (const { ended } of [wrong, nobody]) {
    const { code, said } = await ended;
    assert.equal(code, 1);
    assert(!said.includes("secret"), said);
  }
  assert.match((await wrong.ended).said, /password authentication failed/);
  assert.match((await nobody.ended).said, /ECONNREFUSED/);
});
