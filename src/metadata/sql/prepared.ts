/**
 * Hot queries, built and compiled once. Kysely builds a query anew in about 8 us, which is more
 * than SQLite needs to answer it; here parameters are named places in a compiled query.
 */
import type { Kysely } from "kysely";
import type { SqlDialect } from "./dialect.ts";
import type { CompiledOnce, Query } from "./plan.ts";
import type { Database } from "./schema.ts";

/** Stands for a parameter while a query is built. Kysely takes it for a value. */
class Place {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A compiled query with named places. Plain data: it crosses threads. */
export interface PreparedQuery<P extends Record<string, unknown>, T> {
  readonly sql: string;
  /** In the order of the query's parameters: a place's name, or a value that is always the same. */
  readonly parameters: readonly ({ readonly place: keyof P } | { readonly value: unknown })[];
  /** Never set: carries the row's type. */
  readonly row?: T;
}

/** The values of one run. */
export function bind<P extends Record<string, unknown>>(
  query: PreparedQuery<P, unknown>,
  values: P,
): unknown[] {
  return query.parameters.map((each) => ("place" in each ? values[each.place] : each.value));
}

/** Compiles what `build` makes of its places. */
export function prepare<P extends Record<string, unknown>, T>(
  build: (place: P) => Query<T>,
): PreparedQuery<P, T> {
  const places = new Proxy({} as P, {
    get: (_target, name) => new Place(String(name)),
  });
  const { parameters, sql } = build(places).compile();
  return {
    sql,
    parameters: parameters.map((each) =>
      each instanceof Place ? { place: each.name } : { value: each },
    ),
  };
}

/**
 * A query of a command: like `prepare`, compiled when it is first run on a dialect, and kept there.
 *
 *     const byName = statement((db, place: { name: string }) =>
 *       db.selectFrom("repositories").selectAll().where("name", "=", place.name));
 *     const row = yield* first(byName(ctx, { name }));
 */
export function statement<P extends Record<string, unknown>, T>(
  build: (db: Kysely<Database>, place: P, dialect: SqlDialect) => Query<T>,
): (ctx: { readonly dialect: SqlDialect }, values: P) => CompiledOnce<T> {
  return ({ dialect }, values) => {
    let query = dialect.prepared.get(build) as PreparedQuery<P, T> | undefined;
    if (query === undefined) {
      query = prepare<P, T>((place) => build(dialect.builder, place, dialect));
      dialect.prepared.set(build, query);
    }
    const { sql } = query;
    const parameters = bind(query, values);
    return { compile: () => ({ sql, parameters, kept: true }) };
  };
}

/** Rows of one statement: it stays short, and far below any database's limit on parameters. */
const listMax = 128;

/**
 * Like `statement`, for lists: a plan runs it once for each 128 rows. It is compiled for few
 * lengths only (1, 2, 4, ... 128), and a list's last row is repeated up to the next of these, so
 * the statement must not mind rows that come twice.
 */
export function listStatement<P extends Places, R extends object, T>(
  build: (db: Kysely<Database>, rows: readonly R[], place: P) => Query<T>,
): (
  ctx: { readonly dialect: SqlDialect },
  rows: readonly R[],
  values: P,
) => Generator<CompiledOnce<T>> {
  const byLength = new Map<number, ReturnType<typeof statement<Places, T>>>();
  const ofLength = (length: number) =>
    byLength.getOrInsertComputed(length, () =>
      statement<Places, T>((db, place) =>
        build(db, placesOfRows(length) as readonly R[], place as P),
      ),
    );
  return function* batches(ctx, rows, values) {
    for (let at = 0; at < rows.length; at += listMax) {
      const batch = rows.slice(at, at + listMax);
      const length = 2 ** Math.ceil(Math.log2(batch.length));
      yield ofLength(length)(ctx, { ...values, ...namedByRow(batch, length) });
    }
  };
}

type Places = Record<string, unknown>;

function placesOfRows(length: number): readonly object[] {
  return Array.from(
    { length },
    (_, row) => new Proxy({}, { get: (_target, name) => new Place(`${row}.${String(name)}`) }),
  );
}

/** The rows' values by the names of their places. */
function namedByRow(rows: readonly object[], length: number): Places {
  const values: Places = {};
  for (let row = 0; row < length; row += 1) {
    const given = rows[Math.min(row, rows.length - 1)] ?? {};
    for (const [name, value] of Object.entries(given)) values[`${row}.${name}`] = value;
  }
  return values;
}
