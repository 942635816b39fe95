/** What differs between the databases that speak our SQL. Everything else is written once. */
import type { Kysely } from "kysely";
import type { Query } from "./plan.ts";
import type { Database } from "./schema.ts";

export interface SqlDialect {
  /** Builds and compiles queries; it never runs one. */
  readonly builder: Kysely<Database>;
  /** Queries that were compiled already, by the function that builds them (`prepared.ts`). */
  readonly prepared: Map<unknown, unknown>;
  /** Reads the database's own clock, ms UTC: nodes' clocks differ. */
  readonly clock: Query<{ readonly now: number }>;
  /** Column types for migrations. Text compares byte-wise. */
  readonly types: {
    readonly id: string;
    readonly integer: string;
    readonly text: string;
    readonly bytes: string;
    /** Put behind a table whose primary key is how it is read. */
    readonly clustered: string;
  };
}
