/**
 * The thread that owns the write connection. Whatever has arrived while the disk was busy is one
 * group; answers go out after the sync, and only then, if the log has grown, comes a checkpoint.
 */
import { statSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { prepareReads } from "../sql/reads.ts";
import type { PreparedReads } from "../sql/rows.ts";
import type { CommandOutcome, PendingCommand } from "../sql/sql-store.ts";
import { Connection } from "./connection.ts";
import { runGroup } from "./group-commit.ts";
import { migrate } from "./migrate.ts";
import { sqliteDialect } from "./sqlite-dialect.ts";

/** Commands in one transaction: more would only make the first of them wait. */
const groupMax = 256;

/** The write-ahead log is copied into the database when it is larger than this many bytes. */
const checkpointBytes = 8 * 1024 * 1024;

/** Groups between two looks at the log's size: few write more than some 100 KiB. */
const groupsPerLook = 4;

export interface WriterRequest {
  readonly id: number;
  readonly command: PendingCommand;
}

export interface WriterAnswer {
  readonly id: number;
  readonly outcome: CommandOutcome;
}

/**
 * From the store: commands, or `close`. To the store: first what it may read by, then answers,
 * `closed` last.
 */
export type ToWriter = readonly WriterRequest[] | "close";
export type FromWriter = { readonly reads: PreparedReads } | readonly WriterAnswer[] | "closed";

/** Zero also where it cannot be told: then there is no checkpoint yet. */
function logBytes(path: string): number {
  try {
    return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0;
  }
}

function start(path: string): void {
  const port = parentPort;
  if (port === null) throw new Error("this module is a worker thread");
  const dialect = sqliteDialect();
  const connection = new Connection(path, { readOnly: false });
  migrate(connection, dialect);
  // Only this thread loads the query builder, which has more code than all of the rest.
  port.postMessage({ reads: prepareReads(dialect) } satisfies FromWriter);

  /** Without one nothing is lost: the log has it all, and the next one tries again. */
  const checkpoint = (mode: "passive" | "truncate"): void => {
    try {
      connection.exec(`pragma wal_checkpoint(${mode})`);
    } catch {
      // The disk is full, or fails: then commands fail too, and say so.
    }
  };

  let groups = 0;
  const checkpointIfLarge = (): void => {
    groups += 1;
    if (groups % groupsPerLook !== 0) return;
    if (logBytes(path) > checkpointBytes) checkpoint("passive");
  };

  const runAll = (waiting: readonly WriterRequest[]): void => {
    for (let at = 0; at < waiting.length; at += groupMax) {
      const group = waiting.slice(at, at + groupMax);
      const commands = group.map(({ command }) => command);
      const outcomes = runGroup(connection, dialect, commands);
      const answers = group.map(({ id }, index) => ({ id, outcome: outcomes[index] }));
      port.postMessage(answers);
    }
    checkpointIfLarge();
  };

  port.on("message", (message: ToWriter) => {
    const waiting: WriterRequest[] = [];
    let closing = false;
    let next: ToWriter | undefined = message;
    while (next !== undefined) {
      if (next === "close") closing = true;
      else waiting.push(...next);
      const more: { readonly message: ToWriter } | undefined = receiveMessageOnPort(port);
      next = more?.message;
    }
    runAll(waiting);
    if (!closing) return;
    checkpoint("truncate");
    connection.close();
    port.postMessage("closed" satisfies FromWriter);
    port.close();
  });
}

start((workerData as { readonly path: string }).path);
