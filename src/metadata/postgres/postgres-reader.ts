/** Runs reads on PostgreSQL: single statements, on connections that many share. */
import type { CompiledSql } from "../sql/plan.ts";
import { bind, type PreparedQuery } from "../sql/prepared.ts";
import type { SqlReader } from "../sql/sql-reader.ts";
import { failureKind, toStoreError } from "./errors.ts";
import type { Retries } from "./retries.ts";
import type { SharedConnections } from "./shared-connections.ts";

export class PostgresReader implements SqlReader {
  readonly #connections: SharedConnections;
  readonly #retries: Retries;

  constructor(parts: { readonly connections: SharedConnections; readonly retries: Retries }) {
    this.#connections = parts.connections;
    this.#retries = parts.retries;
  }

  async all<P extends Record<string, unknown>, T>(
    query: PreparedQuery<P, T>,
    values: P,
  ): Promise<T[]> {
    const compiled = { sql: query.sql, parameters: bind(query, values), kept: true };
    return (await this.#run(compiled)) as T[];
  }

  async first<P extends Record<string, unknown>, T>(
    query: PreparedQuery<P, T>,
    values: P,
  ): Promise<T | undefined> {
    const rows = await this.all(query, values);
    return rows[0];
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  /** A read changes nothing: it is repeated whatever happened to the one before. */
  async #run(query: CompiledSql): Promise<readonly unknown[]> {
    try {
      return await this.#once(query);
    } catch (error) {
      if (failureKind(error) === "other") throw error;
      return await this.#retries
        .run(() => this.#once(query))
        .catch((again: unknown) => {
          throw toStoreError(again);
        });
    }
  }

  async #once(query: CompiledSql): Promise<readonly unknown[]> {
    const connection = await this.#connections.get();
    return (await connection.query(query)).rows;
  }
}
