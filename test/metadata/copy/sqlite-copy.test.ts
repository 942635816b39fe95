/** `longshore metadata copy` from one SQLite database to another; PostgreSQL has its own suite. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { before, test } from "node:test";
import type { CopyNews } from "../../../src/metadata/copy/copy.ts";
import { copiedTables, leftTables } from "../../../src/metadata/copy/tables.ts";
import { openSqliteStore } from "../../../src/metadata/sqlite/sqlite-store.ts";
import { newDatabase } from "../sqlite-support.ts";
import { copySqlite, stopAfter } from "./copying.ts";
import { answersOf, assertFreshIds, fillRegistry } from "./registry.ts";

let source = "";
let sourceAnswers: unknown;

before(async () => {
  source = await newDatabase();
  const store = await openSqliteStore({ path: source });
  await fillRegistry(store, { repositories: 3, images: 12, referrers: 10 });
  sourceAnswers = await answersOf(store);
  await store.close();
});

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
  const result = await copySqlite(source, target);
  assert.equal(result.outcome, "copied");
  assert.equal(result.store?.epoch, 2, "the copy is another state of the store");
  assert.deepEqual(await answers(target), sourceAnswers);
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
  const counts: number[] = [];
  for (let run = 0; run < 4; run += 1) {
    const { news, signal } = stopAfter(4);
    const count = (each: CopyNews): void => {
      if (each.kind === "begun") counts.push(each.copiedBefore);
      news(each);
    };
    await assert.rejects(
      copySqlite(source, target, { news: count, signal }),
      /stopped: what was copied stays/,
    );
    await assert.rejects(openSqliteStore({ path: target }), /longshore metadata copy/);
  }
  assert.deepEqual(
    counts,
    [...new Set(counts)].toSorted((a, b) => a - b),
    "each has more",
  );
  assert.equal((await copySqlite(source, target)).outcome, "copied");
  assert.deepEqual(await answers(target), sourceAnswers);
});

test("a dry run says what there is, and makes nothing", async () => {
  const target = await newDatabase();
  const result = await copySqlite(source, target, { dryRun: true });
  assert.equal(result.outcome, "possible");
  assert(result.rows > 500, `${result.rows} rows`);
  assert.throws(() => new DatabaseSync(target, { readOnly: true }));
});

test("a target that holds another registry is refused", async () => {
  const target = await newDatabase();
  const store = await openSqliteStore({ path: target });
  await fillRegistry(store, { repositories: 1, images: 3, referrers: 0 });
  await store.close();
  await assert.rejects(copySqlite(source, target), /holds a registry's data already/);
  await assert.rejects(
    copySqlite(source, target, { startOver: true }),
    /holds a registry's data already/,
  );
});

test("the same file twice, and a file that is not there, are refused", async () => {
  await assert.rejects(copySqlite(source, source), /the same database/);
  const absent = await newDatabase();
  await assert.rejects(copySqlite(absent, await newDatabase()), /there is no such file/);
});

test("a database of another schema version is refused with what to do", async () => {
  const old = await newDatabase();
  await (await openSqliteStore({ path: old })).close();
  const db = new DatabaseSync(old);
  db.exec("delete from migrations where version > 1");
  db.close();
  await assert.rejects(copySqlite(old, await newDatabase()), /start the registry on it once/);
  const foreign = join(old, "..", "foreign.db");
  new DatabaseSync(foreign).close();
  await assert.rejects(copySqlite(foreign, await newDatabase()), /no database of Longshore/);
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
  const config = `${source}.yml`;
  await writeFile(
    config,
    `version: 0.1\nstorage: { inmemory: {} }\nmetadata: { sqlite: { path: "${source}" } }\n`,
  );
  const places = ["--from", `config:${config}`, "--to", `sqlite:${target}`];
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
