/** What differs between the databases that speak our SQL. Everything else is written once. */
import type { Kysely, SelectQueryBuilder } from "kysely";
import type { CommandLock, RowLock } from "./locks.ts";
import type { Query } from "./plan.ts";
import type { Database } from "./schema.ts";

export interface SqlDialect {
  /** Builds and compiles queries; it never runs one. */
  readonly builder: Kysely<Database>;
  /** Queries that were compiled already, by the function that builds them (`prepared.ts`). */
  readonly prepared: Map<unknown, unknown>;
  /** Reads the database's own clock, ms UTC: nodes' clocks differ. */
  readonly clock: Query<{ readonly now: number }>;
  /** A command's first query: waits for the command's lock, then reads the clock. */
  begin(lock: CommandLock | undefined): Query<{ readonly now: number }>;
  /** Makes a command's select hold the rows that it gives, of one table, until the command ends. */
  hold<T extends keyof Database, O>(
    query: SelectQueryBuilder<Database, T, O>,
    table: T & string,
    lock: RowLock,
  ): SelectQueryBuilder<Database, T, O>;
  /** By what a reader follows the change log: see invariant I7. */
  readonly logPosition: "seq" | "position";
  /**
   * Whether a join may look at the tables before it. Where it may it should: PostgreSQL chooses
   * what to begin with by averages, and some repositories hold a thousand times the average.
   */
  readonly lateralJoins: boolean;
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
