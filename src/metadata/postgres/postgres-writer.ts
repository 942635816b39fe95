/** Runs commands on PostgreSQL, each one as a transaction, again where it was taken back. */
import type { CommandName, CommandResult } from "../commands.ts";
import { MetadataUnavailable } from "../metadata-store.ts";
import { commandPlan } from "../sql/commands.ts";
import type { SqlDialect } from "../sql/dialect.ts";
import type { CommandOutcome, PendingCommand, SqlWriter } from "../sql/sql-store.ts";
import { ConnectionLost, sqlState, toStoreError } from "./errors.ts";
import type { LeasePool } from "./lease-pool.ts";
import { settle } from "./repeated-commands.ts";
import type { Retries } from "./retries.ts";
import { CommitUnanswered, runTransaction, type StatementGate } from "./transaction.ts";

/**
 * Commands that do not wait for the disk. A crash of the server may lose the last of them, while
 * this node goes on: so these are only those of which nothing follows that such a loss would make
 * wrong. What an upload's writer has saved or taken over is not among them: bytes that an older
 * state speaks of are deleted after a newer one was saved, and no epoch may be given twice.
 */
const relaxed: ReadonlySet<CommandName> = new Set(["createUpload", "deleteUpload", "recordPulls"]);

const uniqueViolation = "23505";

const liveLink = `select from repository_blobs join blobs on blobs.id = repository_blobs.blob
  where repository_blobs.repository = $1 and blobs.id = $2 and blobs.state = 'live'`;

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
      return { ok: true, result: await this.#execute(command) };
    } catch (error) {
      return { ok: false, error: toStoreError(error) };
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  /**
   * What ends before COMMIT was sent has changed nothing. What ends without an answer to it may
   * have happened: it is repeated too, and the two results tell together what to say.
   */
  async #execute(command: PendingCommand): Promise<CommandResult<CommandName>> {
    let unanswered: CommandResult<CommandName> | undefined;
    const result = await this.#retries.run(async () => {
      try {
        return await this.#run(command);
      } catch (error) {
        if (error instanceof CommitUnanswered) {
          unanswered ??= error.result as CommandResult<CommandName>;
          throw new ConnectionLost(error.message, { cause: error });
        }
        // It is there: the id is the upload's own, so it was the first run that made it.
        const isMade = command.name === "createUpload" && sqlState(error) === uniqueViolation;
        if (isMade && unanswered !== undefined) return unanswered;
        throw error;
      }
    });
    if (unanswered === undefined) return result;
    const settled = settle(command.name, unanswered, result);
    if (settled !== "unknown") return settled;
    if (await this.#isCommitted(unanswered)) return unanswered;
    throw new MetadataUnavailable("PostgreSQL: whether the upload was committed is not known");
  }

  /** Whether what the commit of an upload was to bring about is so: whoever did it. */
  async #isCommitted(result: CommandResult<CommandName>): Promise<boolean> {
    if (!("outcome" in result) || result.outcome !== "committed") return false;
    const parameters = [result.repositoryId, result.blobId];
    return await this.#retries.run(async () => {
      const connection = await this.#pool.lease();
      try {
        return (await connection.query({ sql: liveLink, parameters })).rows.length > 0;
      } finally {
        this.#pool.release(connection);
      }
    });
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
}
