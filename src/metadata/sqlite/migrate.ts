/**
 * Brings a SQLite database up to date, under its write lock: two processes that start at once are
 * no trouble.
 */
import type { SqlDialect } from "../sql/dialect.ts";
import { pendingMigrations } from "../sql/migrations.ts";
import { all, only, run } from "../sql/plan.ts";
import type { Connection } from "./connection.ts";

export function migrate(connection: Connection, dialect: SqlDialect): void {
  const db = dialect.builder;
  connection.beginWriting();
  try {
    prepareTable(connection, dialect);
    const applied = connection.runPlan(
      all(db.selectFrom("migrations").select(["version", "compatible_from"])),
    );
    for (const { compatibleFrom, statements, version } of pendingMigrations(applied)) {
      for (const statement of statements(dialect)) connection.exec(statement);
      const applied_at = connection.runPlan(only(dialect.clock)).now;
      const record = { version, applied_at, compatible_from: compatibleFrom };
      connection.runPlan(run(db.insertInto("migrations").values(record)));
    }
    connection.exec("commit");
  } catch (error) {
    if (connection.inTransaction) connection.exec("rollback");
    throw error;
  }
}

/** Makes the table of migrations, or adds the column that its first version did not have. */
function prepareTable(connection: Connection, dialect: SqlDialect): void {
  const { integer } = dialect.types;
  connection.exec(
    `create table if not exists migrations (
       version ${integer} not null primary key, applied_at ${integer} not null,
       compatible_from ${integer})`,
  );
  const text = "pragma table_info(migrations)";
  const columns = connection.runPlan(
    all<{ name: string }>({ compile: () => ({ sql: text, parameters: [] }) }),
  );
  if (columns.some(({ name }) => name === "compatible_from")) return;
  connection.exec(`alter table migrations add column compatible_from ${integer}`);
}
