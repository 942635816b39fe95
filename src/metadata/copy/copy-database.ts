/** A database that is copied from or to: SQL with `?` for its parameters, on one connection. */
import type { CopiedTable } from "./tables.ts";

export type SqlValue = number | string | Uint8Array | null;

/** In the order of the table's columns. */
export type Row = Readonly<Record<string, SqlValue>>;

export interface CopyDatabase {
  /** For messages: without user and password. */
  readonly label: string;

  query(sql: string, parameters?: readonly SqlValue[]): Promise<readonly Row[]>;

  /** Durable when it resolves; undone when `work` throws. */
  transaction(work: () => Promise<void>): Promise<void>;

  /** As a source: from now on nobody writes, and what is read is one state of it. */
  holdStill(): Promise<void>;

  hasTable(name: string): Promise<boolean>;

  /** How a column is read: the change log's `seq` is its position. */
  read(table: CopiedTable, column: string): string;

  /** Takes all rows out of the tables. */
  empty(tables: readonly string[]): Promise<void>;

  insert(table: CopiedTable, rows: readonly Row[]): Promise<void>;

  /** The last number that was given in each numbered table, also where its row is gone. */
  lastNumbers(): Promise<Readonly<Record<string, number>>>;

  setLastNumbers(numbers: Readonly<Record<string, number>>): Promise<void>;

  /** What the database should know of its new content. */
  analyze(): Promise<void>;

  close(): Promise<void>;
}

/** The copy cannot begin or go on. The message says what to do. */
export class CopyRefused extends Error {
  override readonly name: string = "CopyRefused";
}

/** What was copied is not what is there. */
export class CopyDiffers extends CopyRefused {
  override readonly name = "CopyDiffers";
}

/** A name as SQL quotes it. Ours have no quotes in them. */
export function quoted(name: string): string {
  return `"${name}"`;
}
