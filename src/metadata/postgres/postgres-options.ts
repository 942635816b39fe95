/** What `openPostgresStore` is told. The configuration's `metadata.postgres` maps onto it. */

/**
 * - `disable`: no encryption. For a socket, the same machine, or a network that is private.
 * - `require`: encrypted, whoever answers. Keeps out who listens, not who pretends.
 * - `verify-full`: encrypted, and the certificate must be valid for the host's name.
 */
export type PostgresTlsMode = "disable" | "require" | "verify-full";

export interface PostgresTls {
  readonly mode: PostgresTlsMode;
  /** Path of a PEM file of authorities; by default those that Node trusts. */
  readonly ca?: string | undefined;
  /** Paths of PEM files: this node's own certificate, and its key. Both or none. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name that the certificate must be valid for, where it is not the host's. */
  readonly servername?: string | undefined;
}

export interface PostgresOptions {
  /**
   * `postgres://user:password@host:5432/database?sslmode=verify-full`. Of its parameters these are
   * known: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host` (a socket's folder),
   * `application_name`; another one is an error. What is given apart, below, goes before it.
   */
  readonly url?: string | undefined;
  /** A name, an address, or the folder of a Unix socket; by default `localhost`. */
  readonly host?: string | undefined;
  /** By default 5432. */
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** By default the user's name, as everywhere with PostgreSQL. */
  readonly database?: string | undefined;
  /** Where our tables lie; made if it is not there. By default the user's own search path says. */
  readonly schema?: string | undefined;
  /** By default `disable`, or `verify-full` where anything else of TLS is given. */
  readonly tls?: Partial<PostgresTls> | undefined;
  /** Connections of this process at most, `poolSizeMin` or more. */
  readonly poolSize?: number | undefined;
  /** How long the database may work on one statement, waiting for locks included; ms. */
  readonly statementTimeoutMs?: number | undefined;
  /** How long a new connection may take, from the first packet to the first query; ms. */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a command may wait for a connection when all are in use; ms. */
  readonly queueTimeoutMs?: number | undefined;
  /** What the database's own views and logs call this node. */
  readonly applicationName?: string | undefined;
  /**
   * Off behind a pooler that gives each transaction another session and cannot follow prepared
   * statements (PgBouncer before 1.21 in transaction mode).
   */
  readonly preparedStatements?: boolean | undefined;
}

/** One connection for reads, one for commands. */
export const poolSizeMin = 2;

/**
 * A third of them for reads, which share connections (many at once on each), the rest for commands,
 * which have one each while they run. PostgreSQL takes 100 connections by default, and does its
 * best work with a few per core: ten leave room for nine nodes, or workers, and an administrator.
 */
export const defaultPoolSize = 10;

/** Ours take milliseconds; ten seconds mean that something is wrong, and clients do not wait. */
export const defaultStatementTimeoutMs = 10_000;

/** A new connection takes milliseconds too; this leaves room for a name server's second try. */
export const defaultConnectTimeoutMs = 5000;

/** As long as a client's patience for an answer that is not a body. */
export const defaultQueueTimeoutMs = 5000;
