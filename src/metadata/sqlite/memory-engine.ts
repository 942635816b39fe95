/** A database in memory: one connection, on which commands run at once, between two reads. */
import { prepareReads } from "../sql/reads.ts";
import type { PreparedReads } from "../sql/rows.ts";
import type { SqlWriter } from "../sql/sql-store.ts";
import { Connection, inMemory } from "./connection.ts";
import { runGroup } from "./group-commit.ts";
import { migrate } from "./migrate.ts";
import { sqliteDialect } from "./sqlite-dialect.ts";

export interface MemoryEngine {
  readonly connection: Connection;
  readonly reads: PreparedReads;
  readonly writer: SqlWriter;
}

export function openMemoryEngine(): MemoryEngine {
  const dialect = sqliteDialect();
  const connection = new Connection(inMemory, { readOnly: false });
  migrate(connection, dialect);
  const writer: SqlWriter = {
    execute: async (command) => {
      const [outcome] = runGroup(connection, dialect, [command]);
      return outcome ?? { ok: false, error: new Error("the command gave no outcome") };
    },
    close: async () => undefined,
  };
  return { connection, reads: prepareReads(dialect), writer };
}
