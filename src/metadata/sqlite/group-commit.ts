/**
 * Runs waiting commands as one transaction: a savepoint each, one wait for the disk for all of
 * them. A command that throws takes back what it wrote, and nothing of the others.
 */
import { commandPlan, mustSync } from "../sql/commands.ts";
import type { SqlDialect } from "../sql/dialect.ts";
import type { CommandOutcome, PendingCommand } from "../sql/sql-store.ts";
import type { Connection } from "./connection.ts";

export function runGroup(
  connection: Connection,
  dialect: SqlDialect,
  commands: readonly PendingCommand[],
): readonly CommandOutcome[] {
  try {
    connection.setSynchronous(commands.some(({ name }) => mustSync(name)) ? "full" : "normal");
    connection.beginWriting();
    const outcomes = commands.map((command) => runCommand(connection, dialect, command));
    connection.exec("commit");
    return outcomes;
  } catch (error) {
    if (connection.inTransaction) connection.exec("rollback");
    return commands.map(() => ({ ok: false, error }));
  }
}

function runCommand(
  connection: Connection,
  dialect: SqlDialect,
  command: PendingCommand,
): CommandOutcome {
  connection.exec("savepoint command");
  try {
    const result = connection.runPlan(commandPlan(dialect, command.name, command.input));
    connection.exec("release command");
    return { ok: true, result };
  } catch (error) {
    // A full disk or a corrupt page ends the whole transaction, and with it the group.
    if (!connection.inTransaction) throw error;
    connection.exec("rollback to command");
    connection.exec("release command");
    return { ok: false, error };
  }
}
