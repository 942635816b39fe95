/** `longshore metadata copy` from one SQLite database to another; PostgreSQL has its own suite. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { before, test } from "node:test";
import {
  copyMetadata,
  type CopyNews,
  type CopyOptions,
  type CopyResult,
} from "../../../src/metadata/copy/copy.ts";
import { copiedTables, leftTables } from "../../../src/metadata/copy/tables.ts";
import { openSqliteStore } from "../../../src/metadata/sqlite/sqlite-store.ts";
import { newDatabase } from "../sqlite-support.ts";
import { answersOf, assertFreshIds, fillRegistry } from "./registry.ts";

let source = "";

before(async () => {
  source = await newDatabase();
  const store = await openSqliteStore({ path: source });
  await fillRegistry(store, { repositories: 3, images: 12, referrers: 10 });
  await store.close();
});

type Changes = Partial<Omit<CopyOptions, "from" | "to">>;

function copy(to: string, changes: Changes = {}, from = source): Promise<CopyResult> {
  return copyMetadata({
    from: { sqlite: { path: from } },
    to: { sqlite: { path: to } },
    dryRun: false,
    startOver: false,
    news: () => undefined,
    signal: new AbortController().signal,
    now: () => performance.now(),
    random: Math.random,
    ...changes,
  });
}

/** Stops the copy after so many pages. */
function stopAfter(pages: number): Changes {
  const stop = new AbortController();
  let seen = 0;
  const news = (news: CopyNews): void => {
    if (news.kind === "rows") seen += 1;
    if (seen === pages) stop.abort();
  };
  return { news, signal: stop.signal };
}

function lastNumbers(path: string): Record<string, number> {
  const db = new DatabaseSync(path, { readOnly: true });
  const rows = db.prepare("select name, seq from sqlite_sequence").all();
  db.close();
  return Object.fromEntries(rows.map(({ name, seq }) => [String(name), Number(seq)]));
}

async function answers(path: string): Promise<unknown> {
  const store = await openSqliteStore({ path });
  const found = await answersOf(store);
  await store.close();
  return found;
}

test("a registry on the copy answers as the one on the source, and gives fresh ids", async () => {
  const target = await newDatabase();
  const result = await copy(target);
  assert.equal(result.outcome, "copied");
  assert.equal(result.store?.epoch, 2, "the copy is another state of the store");
  assert.deepEqual(await answers(target), await answers(source));
  const store = await openSqliteStore({ path: target });
  await assertFreshIds(store, { lastNumbers: lastNumbers(source) });
  await store.close();
});

test("every table that there is is copied, or left for a reason, with every column", () => {
  const db = new DatabaseSync(source, { readOnly: true });
  const rows = db
    .prepare(
      `select t.name as "table", c.name as "column" from sqlite_master t, pragma_table_info(t.name) c
       where t.type = 'table' and t.name not like 'sqlite_%'`,
    )
    .all();
  db.close();
  const there = rows
    .filter(({ table }) => !leftTables.some((name) => name === table))
    .map(({ column, table }) => `${String(table)}.${String(column)}`);
  const copied = copiedTables.flatMap(({ columns, name }) =>
    Object.keys(columns).map((column) => `${name}.${column}`),
  );
  assert.deepEqual(copied.toSorted(), there.toSorted());
});

test("a copy that was stopped goes on where it was", async () => {
  const target = await newDatabase();
  const whole: CopyNews[] = [];
  await copy(await newDatabase(), { news: (news) => whole.push(news) });
  const pages = whole.filter(({ kind }) => kind === "rows").length;
  for (let page = 1; page < pages; page += 1) {
    await assert.rejects(copy(target, stopAfter(page)), /stopped: what was copied stays/);
    // What one run has copied the next one does not count.
    await assert.rejects(openSqliteStore({ path: target }), /longshore metadata copy/);
  }
  assert.equal((await copy(target)).outcome, "copied");
  assert.deepEqual(await answers(target), await answers(source));
});

test("run again after its end a copy does nothing", async () => {
  const target = await newDatabase();
  await copy(target);
  assert.equal((await copy(target)).outcome, "alreadyDone");
});

