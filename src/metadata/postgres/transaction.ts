/** Runs a plan as one transaction. */
import type { CompiledSql, Plan, QueryRows } from "../sql/plan.ts";
import type { Answer, PostgresConnection } from "./connection.ts";
import { failureKind } from "./errors.ts";

/** Called before each statement of a command; tests hold a command there. */
export type StatementGate = (sql: string) => Promise<void> | void;

/** The answer to COMMIT did not come: whether it was carried out is not known. */
export class CommitUnanswered extends Error {
  override readonly name = "CommitUnanswered";
  /** What the plan returned: it holds if the transaction was carried out. */
  readonly result: unknown;

  constructor(result: unknown, options: ErrorOptions) {
    super("the answer to COMMIT did not come", options);
    this.result = result;
  }
}

const nothing: QueryRows = { rows: [], changed: 0 };

function plain(sql: string): CompiledSql {
  return { sql, parameters: [] };
}

/** Whatever the cluster's own default is: our commands are written for this one. */
const begin = plain("begin isolation level read committed read write");

/** Its loss in a crash of the server breaks no promise, so it does not wait for the disk. */
const beginRelaxed = plain(`${begin.sql}; set local synchronous_commit = off`);

const [commit, rollback] = [plain("commit"), plain("rollback")];

/**
 * A statement that nobody awaits is followed by the next one at once. Where it fails all that
 * follow fail too, and its own error is the one that is thrown.
 */
export async function runTransaction<T>(
  connection: PostgresConnection,
  plan: Plan<T>,
  options: { readonly relaxed: boolean; readonly gate?: StatementGate | undefined },
): Promise<T> {
  const failures: unknown[] = [];
  let sent: Promise<unknown> = Promise.resolve();
  const send = (query: CompiledSql): Promise<Answer> => {
    const answer = connection.query(query);
    sent = answer.catch((error: unknown) => failures.push(error));
    return answer;
  };
  /** Whoever holds the command knows that all before the statement was carried out. */
  const pass = async (gate: StatementGate, sql: string): Promise<void> => {
    await sent;
    await gate(sql);
  };
  try {
    void send(options.relaxed ? beginRelaxed : begin);
    let step = plan.next(nothing);
    while (step.done !== true) {
      if (options.gate !== undefined) await pass(options.gate, step.value.sql);
      const answer = send(step.value);
      step = plan.next(step.value.unawaited === true ? nothing : await answer);
    }
    if (options.gate !== undefined) await pass(options.gate, commit.sql);
    await finish(connection, step.value);
    return step.value;
  } catch (error) {
    if (error instanceof CommitUnanswered) throw error;
    // A connection that cannot even do this is not used again.
    await connection.query(rollback).catch(() => connection.destroy("a rollback failed"));
    throw failures[0] ?? error;
  }
}

/** Resolves when the transaction is durable. */
async function finish(connection: PostgresConnection, result: unknown): Promise<void> {
  // Nothing was sent on a connection that is known to be gone.
  if (connection.failure !== undefined) throw connection.failure;
  let answer: Answer;
  try {
    answer = await connection.query(commit);
  } catch (error) {
    if (failureKind(error) !== "lost") throw error;
    throw new CommitUnanswered(result, { cause: error });
  }
  // Of a transaction that has failed COMMIT is a rollback, and no error. The caller knows whose.
  if (answer.command !== commit.sql.toUpperCase()) {
    throw new Error("PostgreSQL took the transaction back");
  }
}
