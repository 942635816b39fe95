/**
 * Hot reads, built and compiled once. Kysely builds a query anew in about 8 us, which is more than SQLite
 * needs to answer it; here parameters are named places in a compiled query.
 */
import type { Compilable, CompiledQuery } from "kysely";

/** Stands for a parameter while a query is built. Kysely takes it for a value. */
class Place {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

export interface PreparedQuery<P extends Record<string, unknown>, T> {
  readonly sql: string;
  /** The values of one run, in the order of the query's places. */
  bind(parameters: P): unknown[];
  /** Never set: carries the row's type. */
  readonly row?: T;
}

type Places<P> = { readonly [K in keyof P]: P[K] };

/** Compiles what `build` makes of its places. */
export function prepare<P extends Record<string, unknown>, T>(
  build: (place: Places<P>) => Compilable<T>,
): PreparedQuery<P, T> {
  const places = new Proxy({} as Places<P>, {
    get: (_target, name) => new Place(String(name)),
  });
  const compiled: CompiledQuery<T> = build(places).compile();
  const { parameters } = compiled;
  return {
    sql: compiled.sql,
    bind: (values) =>
      parameters.map((parameter) =>
        parameter instanceof Place ? values[parameter.name] : parameter,
      ),
  };
}