test("a dry run says what there is, and makes nothing", async () => {
  const target = await newDatabase();
  const result = await copy(target, { dryRun: true });
  assert.equal(result.outcome, "possible");
  assert(result.rows > 500, `${result.rows} rows`);
  assert.throws(() => new DatabaseSync(target, { readOnly: true }));
});

test("a database that somebody has open is neither read nor written", async () => {
  const target = await newDatabase();
  const running = await openSqliteStore({ path: source });
  await assert.rejects(copy(target), /is in use: stop the registry/);
  await running.close();
  const other = await openSqliteStore({ path: target });
  await assert.rejects(copy(target), /is in use: stop the registry/);
  await other.close();
  assert.equal((await copy(target)).outcome, "copied");
});

test("a target that holds another registry is refused", async () => {
  const target = await newDatabase();
  const store = await openSqliteStore({ path: target });
  await fillRegistry(store, { repositories: 1, images: 3, referrers: 0 });
  await store.close();
  await assert.rejects(copy(target), /holds a registry's data already/);
  await assert.rejects(copy(target, { startOver: true }), /holds a registry's data already/);
});

test("a source that was changed between two runs is noticed", async () => {
  const changing = await newDatabase();
  const store = await openSqliteStore({ path: changing });
  await fillRegistry(store, { repositories: 1, images: 5, referrers: 2 });
  await store.close();
  const [early, late] = [await newDatabase(), await newDatabase()];
  for (const target of [early, late]) {
    await assert.rejects(copy(target, stopAfter(3), changing), /stopped/);
  }
  // Nothing that has a number.
  const db = new DatabaseSync(changing);
  db.exec("update repositories set created_at = created_at + 1");
  await assert.rejects(copy(late, {}, changing), /in use/);
  db.close();
  await assert.rejects(copy(late, {}, changing), { name: "CopyDiffers" });
  await assert.rejects(openSqliteStore({ path: late }), /longshore metadata copy/);
  assert.equal((await copy(late, { startOver: true }, changing)).outcome, "copied");
  // Something that has one.
  const again = await openSqliteStore({ path: changing });
  await fillRegistry(again, { repositories: 1, images: 6, referrers: 2 });
  await again.close();
  await assert.rejects(copy(early, {}, changing), /add --start-over/);
  assert.equal((await copy(early, { startOver: true }, changing)).outcome, "copied");
  assert.deepEqual(await answers(early), await answers(changing));
});

test("the same file twice, and a file that is not there, are refused", async () => {
  await assert.rejects(copy(source), /the same database/);
  const absent = await newDatabase();
  await assert.rejects(copy(await newDatabase(), {}, absent), /there is no such file/);
});

test("a database of another schema version is refused with what to do", async () => {
  const old = await newDatabase();
  await (await openSqliteStore({ path: old })).close();
  const db = new DatabaseSync(old);
  db.exec("delete from migrations where version > 1");
  db.close();
  await assert.rejects(copy(await newDatabase(), {}, old), /start the registry on it once/);
  const foreign = join(old, "..", "foreign.db");
  new DatabaseSync(foreign).close();
  await assert.rejects(copy(await newDatabase(), {}, foreign), /no database of Longshore/);
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function longshore(...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, ["src/cli/longshore.ts", ...args], {
    cwd: join(import.meta.dirname, "../../.."),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

test("the command tells what it does, and how it ended", async () => {
  const target = await newDatabase();
  const places = ["--from", `sqlite:${source}`, "--to", `sqlite:${target}`];
  const [done, wrong] = await Promise.all([
    longshore("metadata", "copy", ...places),
    longshore("metadata", "copy", "--from", "mysql://root:secret@host/", "--to", "sqlite:x"),
  ]);
  assert.equal(done.code, 0, done.err);
  assert.match(done.out, /rows copied, and found equal in both databases/);
  assert.match(done.out, /\{"store":"6b1f0c8e-1f0e-4d8a-9f5a-0d9a3c1c2b3d","epoch":2\}/);
  assert.match(done.err, /manifests: \d+ rows/);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /--from must begin with sqlite:/);
  assert(!wrong.err.includes("secret"));
});
