/** A table's rows as one digest, the same from every database that has them. */
import { createHash, type Hash } from "node:crypto";
import type { CopyDatabase, Row, SqlValue } from "./copy-database.ts";
import { readPages } from "./table-pages.ts";
import type { CopiedTable } from "./tables.ts";

export interface TableDigest {
  readonly rows: number;
  readonly digest: string;
}

/** Reads the whole table, a page at a time. `seen` is told of each page. */
export async function digestTable(
  database: CopyDatabase,
  table: CopiedTable,
  seen: (rows: number) => void,
): Promise<TableDigest> {
  const hash = createHash("sha256");
  const columns = Object.keys(table.columns);
  let count = 0;
  for await (const { rows } of readPages(database, table, undefined)) {
    hashRows(hash, columns, rows);
    count += rows.length;
    seen(rows.length);
  }
  return { rows: count, digest: hash.digest("hex") };
}

/** Each value with its kind and length before it: no two rows look alike. */
function hashRows(hash: Hash, columns: readonly string[], rows: readonly Row[]): void {
  let text = "";
  for (const row of rows) {
    for (const column of columns) {
      const value: SqlValue = row[column] ?? null;
      if (value === null) text += "n,";
      else if (typeof value === "number") text += `i${value},`;
      else if (typeof value === "string") text += `t${value.length}:${value},`;
      else {
        hash.update(`${text}b${value.byteLength}:`);
        hash.update(value);
        text = ",";
      }
    }
    text += ";";
  }
  hash.update(text);
}
