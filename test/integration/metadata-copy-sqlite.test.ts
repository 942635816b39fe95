/** What else may come between two SQLite databases and a copy: others that use them. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { before, test } from "node:test";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { copySqlite, stopAfter } from "../metadata/copy/copying.ts";
import { answersOf, fillRegistry } from "../metadata/copy/registry.ts";
import { newDatabase } from "../metadata/sqlite-support.ts";

let source = "";

before(async () => {
  source = await newDatabase();
  const store = await openSqliteStore({ path: source });
  await fillRegistry(store, { repositories: 2, images: 5, referrers: 4 });
  await store.close();
});

async function answers(path: string): Promise<unknown> {
  const store = await openSqliteStore({ path });
  const found = await answersOf(store);
  await store.close();
  return found;
}

test("run again after its end a copy does nothing", async () => {
  const target = await newDatabase();
  await copySqlite(source, target);
  assert.equal((await copySqlite(source, target)).outcome, "alreadyDone");
});

test("a database that somebody has open is neither read nor written", async () => {
  const target = await newDatabase();
  const running = await openSqliteStore({ path: source });
  await assert.rejects(copySqlite(source, target), /is in use: stop the registry/);
  await running.close();
  const other = await openSqliteStore({ path: target });
  await assert.rejects(copySqlite(source, target), /is in use: stop the registry/);
  await other.close();
  assert.equal((await copySqlite(source, target)).outcome, "copied");
});

test("a source that was changed between two runs is noticed", async () => {
  const changing = await newDatabase();
  const store = await openSqliteStore({ path: changing });
  await fillRegistry(store, { repositories: 1, images: 5, referrers: 2 });
  await store.close();
  const [early, late] = [await newDatabase(), await newDatabase()];
  for (const target of [early, late]) {
    await assert.rejects(copySqlite(changing, target, stopAfter(3)), /stopped/);
  }
  // Nothing that has a number.
  const db = new DatabaseSync(changing);
  db.exec("update repositories set created_at = created_at + 1");
  await assert.rejects(copySqlite(changing, late, {}), /in use/);
  db.close();
  await assert.rejects(copySqlite(changing, late, {}), { name: "CopyDiffers" });
  await assert.rejects(openSqliteStore({ path: late }), /longshore metadata copy/);
  assert.equal((await copySqlite(changing, late, { startOver: true })).outcome, "copied");
  // Something that has one.
  const again = await openSqliteStore({ path: changing });
  await fillRegistry(again, { repositories: 1, images: 2, referrers: 0 }, "later");
  await again.close();
  await assert.rejects(copySqlite(changing, early, {}), /add --start-over/);
  assert.equal((await copySqlite(changing, early, { startOver: true })).outcome, "copied");
  assert.deepEqual(await answers(early), await answers(changing));
});
