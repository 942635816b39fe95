/** What differs between the databases that speak our SQL. Everything else is written once. */
import type { Kysely, RawBuilder } from "kysely";
import type { Database } from "./schema.ts";

export interface SqlDialect {
  /** Builds and compiles queries; it never runs one. */
  readonly builder: Kysely<Database>;
  /** The database's own clock, ms UTC: nodes' clocks differ. */
  readonly now: RawBuilder<number>;
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
