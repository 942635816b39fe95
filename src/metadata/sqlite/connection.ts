/** One connection to a SQLite database: pragmas, compiled statements, plans run at once. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { CompiledSql, Plan, QueryRows } from "../sql/plan.ts";
import { bind, type PreparedQuery } from "../sql/prepared.ts";

/**
 * How long a connection waits for another process's write transaction. Those last for milliseconds;
 * ten seconds mean that something is wrong.
 */
const busyTimeoutMs = 10_000;

/**
 * Pause between two tries to begin a write transaction. SQLite's own pauses grow to 100 ms: where
 * two processes push, each would find the other at work again, and the disk stand still in between
 * (measured with two: a quarter fewer pushes, and half as long again for each).
 */
const beginPauseMs = 0.4;

/** SQLITE_BUSY, without its extensions (the lower byte). */
const busy = 5;

/**
 * Compiled statements kept per connection: all of ours, with room for lists of different lengths.
 */
const statementsMax = 200;

/**
 * Characters. Longer statements hold a list of a client's length: kept, each length would cost
 * megabytes, and push out those that are needed all the time.
 */
const keptTextMax = 4096;

/**
 * Page cache of a connection, in KiB: enough for the upper levels of every index of a large
 * registry.
 */
const pageCacheKib = 4096;

/** An in-memory database. */
export const inMemory = ":memory:";

interface Statement {
  readonly prepared: StatementSync;
  readonly givesRows: boolean;
}

export class Connection {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, Statement>();
  #synchronous: "full" | "normal" = "full";
  /** Nobody wakes who waits for it: a pause. */
  readonly #never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  constructor(path: string, options: { readonly readOnly: boolean }) {
    this.#db = new DatabaseSync(path, {
      readOnly: options.readOnly,
      timeout: busyTimeoutMs,
      enableForeignKeyConstraints: true,
    });
    this.#db.exec(`pragma cache_size = -${pageCacheKib}`);
    if (options.readOnly) return;
    this.#db.exec("pragma journal_mode = wal");
    this.#db.exec("pragma synchronous = full");
    // The writer checkpoints by itself, after it has answered.
    this.#db.exec("pragma wal_autocheckpoint = 0");
    // What was copied is cut off the log, so that the log's size says what is left to copy.
    this.#db.exec("pragma journal_size_limit = 0");
    // `beginWriting` waits instead.
    this.#db.exec("pragma busy_timeout = 0");
  }

  /**
   * Begins a transaction that writes, when no other process has one. Stalls the thread for so long.
   */
  beginWriting(): void {
    for (let tries = busyTimeoutMs / beginPauseMs; ; tries -= 1) {
      try {
        this.exec("begin immediate");
        return;
      } catch (error) {
        if (!isBusy(error) || tries <= 0) throw error;
        Atomics.wait(this.#never, 0, 0, beginPauseMs);
      }
    }
  }

  /** Runs a statement without parameters or rows, compiled once. */
  exec(statement: string): void {
    this.#statement(statement).prepared.run();
  }

  /** Whether a commit waits for the disk. Not to be called inside a transaction. */
  setSynchronous(mode: "full" | "normal"): void {
    if (this.#synchronous === mode) return;
    this.#db.exec(`pragma synchronous = ${mode}`);
    this.#synchronous = mode;
  }

  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  /** Runs a plan to its end without giving the thread away. */
  runPlan<T>(plan: Plan<T>): T {
    let step = plan.next({ rows: [], changed: 0 });
    while (step.done !== true) step = plan.next(this.#query(step.value));
    return step.value;
  }

  all<P extends Record<string, unknown>, T>(query: PreparedQuery<P, T>, values: P): T[] {
    const { prepared } = this.#statement(query.sql);
    return prepared.all(...(bind(query, values) as SQLInputValue[])) as T[];
  }

  first<P extends Record<string, unknown>, T>(
    query: PreparedQuery<P, T>,
    values: P,
  ): T | undefined {
    const { prepared } = this.#statement(query.sql);
    return prepared.get(...(bind(query, values) as SQLInputValue[])) as T | undefined;
  }

  close(): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  #query(query: CompiledSql): QueryRows {
    const { prepared, givesRows } = this.#statement(query.sql);
    const parameters = query.parameters as readonly SQLInputValue[];
    if (givesRows) return { rows: prepared.all(...parameters), changed: 0 };
    return { rows: [], changed: Number(prepared.run(...parameters).changes) };
  }

  #statement(text: string): Statement {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const prepared = this.#db.prepare(text);
    const statement = { prepared, givesRows: prepared.columns().length > 0 };
    if (text.length > keptTextMax) return statement;
    if (this.#statements.size >= statementsMax) {
      const oldest = this.#statements.keys().next();
      if (oldest.done !== true) this.#statements.delete(oldest.value);
    }
    this.#statements.set(text, statement);
    return statement;
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && (Number(error.errcode) & 0xff) === busy;
}
