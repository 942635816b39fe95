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

type Places<P> = { readonly [K in keyof P]: P[K] };

/** Compiles what `build` makes of its places. */
export function prepare<P extends Record<string, unknown>, T>(
  build: (place: Places<P>) => Query<T>,
): PreparedQuery<P, T> {
  const places = new Proxy({} as Places<P>, {
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
