import type { SqlDialect } from "../sql/dialect.ts";
/**
 * Brings a SQLite database up to date, under its write lock: two processes that start at once are
 * no trouble.
 */
import { migrations } from "../sql/migrations.ts";
import { all, only, run } from "../sql/plan.ts";
import type { Connection } from "./connection.ts";

export function migrate(connection: Connection, dialect: SqlDialect): void {
  const db = dialect.builder;
  connection.exec("begin immediate");
  try {
    const { integer } = dialect.types;
    connection.exec(
      `create table if not exists migrations (
         version ${integer} not null primary key, applied_at ${integer} not null)`,
    );
    const applied = connection.runPlan(all(db.selectFrom("migrations").select("version")));
    const newest = Math.max(0, ...applied.map(({ version }) => version));
    const known = Math.max(...migrations.map(({ version }) => version));
    if (newest > known) {
      throw new Error(
        `the database is of version ${newest}, made by a newer Longshore; this one knows ${known}`,
      );
    }
    for (const { version, statements } of migrations.filter((each) => each.version > newest)) {
      for (const statement of statements(dialect.types)) connection.exec(statement);
      const applied_at = connection.runPlan(only(dialect.clock)).now;
      connection.runPlan(run(db.insertInto("migrations").values({ version, applied_at })));
    }
    connection.exec("commit");
  } catch (error) {
    if (connection.inTransaction) connection.exec("rollback");
    throw error;
  }
}
