/** What PostgreSQL's errors mean to us: whether to try again, on which connection, what to say. */
import { MetadataUnavailable } from "../metadata-store.ts";

/** The connection to the server is gone, or was never made. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

/**
 * - `conflict`: the database took the transaction back in favour of another one. Again at once.
 * - `lost`: there is no connection, or the server ended it. Again on a new one.
 * - `busy`: the server could not finish in time, or has no room. Later, by whoever asked.
 * - `other`: the statement is at fault.
 */
export type FailureKind = "conflict" | "lost" | "busy" | "other";

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const kinds: Readonly<Record<string, FailureKind>> = {
  "40001": "conflict", // serialization_failure
  "40P01": "conflict", // deadlock_detected
  "26000": "lost", // invalid_sql_statement_name: a pooler gave us another session
  "25006": "lost", // read_only_sql_transaction: the server has become a standby
  "25P03": "lost", // idle_in_transaction_session_timeout
  "25P04": "lost", // transaction_timeout
  "53300": "lost", // too_many_connections
  "57P01": "lost", // admin_shutdown
  "57P02": "lost", // crash_shutdown
  "57P03": "lost", // cannot_connect_now
  "57P05": "lost", // idle_session_timeout
  "57014": "busy", // query_canceled: by statement_timeout
  "55P03": "busy", // lock_not_available: by lock_timeout
};

/** Whole classes of codes. */
const classes: Readonly<Record<string, FailureKind>> = {
  "08": "lost", // connection_exception
  "53": "busy", // insufficient_resources: disk, memory
  "58": "busy", // system_error: input and output
};

/** The server, or a limit of ours on it, has no room for another connection. */
export const tooManyConnections = "53300";

export function failureKind(error: unknown): FailureKind {
  if (error instanceof ConnectionLost) return "lost";
  const code = sqlState(error);
  if (code === undefined) return "other";
  return kinds[code] ?? classes[code.slice(0, 2)] ?? "other";
}

/** The SQLSTATE of an error that the server sent. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("severity" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * "cached plan must not change result type": it has no code of its own, and its text is translated.
 */
export function isStalePlan(error: unknown): boolean {
  return sqlState(error) === "0A000" && hasRoutine(error, "RevalidateCachedQuery");
}

function hasRoutine(error: unknown, name: string): boolean {
  return error instanceof Error && "routine" in error && error.routine === name;
}

/** What the store's callers are told: their statement's own error, or that nobody is there. */
export function toStoreError(error: unknown): unknown {
  if (error instanceof MetadataUnavailable || failureKind(error) === "other") return error;
  const message = error instanceof Error ? error.message : String(error);
  return new MetadataUnavailable(`PostgreSQL: ${message}`, { cause: error });
}
