/** Reads a table in the order of its key, in pages that are bounded by rows and by bytes. */
import { quoted, type CopyDatabase, type Row, type SqlValue } from "./copy-database.ts";
import type { CopiedTable } from "./tables.ts";

/** Rows of a page at most: some MiB of the smallest, and a transaction of some 50 ms. */
const pageRowsMax = 4000;

/** Bytes of a page's large columns, beyond its first row, which alone may have 4 MiB. */
const pageBytesMax = 4 * 1024 * 1024;

/** A row's place in its table. */
export type Place = readonly SqlValue[];

export interface TablePage {
  readonly rows: readonly Row[];
  /** Of its last row. */
  readonly place: Place;
}

/** Pages after `after`; each has a row at least. */
export async function* readPages(
  database: CopyDatabase,
  table: CopiedTable,
  after: Place | undefined,
): AsyncGenerator<TablePage, void> {
  for (let place = after; ;) {
    const limit = table.large.length === 0 ? pageRowsMax : await fitting(database, table, place);
    if (limit === 0) return;
    const columns = Object.keys(table.columns).map(
      (column) => `${database.read(table, column)} as ${quoted(column)}`,
    );
    const { parameters, sql } = pageOf(database, table, { columns, limit, place });
    const rows = await database.query(sql, parameters);
    const last = rows.at(-1);
    if (last === undefined) return;
    place = table.key.map((column) => last[column] ?? null);
    yield { rows, place };
    if (table.large.length === 0 && rows.length < limit) return;
  }
}

/** How many rows from there on a page may have. */
async function fitting(
  database: CopyDatabase,
  table: CopiedTable,
  place: Place | undefined,
): Promise<number> {
  const sizes = table.large.map(
    (column) => `coalesce(octet_length(${database.read(table, column)}), 0)`,
  );
  const columns = [`${sizes.join(" + ")} as bytes`];
  const { parameters, sql } = pageOf(database, table, { columns, limit: pageRowsMax, place });
  let [bytes, count] = [0, 0];
  for (const row of await database.query(sql, parameters)) {
    bytes += Number(row["bytes"]);
    if (bytes > pageBytesMax && count > 0) break;
    count += 1;
  }
  return count;
}

function pageOf(
  database: CopyDatabase,
  table: CopiedTable,
  page: {
    readonly columns: readonly string[];
    readonly limit: number;
    readonly place: Place | undefined;
  },
): { readonly sql: string; readonly parameters: readonly SqlValue[] } {
  const key = table.key.map((column) => database.read(table, column)).join(", ");
  const { columns, limit, place = [] } = page;
  const places = place.map(() => "?").join(", ");
  const from = place.length === 0 ? "" : `where (${key}) > (${places})`;
  const sql = `select ${columns.join(", ")} from ${table.name} ${from} order by ${key} limit ?`;
  return { sql, parameters: [...place, limit] };
}
