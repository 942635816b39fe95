/** PostgreSQL, as a copy's source or target: one session, which no other copy shares. */
import { numberOn } from "../postgres/change-numbers.ts";
import { clientConfig } from "../postgres/connection-config.ts";
import { PostgresConnection } from "../postgres/connection.ts";
import { sqlState } from "../postgres/errors.ts";
import { defaultConnectTimeoutMs, type PostgresOptions } from "../postgres/postgres-options.ts";
import { StatementNames } from "../postgres/statement-names.ts";
import {
  CopyRefused,
  quoted,
  type CopyDatabase,
  type Row,
  type SqlValue,
} from "./copy-database.ts";
import { copiedTables, type CopiedTable, type ColumnKind } from "./tables.ts";

/** Any number that no hash of ours is likely to be: "longcopy" in ASCII. */
const copyLock = 0x6c6f6e67636f7079n;

/** A page takes milliseconds; an index over millions of rows, or `analyze`, may take minutes. */
const statementTimeoutMs = 30 * 60_000;

/** The server ends a session that stands within a transaction for half of the time above. */
const answerTimeoutMs = statementTimeoutMs + 60_000;

/** How long the copy waits for a node's transaction to end before it says so; ms. */
const lockTimeoutMs = 5000;

const lockNotAvailable = "55P03";

/** How often it is looked whether the server still answers; ms. */
const checkEveryMs = 1000;

const arrayTypes: Readonly<Record<ColumnKind, string>> = {
  integer: "bigint[]",
  text: "text[]",
  bytes: "bytea[]",
};

/** Our changes are in the order of their position there; `seq` may be another one. */
const position = "position";
const positions = "changes_positions";

export async function openPostgresForCopy(
  options: PostgresOptions,
  now: () => number,
): Promise<CopyDatabase> {
  const client = clientConfig({
    ...options,
    statementTimeoutMs,
    applicationName: "longshore-copy",
  });
  const connection = await PostgresConnection.open({
    client,
    connectTimeoutMs: options.connectTimeoutMs ?? defaultConnectTimeoutMs,
    answerTimeoutMs,
    names: new StatementNames({ enabled: false }),
    now,
  });
  const label = `postgres://${client.host}:${client.port}/${client.database ?? client.user ?? ""}`;
  const checks = setInterval(() => connection.endIfOverdue(now()), checkEveryMs);
  checks.unref();
  const database = new PostgresCopyDatabase(label, connection, () => clearInterval(checks));
  try {
    await database.lock();
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}

class PostgresCopyDatabase implements CopyDatabase {
  readonly label: string;
  readonly #connection: PostgresConnection;
  readonly #closed: () => void;

  constructor(label: string, connection: PostgresConnection, closed: () => void) {
    this.label = label;
    this.#connection = connection;
    this.#closed = closed;
  }

  async lock(): Promise<void> {
    const [row] = await this.query(`select pg_try_advisory_lock(${copyLock})::int as locked`);
    if (row?.["locked"] === 1) return;
    throw new CopyRefused(`${this.label}: another copy is at work there; wait for it, or end it`);
  }

  async query(sql: string, parameters: readonly SqlValue[] = []): Promise<readonly Row[]> {
    let place = 0;
    const text = sql.replaceAll("?", () => {
      place += 1;
      return `$${place}`;
    });
    const { rows } = await this.#connection.query({ sql: text, parameters });
    return rows as readonly Row[];
  }

  async transaction(work: () => Promise<void>): Promise<void> {
    await this.query("begin isolation level read committed read write");
    try {
      await work();
      await this.query("commit");
    } catch (error) {
      await this.query("rollback").catch(() => undefined);
      throw error;
    }
  }

  async holdStill(): Promise<void> {
    const tables = copiedTables.map(({ name }) => name).join(", ");
    for (;;) {
      while (await numberOn(this.#connection));
      await this.query("begin isolation level repeatable read read write");
      await this.query(`set local lock_timeout = ${lockTimeoutMs}`);
      await this.#lockTables(tables);
      const [row] = await this.query(
        "select exists (select from changes where position is null)::int as found",
      );
      if (row?.["found"] === 0) return;
      // One more came before the lock.
      await this.query("rollback");
    }
  }

  async #lockTables(tables: string): Promise<void> {
    try {
      await this.query(`lock table ${tables} in share mode`);
    } catch (error) {
      if (sqlState(error) !== lockNotAvailable) throw error;
      throw new CopyRefused(
        `${this.label} is being written: stop all nodes that use it, then run this again`,
        { cause: error },
      );
    }
  }

  async hasTable(name: string): Promise<boolean> {
    const [row] = await this.query("select (to_regclass(?) is not null)::int as found", [name]);
    return row?.["found"] === 1;
  }

  read({ name }: CopiedTable, column: string): string {
    return quoted(name === "changes" && column === "seq" ? position : column);
  }

  async empty(tables: readonly string[]): Promise<void> {
    await this.query(`truncate ${tables.join(", ")}`);
  }

  async insert(table: CopiedTable, rows: readonly Row[]): Promise<void> {
    const columns = Object.entries(table.columns);
    const names = columns.map(([name]) => quoted(name)).join(", ");
    const arrays = columns.map(([, kind]) => `?::${arrayTypes[kind]}`).join(", ");
    const isLog = table.name === "changes";
    const target = isLog ? `${names}, ${quoted(position)}` : names;
    const given = isLog ? `${names}, "seq"` : names;
    await this.#insert(
      `insert into ${table.name} (${target})
       select ${given} from unnest(${arrays}) as given (${names})`,
      columns.map(([name]) => rows.map((row) => row[name] ?? null)),
    );
  }

  async lastNumbers(): Promise<Readonly<Record<string, number>>> {
    const numbers: Record<string, number> = {};
    for (const { name, numbered } of copiedTables) {
      if (numbered === undefined) continue;
      const sequence = name === "changes" ? positions : await this.#sequence(name, numbered);
      const sql = `select case when is_called then last_value else 0 end as last from ${sequence}`;
      const [row] = await this.query(sql);
      const last = Number(row?.["last"] ?? 0);
      if (last > 0) numbers[name] = last;
    }
    return numbers;
  }

  async setLastNumbers(numbers: Readonly<Record<string, number>>): Promise<void> {
    for (const { name, numbered } of copiedTables) {
      const last = numbers[name];
      if (numbered === undefined || last === undefined || last === 0) continue;
      await this.query("select setval(?, ?)", [await this.#sequence(name, numbered), last]);
      if (name === "changes") await this.query("select setval(?, ?)", [positions, last]);
    }
  }

  async analyze(): Promise<void> {
    for (const { name } of copiedTables) await this.query(`analyze ${name}`);
  }

  async close(): Promise<void> {
    this.#closed();
    await this.#connection.close();
  }

  async #insert(sql: string, arrays: readonly (readonly SqlValue[])[]): Promise<void> {
    let place = 0;
    const text = sql.replaceAll("?", () => {
      place += 1;
      return `$${place}`;
    });
    await this.#connection.query({ sql: text, parameters: arrays });
  }

  async #sequence(table: string, column: string): Promise<string> {
    const sql = "select pg_get_serial_sequence(?, ?) as name";
    const [row] = await this.query(sql, [table, column]);
    return String(row?.["name"]);
  }
}
