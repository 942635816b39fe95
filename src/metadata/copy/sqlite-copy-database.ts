/** SQLite, as a copy's source or target: for this process alone as long as it is open. */
import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Connection } from "../sqlite/connection.ts";
import { migrate } from "../sqlite/migrate.ts";
import { refuseNetworkFilesystem } from "../sqlite/network-filesystem.ts";
import { sqliteDialect } from "../sqlite/sqlite-dialect.ts";
import { prepareFolder } from "../sqlite/sqlite-store.ts";
import {
  CopyRefused,
  quoted,
  type CopyDatabase,
  type Row,
  type SqlValue,
} from "./copy-database.ts";
import type { CopiedTable } from "./tables.ts";

/** A registry that is just ending gives the database up within this; ms. */
const busyTimeoutMs = 300;

/** SQLITE_BUSY, without its extensions (the lower byte). */
const busy = 5;

export function sqliteFileExists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Makes the database where there is none, and brings it up to date. */
export function makeSqliteDatabase(path: string): void {
  prepareFolder(dirname(resolve(path)));
  const connection = new Connection(path, { readOnly: false });
  try {
    migrate(connection, sqliteDialect());
  } finally {
    connection.close();
  }
}

/**
 * Opens a database that is there. In exclusive mode SQLite's log is for one process only: this
 * fails while any other one has the database open, and nobody can open it from then on.
 */
export function openSqliteForCopy(path: string): CopyDatabase {
  refuseNetworkFilesystem(dirname(resolve(path)));
  const db = new DatabaseSync(path, { timeout: busyTimeoutMs, enableForeignKeyConstraints: true });
  try {
    db.exec("pragma locking_mode = exclusive");
    // The first look at the file takes the lock.
    db.exec("begin immediate; commit");
    db.exec("pragma synchronous = full");
  } catch (error) {
    db.close();
    throw toRefusal(path, error);
  }
  return new SqliteCopyDatabase(path, db);
}

function toRefusal(path: string, error: unknown): Error {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
  if ((code & 0xff) === busy) {
    return new CopyRefused(
      `${path} is in use: stop the registry that has it open (and any sqlite3 shell), then run ` +
        "this again",
      { cause: error },
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new CopyRefused(`${path} cannot be opened as a SQLite database: ${reason}`, {
    cause: error,
  });
}

class SqliteCopyDatabase implements CopyDatabase {
  readonly label: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string, db: DatabaseSync) {
    this.label = `sqlite:${path}`;
    this.#db = db;
  }

  async query(sql: string, parameters: readonly SqlValue[] = []): Promise<readonly Row[]> {
    const statement = this.#prepared(sql);
    if (statement.columns().length > 0) return statement.all(...parameters) as Row[];
    statement.run(...parameters);
    return [];
  }

  async transaction(work: () => Promise<void>): Promise<void> {
    this.#db.exec("begin immediate");
    try {
      await work();
      this.#db.exec("commit");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("rollback");
      throw error;
    }
  }

  async holdStill(): Promise<void> {
    // Nobody else has it open.
  }

  async hasTable(name: string): Promise<boolean> {
    const sql = "select 1 as found from sqlite_master where type = 'table' and name = ?";
    return (await this.query(sql, [name])).length > 0;
  }

  read(_table: CopiedTable, column: string): string {
    return quoted(column);
  }

  async empty(tables: readonly string[]): Promise<void> {
    for (const name of tables.toReversed()) await this.query(`delete from ${name}`);
  }

  async insert(table: CopiedTable, rows: readonly Row[]): Promise<void> {
    const columns = Object.keys(table.columns);
    const names = columns.map(quoted).join(", ");
    const places = columns.map(() => "?").join(", ");
    const statement = this.#prepared(`insert into ${table.name} (${names}) values (${places})`);
    for (const row of rows) statement.run(...columns.map((column) => row[column] ?? null));
  }

  async lastNumbers(): Promise<Readonly<Record<string, number>>> {
    const rows = await this.query("select name, seq from sqlite_sequence order by name");
    return Object.fromEntries(rows.map(({ name, seq }) => [String(name), Number(seq)]));
  }

  async setLastNumbers(numbers: Readonly<Record<string, number>>): Promise<void> {
    for (const [name, value] of Object.entries(numbers)) {
      await this.query("delete from sqlite_sequence where name = ?", [name]);
      await this.query("insert into sqlite_sequence (name, seq) values (?, ?)", [name, value]);
    }
  }

  async analyze(): Promise<void> {
    // Our statements say by which index they go.
  }

  async close(): Promise<void> {
    this.#statements.clear();
    this.#db.close();
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}
