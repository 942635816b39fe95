/** Databases on a PostgreSQL server, one for each registry. */
import { randomBytes } from "node:crypto";
import { Client, type QueryResultRow } from "pg";

export interface TestDatabase {
  /** `postgres://user:password@host:port/name`. */
  readonly url: string;
  readonly name: string;
  /** On a connection of its own: a restart of the server breaks only what is in flight. */
  query<T extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly T[]>;
  /** Also while somebody is connected. */
  drop(): Promise<void>;
}

/** `endpoint`: of the server, as a superuser. */
export async function createDatabase(endpoint: string): Promise<TestDatabase> {
  const name = `registry_${randomBytes(6).toString("hex")}`;
  await query(endpoint, `CREATE DATABASE ${name}`);
  const url = new URL(endpoint);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    name,
    query: (text, values = []) => query(url.href, text, values),
    drop: async () => {
      await query(endpoint, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function query<T extends QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly T[]> {
  const client = new Client({ connectionString: url });
  // A connection that breaks fails its query as well.
  client.on("error", () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<T>(text, [...values]);
    return rows;
  } finally {
    await client.end();
  }
}
