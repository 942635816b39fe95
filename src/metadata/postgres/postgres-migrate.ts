/**
 * Brings a PostgreSQL database up to date: one migration after the other, each in a transaction and
 * under one lock, so that nodes which start at once are no trouble. The lock belongs to the
 * transaction, not to the session: a node that stops in between loses both to
 * `idle_in_transaction_session_timeout`, and poolers do not disturb it.
 */
import { MetadataUnavailable } from "../metadata-store.ts";
import type { SqlDialect } from "../sql/dialect.ts";
import {
  migrations,
  pendingMigrations,
  type AppliedMigration,
  type Migration,
} from "../sql/migrations.ts";
import type { CompiledSql } from "../sql/plan.ts";
import { quoted } from "./connection-config.ts";
import type { Answer, PostgresConnection } from "./connection.ts";
import { sqlState } from "./errors.ts";
import type { Retries } from "./retries.ts";

/** Any number that no hash of ours is likely to be: "longship" in ASCII. */
const migrationLock = 0x6c6f6e6773686970n;

export interface MigrationLimits {
  /**
   * How long a migration waits for a table or for another node's migration, before it lets those
   * pass that wait behind it; ms.
   */
  readonly lockTimeoutMs: number;
  /** How long a node waits for the others', in all, before it gives up; ms. */
  readonly waitMs: number;
  /** How long a node that stops amid a migration holds up the others; ms. */
  readonly idleMs: number;
}

export const defaultMigrationLimits: MigrationLimits = {
  lockTimeoutMs: 5000,
  waitMs: 120_000,
  idleMs: 10_000,
};

const lockNotAvailable = "55P03";
const undefinedTable = "42P01";
const undefinedColumn = "42703";

const readApplied = plain("select version, compatible_from from migrations");

const prepare = [
  `create table if not exists migrations (
     version bigint not null primary key, applied_at bigint not null, compatible_from bigint)`,
];

function plain(sql: string): CompiledSql {
  return { sql, parameters: [] };
}

export async function migrate(
  connection: PostgresConnection,
  options: {
    readonly dialect: SqlDialect;
    readonly schema: string | undefined;
    readonly limits: MigrationLimits;
    readonly retries: Retries;
    readonly known?: readonly Migration[] | undefined;
  },
): Promise<void> {
  const { dialect, known = migrations, limits, retries, schema } = options;
  await checkEncoding(connection);
  const giveUpAt = retries.now() + limits.waitMs;
  for (;;) {
    const [next] = pendingMigrations(await applied(connection), known);
    if (next === undefined) return;
    try {
      await applyOne(connection, { dialect, known, limits, schema });
    } catch (error) {
      if (sqlState(error) !== lockNotAvailable) throw error;
      if (retries.now() > giveUpAt) throw givenUp(limits, error);
      await retries.pause(limits.lockTimeoutMs / 10);
    }
  }
}

/** Our text is Unicode: in another encoding some of it could not be stored. */
async function checkEncoding(connection: PostgresConnection): Promise<void> {
  const { rows } = await connection.query(plain("show server_encoding"));
  const [row] = rows as readonly { readonly server_encoding: string }[];
  if (row?.server_encoding === "UTF8") return;
  throw new Error(`the PostgreSQL database is in ${row?.server_encoding}; it must be in UTF8`);
}

/** None where there is no such table yet. */
async function applied(connection: PostgresConnection): Promise<readonly AppliedMigration[]> {
  try {
    return (await connection.query(readApplied)).rows as readonly AppliedMigration[];
  } catch (error) {
    if (sqlState(error) !== undefinedTable && sqlState(error) !== undefinedColumn) throw error;
    return [];
  }
}

/** The next migration, whichever it is once this node is the only one at it. */
async function applyOne(
  connection: PostgresConnection,
  options: {
    readonly dialect: SqlDialect;
    readonly known: readonly Migration[];
    readonly limits: MigrationLimits;
    readonly schema: string | undefined;
  },
): Promise<void> {
  const { dialect, known, limits, schema } = options;
  const run = async (sql: string): Promise<Answer> => await connection.query(plain(sql));
  try {
    await run("begin isolation level read committed read write");
    // An index of a large table may take its time; waiting for somebody else's lock may not.
    await run("set local statement_timeout = 0");
    await run(`set local lock_timeout = ${limits.lockTimeoutMs}`);
    await run(`set local idle_in_transaction_session_timeout = ${limits.idleMs}`);
    await run(`select pg_advisory_xact_lock(${migrationLock})`);
    if (schema !== undefined) await makeSchema(connection, schema);
    for (const statement of prepare) await run(statement);
    const rows = (await connection.query(readApplied)).rows as readonly AppliedMigration[];
    const [next] = pendingMigrations(rows, known);
    if (next !== undefined) {
      const { compatibleFrom, statements, version } = next;
      for (const statement of statements(dialect)) await run(statement);
      await run(
        `insert into migrations (version, applied_at, compatible_from)
         values (${version}, floor(extract(epoch from clock_timestamp()) * 1000), ${compatibleFrom})`,
      );
    }
    await run("commit");
  } catch (error) {
    await run("rollback").catch(() => undefined);
    throw error;
  }
}

/** Asked for only where it is not there: who may use a schema may not be allowed to make one. */
async function makeSchema(connection: PostgresConnection, schema: string): Promise<void> {
  const sql = "select from pg_namespace where nspname = $1";
  const { rows } = await connection.query({ sql, parameters: [schema] });
  if (rows.length === 0) await connection.query(plain(`create schema ${quoted(schema)}`));
}

function givenUp({ waitMs }: MigrationLimits, cause: unknown): MetadataUnavailable {
  return new MetadataUnavailable(
    `PostgreSQL: the database could not be brought up to date within ${waitMs} ms: another node ` +
      "is at it, or holds a table that is to be changed",
    { cause },
  );
}
