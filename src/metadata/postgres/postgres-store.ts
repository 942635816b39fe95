/**
 * The metadata store on PostgreSQL, for as many nodes as there are. To be imported when it is
 * configured: the driver and the query builder cost memory that a node on SQLite does not have to
 * spend.
 */
import type { MetadataStore } from "../metadata-store.ts";
import type { Migration } from "../sql/migrations.ts";
import { prepareReads } from "../sql/reads.ts";
import { SqlStore, type PendingCommand } from "../sql/sql-store.ts";
import { numberChanges } from "./change-numbers.ts";
import { clientConfig } from "./connection-config.ts";
import { PostgresConnection, type ConnectionSettings } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { LeasePool } from "./lease-pool.ts";
import { postgresDialect } from "./postgres-dialect.ts";
import { defaultMigrationLimits, migrate, type MigrationLimits } from "./postgres-migrate.ts";
import {
  defaultConnectTimeoutMs,
  defaultPoolSize,
  defaultQueueTimeoutMs,
  defaultStatementTimeoutMs,
  poolSizeMin,
  type PostgresOptions,
} from "./postgres-options.ts";
import { PostgresReader } from "./postgres-reader.ts";
import { PostgresWriter } from "./postgres-writer.ts";
import { Retries, type Timing } from "./retries.ts";
import { SharedConnections } from "./shared-connections.ts";
import { StatementNames } from "./statement-names.ts";

const name = "postgres";

/** The server says itself when a statement takes too long; only if it does not, we do. Ms. */
const defaultAnswerMarginMs = 5000;

/** How often it is looked whether something has waited for too long; ms. */
const checkEveryMs = 250;

export interface PostgresTools extends Timing {
  /** Tests hold a command here, between two of its statements. */
  readonly beforeStatement?: (command: PendingCommand, sql: string) => Promise<void> | void;
  /** By default our own. */
  readonly migrations?: readonly Migration[];
  readonly migrationLimits?: Partial<MigrationLimits>;
  /** How much longer than a statement may take its answer may; ms. */
  readonly answerMarginMs?: number;
}

/**
 * Connects, and brings the database up to date. Throws where the server cannot be reached, refuses
 * us, or holds what a newer version made that this one cannot use.
 */
export async function openPostgresStore(
  options: PostgresOptions,
  tools: PostgresTools,
): Promise<MetadataStore> {
  const { now } = tools;
  const statementTimeoutMs = options.statementTimeoutMs ?? defaultStatementTimeoutMs;
  const size = Math.max(poolSizeMin, options.poolSize ?? defaultPoolSize);
  const readers = Math.max(1, Math.floor(size / 3));
  const settings: ConnectionSettings = {
    client: clientConfig(options),
    connectTimeoutMs: options.connectTimeoutMs ?? defaultConnectTimeoutMs,
    answerTimeoutMs: statementTimeoutMs + (tools.answerMarginMs ?? defaultAnswerMarginMs),
    names: new StatementNames({ enabled: options.preparedStatements ?? true }),
    now,
  };
  const retries = new Retries({ now, random: tools.random });
  const open = (): Promise<PostgresConnection> =>
    retries.opening(() => PostgresConnection.open(settings));
  const dialect = postgresDialect();
  await bringUpToDate(settings, {
    retries,
    dialect,
    schema: options.schema,
    limits: { ...defaultMigrationLimits, ...tools.migrationLimits },
    known: tools.migrations,
  });
  const pool = new LeasePool({
    open,
    size: size - readers,
    queueTimeoutMs: options.queueTimeoutMs ?? defaultQueueTimeoutMs,
    now,
  });
  const connections = new SharedConnections({ open, size: readers, now });
  await retries.run(async () => await connections.get());
  const checks = setInterval(() => {
    pool.check(now());
    connections.check(now());
  }, checkEveryMs);
  // It keeps no process alive: who waits for an answer has a socket that does.
  checks.unref();
  return new SqlStore(name, {
    reader: new PostgresReader({ connections, retries }),
    reads: prepareReads(dialect),
    writer: new PostgresWriter({ dialect, pool, retries, gate: tools.beforeStatement }),
    numberChanges: () => numberChanges(pool, retries),
    closed: () => clearInterval(checks),
  });
}

/** On a connection of its own, which may take as long as a migration takes. */
async function bringUpToDate(
  settings: ConnectionSettings,
  options: Parameters<typeof migrate>[1],
): Promise<void> {
  const patient = { ...settings, answerTimeoutMs: Number.POSITIVE_INFINITY };
  try {
    await options.retries.run(async () => {
      const connection = await PostgresConnection.open(patient);
      try {
        await migrate(connection, options);
      } finally {
        await connection.close();
      }
    });
  } catch (error) {
    throw toStoreError(error);
  }
}
