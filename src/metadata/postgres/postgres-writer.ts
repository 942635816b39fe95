/** Runs commands on PostgreSQL, each one as a transaction, again where it was taken back. */
import type { CommandName, CommandResult } from "../commands.ts";
import { MetadataUnavailable } from "../metadata-store.ts";
import { commandPlan } from "../sql/commands.ts";
import type { SqlDialect } from "../sql/dialect.ts";
import type { CommandOutcome, PendingCommand, SqlWriter } from "../sql/sql-store.ts";
import { ConnectionLost, toStoreError } from "./errors.ts";
import type { LeasePool } from "./lease-pool.ts";
import type { Retries } from "./retries.ts";
import { CommitUnanswered, runTransaction, type StatementGate } from "./transaction.ts";

/**
 * Commands that do not wait for the disk. A crash of the server may lose the last of them, while
 * this node goes on: so these are only those of which nothing follows that such a loss would make
 * wrong. What an upload's writer has saved or taken over is not among them: bytes that an older
 * state speaks of are deleted after a newer one was saved, and no epoch may be given twice.
 */
const relaxed: ReadonlySet<CommandName> = new Set(["createUpload", "deleteUpload", "recordPulls"]);

/** How long a COMMIT that was cut off may be at work on the server; ms. */
const commitEndsMs = 5000;

/** Between two looks at such a COMMIT; ms. */
const commitLookMs = 100;

export class PostgresWriter implements SqlWriter {
  readonly #dialect: SqlDialect;
  readonly #pool: LeasePool;
  readonly #retries: Retries;
  readonly #gate: ((command: PendingCommand, sql: string) => Promise<void> | void) | undefined;

  constructor(parts: {
    readonly dialect: SqlDialect;
    readonly pool: LeasePool;
    readonly retries: Retries;
    readonly gate?: ((command: PendingCommand, sql: string) => Promise<void> | void) | undefined;
  }) {
    this.#dialect = parts.dialect;
    this.#pool = parts.pool;
    this.#retries = parts.retries;
    this.#gate = parts.gate;
  }

  async execute(command: PendingCommand): Promise<CommandOutcome> {
    try {
      // What ends before COMMIT was sent has changed nothing, and is repeated.
      const result = await this.#retries.run(() => this.#once(command));
      return { ok: true, result };
    } catch (error) {
      return { ok: false, error: toStoreError(error) };
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #once(command: PendingCommand): Promise<CommandResult<CommandName>> {
    try {
      return await this.#run(command);
    } catch (error) {
      if (!(error instanceof CommitUnanswered)) throw error;
      if (await this.#wasCommitted(error)) return error.result as CommandResult<CommandName>;
      throw new ConnectionLost("the connection was lost before COMMIT", { cause: error });
    }
  }

  async #run(command: PendingCommand): Promise<CommandResult<CommandName>> {
    const connection = await this.#pool.lease();
    try {
      const { input, name } = command;
      const gate: StatementGate | undefined =
        this.#gate && ((sql: string) => this.#gate?.(command, sql));
      const plan = commandPlan(this.#dialect, name, input);
      return await runTransaction(connection, plan, { relaxed: relaxed.has(name), gate });
    } finally {
      this.#pool.release(connection);
    }
  }

  /**
   * Asks the server by the transaction's number. Throws `MetadataUnavailable` where it does not
   * know, or is another one by now: then nobody does.
   */
  async #wasCommitted(unanswered: CommitUnanswered): Promise<boolean> {
    const { server } = unanswered;
    const unknown = (why: string): MetadataUnavailable =>
      new MetadataUnavailable(`PostgreSQL: the answer to COMMIT did not come, and ${why}`, {
        cause: unanswered,
      });
    const giveUpAt = this.#retries.now() + commitEndsMs;
    for (;;) {
      const now = await this.#retries.run(() => this.#statusOf(unanswered));
      if (server === undefined || now.server !== server) throw unknown("the server is another one");
      if (now.status === "committed") return true;
      if (now.status === "aborted") return false;
      if (now.status !== "in progress") throw unknown("the server does not know it any more");
      if (this.#retries.now() > giveUpAt) throw unknown("the server is still at it");
      await this.#retries.pause(commitLookMs);
    }
  }

  async #statusOf(
    unanswered: CommitUnanswered,
  ): Promise<{ readonly status: string | null; readonly server: string | undefined }> {
    const connection = await this.#pool.lease();
    try {
      const { server } = connection;
      if (server !== unanswered.server) return { status: null, server };
      const sql = "select pg_xact_status(cast($1 as xid8)) as status";
      const { rows } = await connection.query({ sql, parameters: [unanswered.transaction] });
      const [row] = rows as readonly { readonly status: string | null }[];
      return { status: row?.status ?? null, server };
    } finally {
      this.#pool.release(connection);
    }
  }
}
