/** One connection to PostgreSQL: statements go out at once and are answered in order. */
import { Socket } from "node:net";
import { Client, type ClientConfig, type QueryArrayResult, type QueryResult } from "pg";
import type { CompiledSql, QueryRows } from "../sql/plan.ts";
import { ConnectionLost, isStalePlan, sqlState } from "./errors.ts";
import type { StatementNames } from "./statement-names.ts";

export interface Answer extends QueryRows {
  /** What was done: `COMMIT`, `ROLLBACK`, `SELECT`, ... */
  readonly command: string;
}

export interface ConnectionSettings {
  readonly client: ClientConfig;
  readonly connectTimeoutMs: number;
  /** How long a statement may go unanswered before the connection counts as lost. */
  readonly answerTimeoutMs: number;
  readonly names: StatementNames;
  /** Monotonic, ms. */
  readonly now: () => number;
}

/** A standby may lag behind, and what was acknowledged must be seen by everybody at once. */
const askForStandby: CompiledSql = {
  sql: "select pg_is_in_recovery() as standby",
  parameters: [],
};

/** How long a server may take to answer what was sent, and to end the connection; ms. */
const closeMs = 15_000;

export class PostgresConnection {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #names: StatementNames;
  readonly #answerTimeoutMs: number;
  readonly #now: () => number;
  #failure: ConnectionLost | undefined;
  #unanswered = 0;
  /** When the statement that is to be answered next was sent, or became the next one. */
  #waitingSince = 0;

  private constructor(settings: ConnectionSettings) {
    this.#names = settings.names;
    this.#answerTimeoutMs = settings.answerTimeoutMs;
    this.#now = settings.now;
    // Our own, so that it can be ended while nobody answers.
    const socket = new Socket();
    this.#socket = socket;
    this.#client = new Client({ ...settings.client, stream: () => socket, pipeline: true });
    // Without a listener a connection that breaks while it is idle would end the process.
    this.#client.on("error", (error) => this.#fail(error));
    this.#client.on("end", () => this.#fail(new Error("the connection was closed")));
  }

  static async open(settings: ConnectionSettings): Promise<PostgresConnection> {
    const connection = new PostgresConnection(settings);
    const { connectTimeoutMs } = settings;
    const late = setTimeout(() => {
      connection.destroy(`no connection within ${connectTimeoutMs} ms`);
    }, connectTimeoutMs);
    try {
      await connection.#client.connect();
      await connection.#refuseStandby();
      return connection;
    } catch (error) {
      const failure = connection.#failure ?? error;
      connection.destroy("the connection could not be made");
      // What the server itself says, such as a wrong password, is more use than our own words.
      if (sqlState(failure) !== undefined || failure instanceof ConnectionLost) throw failure;
      throw lost(failure);
    } finally {
      clearTimeout(late);
    }
  }

  /** Why it cannot be used any more. */
  get failure(): ConnectionLost | undefined {
    return this.#failure;
  }

  get unanswered(): number {
    return this.#unanswered;
  }

  query(query: CompiledSql): Promise<Answer> {
    const { promise, reject, resolve } = Promise.withResolvers<Answer>();
    if (this.#failure !== undefined) {
      reject(this.#failure);
      return promise;
    }
    if (this.#unanswered === 0) this.#waitingSince = this.#now();
    this.#unanswered += 1;
    const name = query.kept === true ? this.#names.nameOf(query.sql) : undefined;
    const values = query.parameters.length === 0 ? undefined : [...query.parameters];
    const config = { text: query.sql, ...(name && { name }), ...(values && { values }) };
    this.#client.query(config, (error: Error | null, result: Result) => {
      this.#unanswered -= 1;
      this.#waitingSince = this.#now();
      if (error !== null) reject(this.#reason(error));
      else resolve(toAnswer(result));
    });
    return promise;
  }

  /** Ends it where the server has not answered for too long: nothing else would notice. */
  endIfOverdue(now: number): void {
    if (this.#unanswered === 0 || now - this.#waitingSince < this.#answerTimeoutMs) return;
    this.destroy(`no answer within ${this.#answerTimeoutMs} ms`);
  }

  destroy(reason: string): void {
    this.#failure ??= new ConnectionLost(reason);
    this.#socket.destroy();
  }

  /** Says goodbye, for which there is little time; what was sent before is answered first. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    const late = setTimeout(() => this.destroy("no goodbye"), closeMs);
    try {
      await this.#client.end();
    } finally {
      clearTimeout(late);
    }
    this.#failure ??= new ConnectionLost("the connection is closed");
  }

  async #refuseStandby(): Promise<void> {
    const { rows } = await this.query(askForStandby);
    const [row] = rows as readonly { readonly standby: boolean }[];
    if (row?.standby !== false) throw new ConnectionLost("the server is a standby");
  }

  #fail(error: Error): void {
    this.#failure ??= lost(error);
  }

  /** Of a connection that has ended every error says just that, unless the server said why. */
  #reason(error: Error): Error {
    // A migration has changed what a kept statement gives: a new session prepares it anew.
    if (isStalePlan(error)) this.destroy("statements have to be prepared anew");
    if (isStalePlan(error) && this.#failure !== undefined) return this.#failure;
    return sqlState(error) === undefined ? (this.#failure ?? error) : error;
  }
}

function lost(error: unknown): ConnectionLost {
  const message = error instanceof Error ? error.message : String(error);
  return new ConnectionLost(message === "" ? "the connection failed" : message, { cause: error });
}

type Result = QueryResult | QueryArrayResult | readonly QueryResult[];

/** Of several statements in one message the last one's answer counts. */
function toAnswer(result: Result): Answer {
  const last = (Array.isArray(result) ? result.at(-1) : result) as QueryResult | undefined;
  return {
    rows: last?.rows ?? [],
    changed: last?.rowCount ?? 0,
    command: last?.command ?? "",
  };
}
