/** What runs compiled reads. */
import type { PreparedQuery } from "./prepared.ts";

/** Runs compiled reads. A database in this process answers at once, another one later. */
export interface SqlReader {
  all<P extends Record<string, unknown>, T>(
    query: PreparedQuery<P, T>,
    values: P,
  ): T[] | Promise<T[]>;
  first<P extends Record<string, unknown>, T>(
    query: PreparedQuery<P, T>,
    values: P,
  ): T | undefined | Promise<T | undefined>;
  close(): void | Promise<void>;
}
