/**
 * Plans: SQL written once for databases that answer at once (SQLite) and those that answer later
 * (PostgreSQL). A plan is a generator which yields compiled queries and is resumed with their rows;
 * who runs it decides whether to wait. On SQLite a whole command therefore runs without giving the
 * thread away.
 */
import type { Compilable } from "kysely";

/** What a database is asked. */
export interface CompiledSql {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  /** It is run again and again: worth keeping ready in the database. */
  readonly kept?: boolean;
  /** Nobody waits for its rows: the plan goes on, and fails later if this does. */
  readonly unawaited?: boolean;
}

/** A query that was compiled before (`prepared.ts`). */
export interface CompiledOnce<T> {
  compile(): CompiledSql;
  /** Never set: carries the rows' type. */
  readonly row?: T;
}

/** Something that compiles: one of Kysely's builders, or a query that was compiled before. */
export type Query<T> = Compilable<T> | CompiledOnce<T>;

export interface QueryRows {
  readonly rows: readonly unknown[];
  /** Rows that an insert, update or delete without `returning` changed. */
  readonly changed: number;
}

export type Plan<T> = Generator<CompiledSql, T, QueryRows>;

/** All rows of a query. */
export function* all<T>(query: Query<T>): Plan<readonly T[]> {
  const result: QueryRows = yield query.compile();
  return result.rows as readonly T[];
}

/** The first row of a query, if there is one. */
export function* first<T>(query: Query<T>): Plan<T | undefined> {
  const rows = yield* all(query);
  return rows[0];
}

/** The one row that a query must give, such as an insert's `returning`. */
export function* only<T>(query: Query<T>): Plan<T> {
  const row = yield* first(query);
  if (row === undefined) throw new Error("a query that must give a row gave none");
  return row;
}

/**
 * Runs a statement for its effect, of which the plan need not know how many rows it has: a database
 * on another machine is sent the next one at once.
 */
export function* send(query: Query<unknown>): Plan<void> {
  const { kept = false, parameters, sql } = query.compile() as CompiledSql;
  yield { sql, parameters, kept, unawaited: true };
}

/** Runs a statement for its effect; returns how many rows it changed. */
export function* run(query: Query<unknown>): Plan<number> {
  const result: QueryRows = yield query.compile();
  return result.changed;
}
