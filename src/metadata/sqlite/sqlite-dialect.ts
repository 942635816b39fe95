/**
 * Our SQL on SQLite. Kysely only builds and compiles here: `connection.ts` runs what it compiled.
 */
import {
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from "kysely";
import type { SqlDialect } from "../sql/dialect.ts";
import type { Database } from "../sql/schema.ts";

export function sqliteDialect(): SqlDialect {
  const builder = new Kysely<Database>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  const now = sql<number>`cast(unixepoch('subsec') * 1000 as integer)`;
  const clock = builder.selectNoFrom(now.as("now")).compile();
  return {
    builder,
    prepared: new Map(),
    clock: { compile: () => clock },
    // Commands come one by one: nobody is there to be locked out.
    begin: () => ({ compile: () => clock }),
    hold: (query) => query,
    logPosition: "seq",
    lateralJoins: false,
    types: {
      id: "integer primary key autoincrement",
      integer: "integer",
      // SQLite compares text byte by byte unless told otherwise.
      text: "text",
      bytes: "blob",
      clustered: " without rowid",
    },
  };
}
