/**
 * How far a copy has come: one row in the target, written in the same transaction as what was
 * copied. While it is unfinished no registry opens the database (`copyUnfinished`).
 */
import type { StoreIdentity } from "../records.ts";
import { copyUnfinished } from "../sql/migrations.ts";
import type { CopyDatabase } from "./copy-database.ts";
import type { Place } from "./table-pages.ts";
import { copiedTables } from "./tables.ts";

const table = "metadata_copy";

/** What tells one source, and one state of it, from others. */
export interface SourceState {
  readonly lastNumbers: Readonly<Record<string, number>>;
  readonly store?: StoreIdentity;
}

export interface TableProgress {
  readonly rows: number;
  /** Of the last row that was copied. */
  readonly place?: Place;
  readonly done?: true;
}

export interface Journal {
  readonly source: SourceState;
  /** Schema version of both. */
  readonly version: number;
  readonly tables: Readonly<Record<string, TableProgress>>;
  readonly finished: boolean;
}

export async function readJournal(target: CopyDatabase): Promise<Journal | undefined> {
  if (!(await target.hasTable(table))) return undefined;
  const [row] = await target.query(`select journal from ${table}`);
  return row === undefined ? undefined : (JSON.parse(String(row["journal"])) as Journal);
}

/** In a transaction of its own; the target is empty. */
export async function beginJournal(target: CopyDatabase, journal: Journal): Promise<void> {
  await target.transaction(async () => {
    await target.query(`create table if not exists ${table} (journal text not null)`);
    await target.query(`delete from ${table}`);
    await target.query(`insert into ${table} (journal) values (?)`, [JSON.stringify(journal)]);
    await target.query(
      `insert into migrations (version, applied_at, compatible_from) values (?, 0, ?)`,
      [copyUnfinished, copyUnfinished],
    );
  });
}

/** Within the transaction that copies. */
export async function writeJournal(target: CopyDatabase, journal: Journal): Promise<void> {
  await target.query(`update ${table} set journal = ?`, [JSON.stringify(journal)]);
}

/** Within the last transaction: from then on a registry may open the database. */
export async function finishJournal(target: CopyDatabase, journal: Journal): Promise<void> {
  await writeJournal(target, { ...journal, finished: true });
  await target.query("delete from migrations where version = ?", [copyUnfinished]);
}

/** Takes back what an unfinished copy has written. */
export async function discardCopy(target: CopyDatabase): Promise<void> {
  await target.transaction(async () => {
    await target.empty([...copiedTables.map(({ name }) => name), table]);
    await target.query("delete from migrations where version = ?", [copyUnfinished]);
  });
}

/** The first table that holds a row, if any does. */
export async function occupiedTable(target: CopyDatabase): Promise<string | undefined> {
  for (const name of [...copiedTables.map(({ name }) => name), "store"]) {
    if (!(await target.hasTable(name))) continue;
    if ((await target.query(`select 1 as found from ${name} limit 1`)).length > 0) return name;
  }
  return undefined;
}

/** Rows of another version of the schema mean something else. */
export async function schemaVersion(database: CopyDatabase): Promise<number | undefined> {
  if (!(await database.hasTable("migrations"))) return undefined;
  const [row] = await database.query(
    "select max(version) as version from migrations where version < ?",
    [copyUnfinished],
  );
  const version = row?.["version"];
  return typeof version === "number" ? version : undefined;
}
